//! One thread of the pool: readiness -> requests -> answers.

mod memory;
mod standing;
mod turns;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::budget::Budget;
use super::deadlines::Deadlines;
use super::eviction::EvictionQueue;
use super::resources::WorkerResources;
use super::session::Session;
use super::slots::{AcceptWaker, ConnectionSlots, Standing};
use super::worker_handle::{Accepted, Message, WorkerHandle};
use super::{Limits, Service, counters, scheduling};
use crate::http1::forwarded::TrustedProxies;
use crate::metrics::Counter;
use crate::net::tls::TlsError;
use crate::net::{ConnectionToken, Side, Transport};

const INBOX: Token = Token(usize::MAX);
/// Messages of the accepting thread before the connections that are there have their
/// turn: a flood of new ones does not hold up those.
const MESSAGES_PER_TURN: usize = 64;

/// Starts a worker. `accept_waker` hears of each connection that ends, and of the
/// worker's own end.
pub(crate) fn start(
    name: String,
    services: Arc<[Service]>,
    limits: Limits,
    slots: ConnectionSlots,
    accept_waker: Arc<AcceptWaker>,
    budget: Arc<Budget>,
) -> io::Result<WorkerHandle> {
    let (mut worker, handle) = Worker::new(services, limits, slots, accept_waker, budget)?;
    std::thread::Builder::new().name(name).spawn(move || {
        scheduling::be_batch();
        let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
        if !matches!(ended, Ok(Ended::Drained)) {
            give_up();
        }
        drop(worker.sessions);
        worker.slots.close();
        worker.accept_waker.wake();
    })?;
    Ok(handle)
}

/// A worker that is gone would leave its connections, and all that it is given from then
/// on, without an answer. The service manager starts the whole process again.
fn give_up() -> ! {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    log::error!("worker_ended worker={name} the process ends, to be started again");
    crate::log::flush();
    std::process::abort();
}

/// Why a worker's loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Drained,
    /// Epoll itself failed.
    Failed,
}

/// A place in the table of sessions.
#[derive(Default)]
struct Slot {
    /// How many sessions it has had before.
    generation: u32,
    session: Option<Session>,
    standing: Option<Standing>,
    /// The standing as the accepting thread knows it. Who has its turn is busy: a peer may
    /// have read its answer by the time that the turn ends.
    published: Option<Standing>,
    /// When the session is to be looked at, as the deadlines have it.
    scheduled: Option<Instant>,
    /// Whether it is among those that run again.
    queued: bool,
}

pub(crate) struct Worker {
    poll: Poll,
    messages: Receiver<Message>,
    services: Arc<[Service]>,
    limits: Limits,
    resources: WorkerResources,
    slots: Arc<ConnectionSlots>,
    sessions: Vec<Slot>,
    free: Vec<usize>,
    /// Whether the accepting thread may have said more than has been read.
    has_messages: bool,
    /// Sessions with more to do that no readiness will tell of.
    run_again: VecDeque<ConnectionToken>,
    /// Turns of handshakes in this pass.
    handshakes: usize,
    deadlines: Deadlines,
    lingering: EvictionQueue,
    unproven: EvictionQueue,
    budget: Arc<Budget>,
    /// Bytes that the sessions hold between their turns.
    held: usize,
    /// When a drain ends.
    draining: Option<Instant>,
    accept_waker: Arc<AcceptWaker>,
}

