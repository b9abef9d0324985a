//! A worker without a thread of its own: its caller runs it, and so knows when it has done
//! all that it can do. For tests and for the fuzz target of the whole session.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::budget::Budget;
use super::slots::{AcceptWaker, ConnectionSlots};
use super::worker::Worker;
use super::worker_handle::{Accepted, WorkerHandle};
use super::{Limits, ListenerGroup, Service};
use crate::net::{Stream, UNIX_PEER};

/// More connections at once than any caller makes.
const SLOTS: usize = 16;

/// A worker that its caller runs.
pub struct InPlaceWorker {
    worker: Worker,
    handle: WorkerHandle,
    events: Events,
    /// It owns the epoll instance that the waker of the accepting thread is in.
    _acceptor: Poll,
}

impl InPlaceWorker {
    /// One that has no connection yet; it listens at no address of `group`.
    ///
    /// # Errors
    ///
    /// If the system denies an epoll instance or an eventfd.
    pub fn new(group: ListenerGroup, limits: Limits) -> io::Result<Self> {
        let acceptor = Poll::new()?;
        let waker = Waker::new(acceptor.registry(), Token(0))?;
        let held = limits.held_bytes(group.relay.is_some());
        let service = Service {
            handler: group.handler,
            relay: group.relay,
            tls: group.tls,
            client_certificate: group.client_certificate,
            proxies: group.proxies,
            allowed: group.allowed,
        };
        let (worker, handle) = Worker::new(
            Arc::new([service]),
            limits,
            ConnectionSlots::new(Instant::now(), SLOTS),
            Arc::new(AcceptWaker::new(waker)),
            Arc::new(Budget::new(held)),
        )?;
        Ok(Self {
            worker,
            handle,
            events: Events::with_capacity(64),
            _acceptor: acceptor,
        })
    }

    /// A client's end of a new connection; reads and writes of it do not block.
    ///
    /// # Errors
    ///
    /// If the system denies a socket.
    pub fn connect(&mut self) -> io::Result<UnixStream> {
        connect(&self.handle, false)
    }

    /// The same, as at a listener that speaks TLS.
    ///
    /// # Errors
    ///
    /// If the system denies a socket.
    pub fn connect_tls(&mut self) -> io::Result<UnixStream> {
        connect(&self.handle, true)
    }

    /// Has it do all that it can do without waiting. `false` where that was nothing.
    ///
    /// # Errors
    ///
    /// What `epoll_wait(2)` says.
    pub fn run(&mut self) -> io::Result<bool> {
        let mut moved = false;
        loop {
            // What a turn without events does can bring events of its own.
            let had_more = self.worker.has_more_to_do();
            self.worker.turn(&mut self.events, Some(Duration::ZERO))?;
            if self.events.is_empty() && !had_more && !self.worker.has_more_to_do() {
                return Ok(moved);
            }
            moved = true;
        }
    }

    /// Connections of clients, and to backends, the idle ones included.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.worker.connections()
    }
}

