//! The accepting thread: hands connections to the workers, evicts when full, drains.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::budget::Budget;
use super::file_limit::{self, Demand, EVICTION_HEADROOM};
use super::slots::{AcceptWaker, ConnectionSlots, Victim};
use super::worker;
use super::worker_handle::{Accepted, WorkerHandle};
use super::{Limits, ListenerGroup, Service, counters, respond};
use crate::handler::Handler;
use crate::http1::error::RequestError;
use crate::http1::framing::KeepAlive;
use crate::net::{Address, Listener, Peer, SocketBuffers, UNIX_PEER};

const STOP: Token = Token(usize::MAX);
const SLOT_FREE: Token = Token(usize::MAX - 1);
/// How long accepting pauses after an error that comes again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Accepts from one listener before the others, and a signal, get their turn.
const ACCEPTS_PER_TURN: usize = 256;
/// How long the kernel tries to deliver an answer for which there was no slot.
const TURNED_AWAY: Duration = Duration::from_secs(1);
/// Connections of a Unix socket that a worker is given before the next one gets any.
/// Whoever asks over one is on this machine and wants its other cores; fewer threads
/// that wake are sooner done (behind nginx, 32 at once: three quarters of the added p50).
const PACKED: usize = 64;

/// Listeners that are bound and workers that run; nothing is accepted yet.
pub struct Server {
    poll: Poll,
    listeners: Vec<Bound>,
    services: Arc<[Service]>,
    workers: Vec<WorkerHandle>,
    accept_waker: Arc<AcceptWaker>,
    max_connections: usize,
    paused_until: Option<Instant>,
    /// Whether a place that becomes free ends the pause.
    may_resume_early: bool,
    /// How many connections came by a private group.
    private_calls: usize,
    /// Whether the last accept failed, so that a failure that lasts is logged once.
    failing: bool,
}

struct Bound {
    listener: Listener,
    group: usize,
    /// Whether connections may be waiting.
    ready: bool,
}

/// Why a server could not be set up.
#[derive(Debug)]
pub struct SetupError {
    /// What was being done, with the address where there is one.
    pub doing: String,
    /// What the system said.
    pub error: io::Error,
}

impl Server {
    /// Binds every address and starts the workers.
    ///
    /// # Errors
    ///
    /// If an address cannot be bound, or the system denies a thread or a file.
    pub fn bind(
        groups: Vec<ListenerGroup>,
        limits: Limits,
        workers: usize,
    ) -> Result<Self, SetupError> {
        let failed = |doing: &str| {
            let doing = doing.to_owned();
            move |error| SetupError { doing, error }
        };
        let poll = Poll::new().map_err(failed("epoll"))?;
        let waker = Waker::new(poll.registry(), SLOT_FREE).map_err(failed("eventfd"))?;
        let accept_waker = Arc::new(AcceptWaker::new(waker));
        let mut listeners = Vec::new();
        let mut services = Vec::new();
        let addresses = groups.iter().flat_map(|group| group.addresses.clone());
        let addresses: Vec<_> = addresses.collect();
        for (group, opened) in groups.into_iter().enumerate() {
            // The kernel must not give up a peer before this program does.
            let (buffers, patience) = match &opened.relay {
                None => (SocketBuffers::Small, limits.write_timeout),
                Some(relay) => (SocketBuffers::Autotuned, relay.write_timeout),
            };
            services.push(Service {
                handler: opened.handler,
                relay: opened.relay,
                tls: opened.tls,
                client_certificate: opened.client_certificate,
                proxies: opened.proxies,
                allowed: opened.allowed,
            });
            let bound = opened.addresses.iter().map(|address| {
                let doing = format!("listen on {address}");
                let v6_only = address.is_v6_only(&addresses);
                Listener::bind(address, opened.access, v6_only, buffers, patience)
                    .map_err(|error| SetupError { doing, error })
            });
            let inherited = opened.inherited.into_iter().map(|socket| {
                Listener::inherit(socket, buffers, patience)
                    .map_err(failed("take an inherited socket"))
            });
            let private = opened.private.into_iter().map(|private| {
                Listener::private(private).map_err(failed("open the private group"))
            });
            for listener in bound.chain(inherited).chain(private) {
                listeners.push(Bound {
                    listener: listener?,
                    group,
                    ready: true,
                });
            }
        }
        // A crowd at the others must not keep the private ones from their turn.
        listeners.sort_by_key(|bound| !bound.listener.is_private());
        for (number, bound) in listeners.iter_mut().enumerate() {
            bound
                .listener
                .register(poll.registry(), Token(number))
                .map_err(failed("wait for connections"))?;
        }
        let forwards = services
            .iter()
            .any(|service: &Service| service.relay.is_some());
        let demand = Demand::new(limits.max_connections, forwards, workers, listeners.len());
        let max_connections = file_limit::fit(&demand);
        let services: Arc<[_]> = services.into();
        let origin = Instant::now();
        let budget = Arc::new(Budget::new(limits.held_bytes(forwards)));
        let workers: Vec<_> = (0..workers)
            .map(|number| {
                worker::start(
                    format!("worker-{number}"),
                    Arc::clone(&services),
                    limits,
                    ConnectionSlots::new(origin, max_connections + EVICTION_HEADROOM),
                    Arc::clone(&accept_waker),
                    Arc::clone(&budget),
                )
            })
            .collect::<Result<_, _>>()
            .map_err(failed("start a worker"))?;
        budget.set_workers(workers.iter().map(WorkerHandle::waker).collect());
        Ok(Self {
            poll,
            listeners,
            services,
            workers,
            accept_waker,
            max_connections,
            paused_until: None,
            may_resume_early: false,
            private_calls: 0,
            failing: false,
        })
    }