impl Worker {
    /// One that has no thread yet.
    pub(crate) fn new(
        services: Arc<[Service]>,
        limits: Limits,
        slots: ConnectionSlots,
        accept_waker: Arc<AcceptWaker>,
        budget: Arc<Budget>,
    ) -> io::Result<(Self, WorkerHandle)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), INBOX)?);
        let (inbox, messages) = channel();
        let slots = Arc::new(slots);
        let handle = WorkerHandle {
            slots: Arc::clone(&slots),
            inbox,
            waker,
        };
        let resources = WorkerResources::new(&limits, poll.registry().try_clone()?);
        let worker = Self {
            poll,
            messages,
            services,
            resources,
            limits,
            slots,
            sessions: Vec::new(),
            free: Vec::new(),
            has_messages: false,
            run_again: VecDeque::new(),
            handshakes: 0,
            deadlines: Deadlines::default(),
            lingering: EvictionQueue::default(),
            unproven: EvictionQueue::default(),
            budget,
            held: 0,
            draining: None,
            accept_waker,
        };
        Ok((worker, handle))
    }

    fn run(&mut self) -> Ended {
        let mut events = Events::with_capacity(256);
        let mut now = Instant::now();
        loop {
            let timeout = self.timeout(now);
            match self.turn(&mut events, timeout) {
                Ok(began) => now = began,
                Err(error) => {
                    log::error!("poll_failed error=\"{error}\"");
                    return Ended::Failed;
                }
            }
            if let Some(end) = self.draining
                && (end <= now || self.free.len() == self.sessions.len())
            {
                return Ended::Drained;
            }
        }
    }

    /// Waits for events for no longer than `timeout`, and does what there is to do. Returns
    /// when that began.
    pub(crate) fn turn(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<Instant> {
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        let now = Instant::now();
        self.handshakes = 0;
        for event in &*events {
            match event.token() {
                INBOX => self.has_messages = true,
                token => self.on_event(token.into(), event, now),
            }
        }
        if self.has_messages {
            self.read_inbox(now);
        }
        self.run_again(now);
        self.expire(now);
        self.resources.pool.expire(now);
        if self.budget.excess() > 0 {
            self.give_back(now);
        }
        Ok(now)
    }

    /// Whether there is more to do without an event or a deadline.
    #[cfg(any(test, fuzzing, timing))]
    pub(crate) fn has_more_to_do(&self) -> bool {
        self.has_messages || !self.run_again.is_empty()
    }

    /// Connections of clients, and to backends.
    #[cfg(any(test, fuzzing, timing))]
    pub(crate) fn connections(&self) -> (usize, usize) {
        let (_, to_backends) = self.resources.pool.counts();
        (self.sessions.len() - self.free.len(), to_backends)
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.has_messages || !self.run_again.is_empty() {
            return Some(Duration::ZERO);
        }
        let idle_backend = self.resources.pool.next_expiry();
        let next = [self.deadlines.next(), self.draining, idle_backend]
            .into_iter()
            .flatten()
            .min()?;
        // epoll_wait(2) counts whole milliseconds; rounding down would spin.
        Some(next.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn read_inbox(&mut self, now: Instant) {
        self.has_messages = true;
        for _ in 0..MESSAGES_PER_TURN {
            let Ok(message) = self.messages.try_recv() else {
                self.has_messages = false;
                return;
            };
            match message {
                // By a time of its own: of two that are opened in one pass the first one is
                // idle for longer.
                Message::Accepted(accepted) => self.open(accepted, Instant::now()),
                Message::Evict(victim) => self.evict(victim, now),
                Message::Drain(deadline) => {
                    self.draining = Some(deadline);
                    for slot in 0..self.sessions.len() {
                        self.on_ready(slot, now);
                    }
                }
            }
        }
    }

    fn token(&self, slot: usize) -> ConnectionToken {
        ConnectionToken::new(Side::Client, slot, self.sessions[slot].generation)
    }

    /// The slot of a session that is still there.
    fn live(&self, token: ConnectionToken) -> Option<usize> {
        let slot = self.sessions.get(token.slot())?;
        (slot.generation == token.generation && slot.session.is_some()).then_some(token.slot())
    }

    fn open(&mut self, accepted: Accepted, now: Instant) {
        // From here on it is busy, until its turn ends.
        self.slots.arrived();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(Slot::default());
            self.sessions.len() - 1
        });
        let token = self.token(slot);
        let mut transport = Transport::new(accepted.stream);
        let service = &self.services[accepted.group];
        if let Some(tls) = service.tls.as_ref().filter(|_| accepted.is_tls) {
            match tls.session(service.client_certificate) {
                Ok(session) => transport = transport.with_tls(session),
                Err(error) => {
                    let error = TlsError::Rustls(error);
                    log::error!("tls_unavailable error=\"{error}\"");
                    self.free.push(slot);
                    self.slots.end();
                    drop(transport);
                    self.slots.ended();
                    return self.accept_waker.tell();
                }
            }
        }
        let is_denied = accepted.is_denied;
        let is_proxy = service.proxies.trusts(TrustedProxies::peer(accepted.peer));
        let mut session = Session::new(transport, accepted.peer, accepted.group, accepted.at);
        if is_proxy && !is_denied {
            session.expect_proxy_header();
        }
        let registered = session.transport().register(self.poll.registry(), token);
        self.sessions[slot].session = Some(session);
        if let Err(error) = registered {
            log::error!("register_failed error=\"{error}\"");
            self.close(slot, &counters::CLOSED_ERROR);
            return;
        }
        if is_denied {
            return self.with_session(slot, now, Session::deny);
        }
        // Its first request has mostly come by now; epoll would say so a call later.
        self.have_turn(slot, now);
        if self.sessions[slot].queued {
            // Until its turn comes it has a deadline like any other.
            self.after_turn(slot);
        }
    }

    /// What is under way with a backend does not outlive the session.
    fn end_exchange(&mut self, slot: usize) {
        let has_one = |session: &Session| session.is_forwarding();
        if self.sessions[slot].session.as_ref().is_some_and(has_one) {
            self.lend_to(slot, Instant::now(), |session, context, resources| {
                session.end_exchange(context, resources);
            });
        }
    }

    fn close(&mut self, slot: usize, reason: &'static Counter) {
        // First: whoever finds one candidate less for an eviction finds more room, too.
        self.slots.end();
        self.remove(slot, reason);
    }

    /// Takes out a session that the accepting thread knows to end, and closes its socket,
    /// which also takes it out of the epoll set. All but that its file is closed the accepting
    /// thread must know before: a peer that sees the end may come again at once.
    fn remove(&mut self, slot: usize, reason: &'static Counter) {
        counters::closed(reason);
        self.end_exchange(slot);
        let entry = &mut self.sessions[slot];
        let session = entry.session.take();
        if let Some(session) = &session {
            let held = session.held();
            self.held -= held;
            self.budget.change(held, 0);
        }
        entry.generation = entry.generation.wrapping_add(1);
        entry.scheduled = None;
        entry.queued = false;
        let before = entry.standing.take();
        self.publish(slot, None);
        self.set_standing(slot, before, None);
        self.slots.set_idle(slot, None);
        self.free.push(slot);
        drop(session);
        self.slots.ended();
        self.accept_waker.tell();
    }
}