fn connect(handle: &WorkerHandle, is_tls: bool) -> io::Result<UnixStream> {
    let (client, accepted) = UnixStream::pair()?;
    client.set_nonblocking(true)?;
    accepted.set_nonblocking(true)?;
    handle.accept(Accepted {
        stream: Stream::Unix(mio::net::UnixStream::from_std(accepted)),
        peer: UNIX_PEER,
        group: 0,
        is_tls,
        is_denied: false,
        at: Instant::now(),
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::sync::PoisonError;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::auth::secrets::{Digest, Secrets};
    use crate::auth::shared_secret::Guard;
    use crate::handlers::origin::Origin;
    use crate::http1::forwarded::TrustedProxies;
    use crate::net::SocketAccess;
    use crate::net::tls::server::ClientCertificate;
    use crate::server::slots::Victim;
    use crate::server::tests::PROCESS;

    const LIMITS: Limits = Limits {
        head_bytes: 65536,
        head_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(60),
        max_connections: SLOTS,
    };

    fn group(secrets: &[&[u8]]) -> ListenerGroup {
        let digests = secrets.iter().map(|secret| Digest::of(secret)).collect();
        ListenerGroup {
            addresses: Vec::new(),
            access: SocketAccess::default(),
            inherited: Vec::new(),
            private: None,
            handler: Arc::new(Origin {
                guard: Guard::new("X-Shared-Secret", Arc::new(Secrets::new(digests))),
                trusted_proxies: TrustedProxies::default(),
                access_log: false,
            }),
            relay: None,
            tls: None,
            client_certificate: ClientCertificate::NotAsked,
            allowed: None,
            proxies: TrustedProxies::default(),
        }
    }

    /// Their requests have come when they are opened, and the first is in the higher slot.
    #[test]
    fn of_two_that_one_pass_opens_the_first_is_idle_for_longer() {
        let mut worker = InPlaceWorker::new(group(&[b"right"]), LIMITS).expect("a worker");
        let gone = [worker.connect(), worker.connect()].map(|client| client.expect("connected"));
        worker.run().expect("runs");
        for client in gone {
            drop(client);
            worker.run().expect("runs");
        }
        let head = b"GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: right\r\n\r\n";
        let mut clients = [worker.connect(), worker.connect()].map(|made| made.expect("one"));
        for client in &mut clients {
            client.write_all(head).expect("sent");
        }
        worker.run().expect("runs");
        let slots = &worker.handle.slots;
        for slot in [1, 0] {
            assert_eq!(slots.longest_idle().map(|(_, slot)| slot), Some(slot));
            slots.claim(Victim::Idle(slot));
        }
    }

    #[test]
    fn it_does_all_that_it_can_and_then_nothing() {
        let mut worker = InPlaceWorker::new(group(&[]), LIMITS).expect("a worker");
        let mut client = worker.connect().expect("a connection");
        assert!(worker.run().expect("runs"));
        assert_eq!(worker.connections(), (1, 0));
        let mut answer = [0; 4096];
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nHo")
            .expect("sent");
        assert!(worker.run().expect("runs"));
        let nothing = client.read(&mut answer).expect_err("no answer yet");
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        client.write_all(b"st: x\r\n\r\n").expect("sent");
        assert!(worker.run().expect("runs"));
        let read = client.read(&mut answer).expect("an answer");
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK\r\n"));
        // There is room again in the socket, which is an event.
        worker.run().expect("runs");
        assert!(!worker.run().expect("runs"));
        drop(client);
        assert!(worker.run().expect("runs"));
        assert_eq!(worker.connections(), (0, 0));
    }

    /// Stops the worker, also where an assertion fails.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    /// A silent connection, once the worker has opened it and knows what it is.
    fn unproven(handle: &WorkerHandle, turns: &AtomicUsize) -> UnixStream {
        let client = connect(handle, false).expect("a connection");
        let before = turns.load(SeqCst);
        // The second one at the latest opens it, and the next one hears that it is writable.
        while turns.load(SeqCst) < before + 3 {
            std::thread::yield_now();
        }
        client
    }

    /// This thread does what the accepting thread does, and looks all the time.
    #[test]
    fn while_a_victim_goes_nothing_else_seems_to_and_its_slot_is_free_after_its_file() {
        const COUNT: usize = 8;
        // A process that starts meanwhile has all files of this one until its program runs.
        let _none_starts = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = InPlaceWorker::new(group(&[]), LIMITS).expect("a worker");
        let InPlaceWorker {
            worker,
            handle,
            events,
            ..
        } = &mut parts;
        let (handle, slots) = (&*handle, &handle.slots);
        let (over, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let wait = Some(Duration::ZERO);
                    worker.turn(events, wait).expect("epoll works");
                    turns.fetch_add(1, SeqCst);
                }
            });
            let stopping = Stop(&over);
            let mut clients: VecDeque<_> = (0..COUNT).map(|_| unproven(handle, &turns)).collect();
            for _ in 0..500 {
                handle.evict(Victim::LeastWorth);
                loop {
                    let is_gone = slots.occupied() == COUNT - 1;
                    assert_eq!(slots.remaining(), COUNT - 1);
                    assert_eq!(slots.evictable(), COUNT - 1);
                    if is_gone {
                        break;
                    }
                }
                assert!(!slots.has_ending());
                let mut first = clients.pop_front().expect("one");
                let end = first.read(&mut [0]);
                let is_reset = |error: &io::Error| error.kind() == ErrorKind::ConnectionReset;
                assert!(
                    matches!(end, Ok(0)) || end.as_ref().is_err_and(is_reset),
                    "its file is open still: {end:?}"
                );
                clients.push_back(unproven(handle, &turns));
            }
            drop(stopping);
        });
    }
}
