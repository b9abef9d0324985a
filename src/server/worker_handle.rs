//! The accepting thread's end of a worker.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use mio::Waker;

use super::slots::{ConnectionSlots, Victim};
use crate::net::{Peer, Stream};

/// What the accepting thread tells a worker.
pub(super) enum Message {
    Accepted(Accepted),
    /// Close this one if it still is what the accepting thread took it for.
    Evict(Victim),
    /// Answer what is in flight, and be gone by then.
    Drain(Instant),
}

/// A connection that has been accepted.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// The group of listeners that it came by.
    pub(crate) group: usize,
    /// Whether it speaks TLS.
    pub(crate) is_tls: bool,
    /// Whether its peer may not connect: it is told so, and nothing is read.
    pub(crate) is_denied: bool,
    /// When, by the clock of the one thread that accepts, so that workers' are comparable.
    pub(crate) at: Instant,
}

/// The accepting thread's end of a worker.
pub(crate) struct WorkerHandle {
    pub(crate) slots: Arc<ConnectionSlots>,
    pub(super) inbox: Sender<Message>,
    pub(super) waker: Arc<Waker>,
}

impl WorkerHandle {
    pub(crate) fn accept(&self, accepted: Accepted) {
        self.slots.occupy();
        self.tell(Message::Accepted(accepted));
    }

    pub(crate) fn evict(&self, victim: Victim) {
        self.slots.claim(victim);
        self.tell(Message::Evict(victim));
    }

    pub(crate) fn drain(&self, deadline: Instant) {
        self.tell(Message::Drain(deadline));
    }

    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    fn tell(&self, message: Message) {
        // A worker that is gone has drained; nothing is owed to it.
        if self.inbox.send(message).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
