//! What the accepting thread knows of the workers' connections: how many there are,
//! and since when each of them has been idle.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Instant;

use mio::Waker;

/// Tells the accepting thread that a seat has become free, if it waits for one.
pub(crate) struct AcceptWaker {
    wanted: AtomicBool,
    waker: Waker,
}

impl AcceptWaker {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            wanted: AtomicBool::new(false),
            waker,
        }
    }

    /// Asks to be woken once, when a seat becomes free.
    pub(crate) fn want(&self) {
        self.wanted.store(true, SeqCst);
    }

    pub(crate) fn tell(&self) {
        // The plain load keeps the common case free of a locked instruction.
        if self.wanted.load(SeqCst) && self.wanted.swap(false, SeqCst) {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        // Only a full eventfd fails, and that one is about to wake it anyway.
        let _ = self.waker.wake();
    }
}

/// One worker's connections; written by it, read by the accepting thread.
///
/// Relaxed throughout: a count that is a moment old picks a worker or a victim that
/// was right a moment ago, and the worker looks again before it closes anything.
pub(crate) struct ConnectionSlots {
    origin: Instant,
    /// Nanoseconds from `origin` plus 1; 0 where nobody sits or somebody is busy.
    idle_since: Box<[AtomicU64]>,
    taken: AtomicUsize,
    /// Connections that the worker was told to close and has not looked at.
    shedding: AtomicUsize,
    /// One past the highest seat ever taken.
    high: AtomicUsize,
    closed: AtomicBool,
}

impl ConnectionSlots {
    pub(crate) fn new(origin: Instant, count: usize) -> Self {
        Self {
            origin,
            idle_since: std::iter::repeat_with(AtomicU64::default)
                .take(count)
                .collect(),
            taken: AtomicUsize::new(0),
            shedding: AtomicUsize::new(0),
            high: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Connections that it has, those on their way to it included.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    pub(crate) fn take(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Somebody sits down; the seat was counted by [`Self::take`].
    pub(crate) fn sit(&self, seat: usize) {
        self.high.fetch_max(seat + 1, Relaxed);
    }

    pub(crate) fn leave(&self, seat: usize) {
        self.set_idle(seat, None);
        self.taken.fetch_sub(1, Relaxed);
    }

    pub(crate) fn set_idle(&self, seat: usize, since: Option<Instant>) {
        let value = since.map_or(0, |since| {
            let nanos = since.saturating_duration_since(self.origin).as_nanos();
            u64::try_from(nanos).unwrap_or(u64::MAX - 1) + 1
        });
        if let Some(slot) = self.idle_since.get(seat) {
            slot.store(value, Relaxed);
        }
    }

    /// The longest-idle seat and its time, which is comparable across workers.
    pub(crate) fn longest_idle(&self) -> Option<(u64, usize)> {
        let high = self.high.load(Relaxed).min(self.idle_since.len());
        self.idle_since[..high]
            .iter()
            .enumerate()
            .map(|(seat, since)| (since.load(Relaxed), seat))
            .filter(|&(since, _)| since != 0)
            .min()
    }

    /// The worker has drained and is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Claims a victim, so that the next look finds another one.
    pub(crate) fn condemn(&self, seat: usize) {
        self.set_idle(seat, None);
        self.shedding.fetch_add(1, SeqCst);
    }

    /// The worker has looked at a victim, and closed it if it was idle still.
    pub(crate) fn judged(&self) {
        self.shedding.fetch_sub(1, SeqCst);
    }

    pub(crate) fn is_shedding(&self) -> bool {
        self.shedding.load(SeqCst) != 0
    }
}