    /// The addresses that it listens on, ports of 0 replaced by the real ones.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners
            .iter()
            .filter_map(|bound| bound.listener.address.as_ref())
    }

    /// Serves until a byte can be read from `stop`, then drains: accepts no more, answers
    /// what is in flight and closes the rest. Returns how many connections were left
    /// unfinished when `drain_timeout` had passed, or a second byte came. `draining` hears
    /// of the drain as it begins.
    ///
    /// # Errors
    ///
    /// If epoll(7) itself fails.
    pub fn run(
        mut self,
        mut stop: UnixStream,
        drain_timeout: Duration,
        draining: impl FnOnce(),
    ) -> io::Result<usize> {
        let registry = self.poll.registry();
        registry.register(&mut stop, STOP, Interest::READABLE)?;
        let mut events = Events::with_capacity(64);
        while !self.wait(&mut events, self.paused_until)? {
            self.resume();
            self.accept(ACCEPTS_PER_TURN);
        }
        read_off(&mut stop);
        draining();
        // What the kernel has taken for this server alone is accepted, and so will be
        // answered; what waits at a shared socket is for the next one.
        self.paused_until = None;
        self.listeners
            .iter_mut()
            .for_each(|bound| bound.ready = !bound.listener.is_shared);
        self.accept(usize::MAX);
        self.listeners.clear();

        log::info!("draining connections={}", self.occupied());
        let deadline = Instant::now() + drain_timeout;
        self.workers
            .iter()
            .for_each(|worker| worker.drain(deadline));
        // A worker that were stuck in the function would not keep its own deadline.
        while Instant::now() < deadline
            && !self.workers.iter().all(|worker| worker.slots.is_closed())
        {
            if self.wait(&mut events, Some(deadline))? {
                break;
            }
        }
        Ok(self.occupied())
    }

    /// Waits for something to happen. `Ok(true)` where it is a byte on `stop`.
    fn wait(&mut self, events: &mut Events, until: Option<Instant>) -> io::Result<bool> {
        let more = self.listeners.iter().any(|bound| bound.ready) && self.paused_until.is_none();
        let timeout = if more {
            Some(Duration::ZERO)
        } else {
            // epoll_wait(2) counts whole milliseconds; rounding down would spin.
            until.map(|until| {
                until.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
            })
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            result => result?,
        }
        let mut stop = false;
        for event in &*events {
            match event.token() {
                STOP => stop = true,
                SLOT_FREE => {}
                Token(number) => {
                    if let Some(bound) = self.listeners.get_mut(number) {
                        bound.ready = true;
                    }
                }
            }
        }
        // A slot may have become free, or the pause be over; accepting finds out.
        Ok(stop)
    }

    fn resume(&mut self) {
        let Some(until) = self.paused_until else {
            return;
        };
        if self.may_resume_early {
            // Asked before it is looked at, so that what comes in between is heard of too.
            self.accept_waker.want();
        }
        let vacant = self.may_resume_early && !self.has_ending() && !self.is_over_headroom();
        if vacant || until <= Instant::now() {
            self.paused_until = None;
        }
    }

    fn occupied(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.slots.occupied())
            .sum()
    }

    /// Whether there is no room even while evictions are under way.
    fn is_over_headroom(&self) -> bool {
        self.occupied() >= self.max_connections + EVICTION_HEADROOM
    }

    /// Connections that there will be once the workers have closed those that end.
    fn remaining(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.slots.remaining())
            .sum()
    }

    /// Evicts until there is room for one more. `false` where there is nobody to evict.
    fn make_room(&self) -> bool {
        while self.remaining() >= self.max_connections {
            // Those that have closed by themselves meanwhile have made room, too.
            let has_room = || self.remaining() < self.max_connections;
            if !self.evict_least_worth() && !has_room() && !self.evict_longest_idle() {
                return false;
            }
        }
        true
    }

    /// Whether a connection ends whose file is open still.
    fn has_ending(&self) -> bool {
        self.workers.iter().any(|worker| worker.slots.has_ending())
    }

    /// Accepts what waits, at most `most` from each listener.
    fn accept(&mut self, most: usize) {
        for number in 0..self.listeners.len() {
            for _ in 0..most {
                if self.paused_until.is_some() || !self.listeners[number].ready {
                    break;
                }
                let bound = &self.listeners[number];
                let private = bound.listener.is_private();
                if !private && self.is_over_headroom() && self.has_ending() {
                    self.pause(true);
                    // The last of them may have ended meanwhile.
                    self.resume();
                    break;
                }
                let before = self.occupied();
                match bound.listener.accept() {
                    Ok((stream, peer)) => {
                        let allowed = self.services[bound.group].allowed.as_ref();
                        let accepted = Accepted {
                            stream,
                            peer,
                            is_denied: allowed.is_some_and(|list| !list.allows(peer)),
                            group: bound.group,
                            is_tls: bound.listener.is_tls(),
                            at: Instant::now(),
                        };
                        if std::mem::take(&mut self.failing) {
                            log::info!("accept_recovered connections={}", self.occupied());
                        }
                        counters::accepted();
                        if private {
                            self.admit_privately(accepted);
                        } else if accepted.is_denied {
                            self.deny(accepted);
                        } else {
                            self.admit(accepted);
                        }
                    }
                    Err(error) => self.accept_failed(number, &error, before),
                }
            }
        }
    }

    fn admit(&mut self, accepted: Accepted) {
        // Those that were to make room may have turned out to be worth more than that.
        let is_over = self.is_over_headroom();
        if !self.make_room() || is_over {
            let handler = &*self.services[accepted.group].handler;
            turn_away(handler, &RequestError::new(503, "full"), accepted);
            return counters::closed(&counters::CLOSED_FULL);
        }
        if let Some(worker) = self.worker_for(accepted.peer) {
            worker.accept(accepted);
        }
    }

    /// Denies a peer that may not connect, before anything is read of it. It takes the place
    /// of nobody.
    fn deny(&mut self, accepted: Accepted) {
        let is_full = self.remaining() >= self.max_connections || self.is_over_headroom();
        if accepted.is_tls || is_full {
            // An answer would want a handshake, or a slot.
            let handler = &*self.services[accepted.group].handler;
            turn_away(handler, &RequestError::NOT_ALLOWED, accepted);
            return counters::closed(&counters::CLOSED_NOT_ALLOWED);
        }
        if let Some(worker) = self.worker_for(accepted.peer) {
            worker.accept(accepted);
        }
    }

    /// Each worker in turn, so that whoever calls as often as there are workers has
    /// talked to all of them.
    fn admit_privately(&mut self, accepted: Accepted) {
        let next = self.private_calls % self.workers.len();
        self.private_calls = self.private_calls.wrapping_add(1);
        self.workers[next].accept(accepted);
    }

    fn worker_for(&self, peer: Peer) -> Option<&WorkerHandle> {
        let mut workers = self.workers.iter();
        let packed = (peer == UNIX_PEER)
            .then(|| workers.find(|worker| worker.slots.occupied() < PACKED))
            .flatten();
        packed.or_else(|| {
            let workers = self.workers.iter();
            workers.min_by_key(|worker| worker.slots.occupied())
        })
    }

    /// Has a worker close the connection that is worth least. `false` where there is none.
    fn evict(&self) -> bool {
        self.evict_least_worth() || self.evict_longest_idle()
    }

    /// Evicts the connection that lingers for the longest time; else, of those that never
    /// presented a good credential, the one that was accepted first, whatever it does.
    fn evict_least_worth(&self) -> bool {
        let lingering = || {
            let lingers = |worker: &&WorkerHandle| worker.slots.lingering() > 0;
            let workers = self.workers.iter().filter(lingers);
            workers.min_by_key(|worker| worker.slots.first_lingering().unwrap_or(u64::MAX))
        };
        let unproven = || {
            let evictable = |worker: &&WorkerHandle| worker.slots.evictable() > 0;
            let workers = self.workers.iter().filter(evictable);
            workers.min_by_key(|worker| worker.slots.first_unproven().unwrap_or(u64::MAX))
        };
        let worker = lingering().or_else(unproven);
        worker
            .inspect(|worker| worker.evict(Victim::LeastWorth))
            .is_some()
    }

    /// Evicts the connection that is idle for the longest time.
    fn evict_longest_idle(&self) -> bool {
        let idle = self
            .workers
            .iter()
            .filter_map(|worker| Some((worker.slots.longest_idle()?, worker)))
            .min_by_key(|&(idle, _)| idle);
        let Some(((_, slot), worker)) = idle else {
            return false;
        };
        worker.evict(Victim::Idle(slot));
        true
    }

    /// accept(2): some errors are the connection's, some the network's, some this
    /// process's or the machine's. None of them ends the loop. There were `before`
    /// connections when it was called.
    fn accept_failed(&mut self, number: usize, error: &io::Error, before: usize) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        match error.kind() {
            WouldBlock => self.listeners[number].ready = false,
            ConnectionAborted | ConnectionReset | Interrupted => {}
            // The kernel looks for a free file before it looks for a connection.
            _ if !self.listeners[number].listener.has_waiting() => {
                self.listeners[number].ready = false;
            }
            _ => {
                let first = !std::mem::replace(&mut self.failing, true);
                if first {
                    let connections = self.occupied();
                    log::warn!("accept_failed error=\"{error}\" connections={connections}");
                }
                // A file that has been closed meanwhile makes room as a victim does. Where
                // there are only victims and a place of our own does not help, others hold
                // the files; then no more than one connection is given up in each pause.
                let makes_room = self.has_ending() || self.occupied() < before;
                self.pause(first || makes_room);
                // After it asks to be woken: the victim may be gone at once.
                if makes_room {
                    self.resume();
                } else {
                    self.evict();
                }
            }
        }
    }

    fn pause(&mut self, may_resume_early: bool) {
        self.may_resume_early = may_resume_early;
        self.accept_waker.want();
        self.paused_until = Some(Instant::now() + PAUSE);
    }
}

/// Refuses without waiting for anything: whoever floods gets no place in memory.
fn turn_away(handler: &dyn Handler, refusal: &RequestError, accepted: Accepted) {
    let Accepted {
        mut stream,
        peer,
        is_tls,
        ..
    } = accepted;
    let mut out = Vec::new();
    respond::refuse(handler, refusal, peer, false, KeepAlive::Close, &mut out);
    if is_tls {
        // An answer would want a handshake.
        return;
    }
    // What has come already is taken off, so that closing does not reset the answer.
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write(&out);
    let _ = stream.shutdown_write();
    // What the peer does not take at once must not heap up outside of all slots.
    let _ = stream.give_up_after(TURNED_AWAY);
}

fn read_off(stop: &mut UnixStream) {
    let mut bytes = [0; 16];
    while matches!(stop.read(&mut bytes), Ok(1..)) {}
}
