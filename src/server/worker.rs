//! One thread of the pool: readiness -> requests -> answers.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

use super::budget::Budget;
use super::deadlines::Deadlines;
use super::eviction::EvictionQueue;
use super::session::{Action, Session, SessionContext, WorkerResources};
use super::slots::{AcceptWaker, ConnectionSlots, Standing, Victim};
use super::{Limits, Service, counters};
use crate::http1::forwarded::TrustedProxies;
use crate::metrics::Counter;
use crate::net::{ConnectionToken, Peer, Side, Stream, Transport};

const INBOX: Token = Token(usize::MAX);
/// In a drain a connection that was busy this lately may bring one more request.
const GRACE: Duration = Duration::from_secs(1);
/// How long connections that have more to do may go on before fresh readiness is looked
/// at: a client that pipelines does not hold up one that does not.
const SLICE: Duration = Duration::from_micros(500);
/// Turns of TLS handshakes in each pass of the loop; the others wait for the next one. Such
/// a turn costs as much as dozens of requests, and a flood of them does not hold up the
/// connections that are there.
const HANDSHAKES_PER_PASS: usize = 4;
/// Messages of the accepting thread before the connections that are there have their
/// turn: a flood of new ones does not hold up those.
const MESSAGES_PER_TURN: usize = 64;

/// Whoever holds more than this is as large as any other holder, in bytes.
const LARGE: usize = 8 * 1024;

/// What the accepting thread tells a worker.
enum Message {
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
    /// When, by the clock of the one thread that accepts, so that workers' are comparable.
    pub(crate) at: Instant,
}

/// The accepting thread's end of a worker.
pub(crate) struct WorkerHandle {
    pub(crate) slots: Arc<ConnectionSlots>,
    inbox: Sender<Message>,
    waker: Arc<Waker>,
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

/// A session has panicked.
struct Panicked;

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
    #[cfg(any(test, fuzzing))]
    pub(crate) fn has_more_to_do(&self) -> bool {
        self.has_messages || !self.run_again.is_empty()
    }

    /// Connections of clients, and to backends.
    #[cfg(any(test, fuzzing))]
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
                Message::Accepted(accepted) => self.open(accepted, now),
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
                    log::error!("tls_unavailable error=\"{error}\"");
                    self.free.push(slot);
                    self.slots.release();
                    return self.accept_waker.tell();
                }
            }
        }
        let is_proxy = service.proxies.trusts(TrustedProxies::peer(accepted.peer));
        let mut session = Session::new(transport, accepted.peer, accepted.group, accepted.at);
        if is_proxy {
            session.expect_proxy_header();
        }
        let registered = session.transport().register(self.poll.registry(), token);
        self.sessions[slot].session = Some(session);
        if let Err(error) = registered {
            log::error!("register_failed error=\"{error}\"");
            self.close(slot, &counters::CLOSED_ERROR);
            return;
        }
        // Its first request has mostly come by now; epoll would say so a call later.
        self.have_turn(slot, now);
        if self.sessions[slot].queued {
            // Until its turn comes it has a deadline like any other.
            self.after_turn(slot);
        }
    }

    fn on_event(&mut self, token: ConnectionToken, event: &Event, now: Instant) {
        let slot = match token.side() {
            Side::Client => self.live(token),
            Side::Backend => self.resources.pool.on_event(token, event),
        };
        let Some(slot) = slot else {
            return;
        };
        if let Some(session) = &mut self.sessions[slot].session {
            match token.side() {
                Side::Client => session.transport().on_event(event),
                Side::Backend => {
                    if let Some(transport) = session.backend_transport() {
                        transport.on_event(event);
                    }
                }
            }
        }
        // Who runs again, or had much to do the last time, has its turn after those that
        // have little.
        if self.sessions[slot].queued {
            return;
        }
        let session = self.sessions[slot].session.as_ref();
        if session.is_some_and(Session::is_greedy) {
            self.queue(slot);
        } else {
            self.have_turn(slot, now);
        }
    }

    /// Its turn, unless that has to wait for the next pass.
    fn have_turn(&mut self, slot: usize, now: Instant) {
        let session = self.sessions[slot].session.as_ref();
        if session.is_some_and(Session::is_handshaking) {
            if self.handshakes >= HANDSHAKES_PER_PASS {
                return self.queue(slot);
            }
            self.handshakes += 1;
        }
        self.on_ready(slot, now);
    }

    fn queue(&mut self, slot: usize) {
        self.sessions[slot].queued = true;
        self.run_again.push_back(self.token(slot));
    }

    fn run_again(&mut self, now: Instant) {
        for _ in 0..self.run_again.len() {
            let Some(token) = self.run_again.pop_front() else {
                return;
            };
            if let Some(slot) = self.live(token) {
                self.sessions[slot].queued = false;
                self.have_turn(slot, now);
            }
            if now.elapsed() >= SLICE {
                return;
            }
        }
    }

    fn on_ready(&mut self, slot: usize, now: Instant) {
        self.publish(slot, Some(Standing::Busy));
        self.with_session(slot, now, Session::on_ready);
        // At once: what hundreds of turns add in one pass would be past all limits.
        if self.budget.excess() > 0 {
            self.give_back(now);
        }
    }

    /// Lets `act` do something with a session, and draws the consequences.
    fn with_session(
        &mut self,
        slot: usize,
        now: Instant,
        act: impl FnOnce(&mut Session, &SessionContext<'_>, &mut WorkerResources) -> Action,
    ) {
        match self.lend_to(slot, now, act) {
            None => return,
            Some(Err(Panicked)) => return self.close(slot, &counters::CLOSED_ERROR),
            Some(Ok(Action::Close(reason))) => return self.close(slot, reason),
            Some(Ok(Action::RunAgain)) if !self.sessions[slot].queued => self.queue(slot),
            Some(Ok(Action::RunAgain | Action::Wait)) => {}
        }
        self.after_turn(slot);
    }

    /// Lends a session what it acts under, and keeps count of the memory that it holds. A
    /// panic ends it alone, and not the worker.
    fn lend_to<T>(
        &mut self,
        slot: usize,
        now: Instant,
        act: impl FnOnce(&mut Session, &SessionContext<'_>, &mut WorkerResources) -> T,
    ) -> Option<Result<T, Panicked>> {
        let session = self.sessions.get_mut(slot)?.session.as_mut()?;
        let service = &self.services[session.group];
        let context = SessionContext {
            handler: &*service.handler,
            relay: service.relay.as_deref(),
            tls: service.tls.as_deref(),
            limits: &self.limits,
            now,
            draining: self.draining.is_some(),
            is_short: self.budget.is_short(),
            is_full: self.budget.excess() > 0,
            slot,
        };
        let held = session.held();
        let resources = &mut self.resources;
        let result = catch_unwind(AssertUnwindSafe(|| act(session, &context, resources)));
        let result = result.map_err(|panic| {
            log::error!("session_panicked peer={:?}", session.peer());
            self.resources.restore(&self.limits);
            drop(panic);
            Panicked
        });
        let holds = session.held();
        self.held = self.held - held + holds;
        self.budget.change(held, holds);
        if held < holds && self.budget.excess() > 0 && self.held < self.budget.share() {
            // Others hold more.
            self.budget.wake_workers();
        }
        Some(result)
    }

    /// Notes what the session is now: its standing, and when to look at it.
    fn after_turn(&mut self, slot: usize) {
        let token = self.token(slot);
        let entry = &mut self.sessions[slot];
        let Some(session) = &entry.session else {
            return;
        };
        let idle = session.idle_since();
        let standing = session.standing();
        let mut deadline =
            session.deadline(&self.limits, self.services[session.group].relay.as_deref());
        if self.draining.is_some()
            && let Some(idle) = idle
        {
            deadline = deadline.min(idle + GRACE);
        }
        let is_sooner = entry.scheduled.is_none_or(|scheduled| deadline < scheduled);
        if is_sooner {
            entry.scheduled = Some(deadline);
        }
        let before = entry.standing.replace(standing);
        if is_sooner {
            let sessions = &self.sessions;
            let counts = |at, token: ConnectionToken| {
                let entry = &sessions[token.slot()];
                entry.generation == token.generation && entry.scheduled == Some(at)
            };
            let members = self.slots.occupied();
            self.deadlines.schedule(deadline, token, members, counts);
        }
        let proven_idle = idle.filter(|_| standing == Standing::Idle);
        self.slots.set_idle(slot, proven_idle);
        self.publish(slot, Some(standing));
        if before != Some(standing) {
            self.set_standing(slot, before, Some(standing));
        }
    }

    fn set_standing(&mut self, slot: usize, before: Option<Standing>, after: Option<Standing>) {
        let token = self.token(slot);
        let sessions = &self.sessions;
        let has = |standing| move |token| has_standing(sessions, token, standing);
        let members = self.slots.occupied();
        match after {
            Some(Standing::Lingering) => {
                self.lingering
                    .push(token, members, has(Standing::Lingering));
            }
            Some(Standing::Unproven) => {
                self.unproven.push(token, members, has(Standing::Unproven));
            }
            _ => {}
        }
        if before == Some(Standing::Lingering) || after == Some(Standing::Lingering) {
            let first = self.lingering.first(has(Standing::Lingering));
            let since = first
                .and_then(|first| self.sessions[first.slot()].session.as_ref())
                .and_then(Session::lingers_since);
            self.slots.set_first_lingering(since);
        }
        if before == Some(Standing::Unproven) || after == Some(Standing::Unproven) {
            let first = self.unproven.first(has(Standing::Unproven));
            let accepted = first
                .and_then(|first| self.sessions[first.slot()].session.as_ref())
                .map(Session::accepted);
            self.slots.set_first_unproven(accepted);
        }
    }

    fn evict(&mut self, victim: Victim, now: Instant) {
        let sessions = &self.sessions;
        let has = |standing| move |token| has_standing(sessions, token, standing);
        let lingering = self.lingering.first(has(Standing::Lingering));
        let slot = match victim {
            Victim::Idle(slot) => self
                .sessions
                .get(slot)
                .is_some_and(|entry| entry.standing == Some(Standing::Idle))
                .then_some(slot),
            Victim::LeastWorth => lingering
                .or_else(|| self.unproven.first(has(Standing::Unproven)))
                .map(ConnectionToken::slot),
        };
        let evicted = slot.and_then(|slot| {
            self.lend_to(slot, now, |session, context, _| {
                session.forget_unread(context);
            });
            self.remove(slot, &counters::CLOSED_SHED)
        });
        // After the slot is free, so that the accepting thread evicts nobody for it again.
        self.slots.evicted();
        self.accept_waker.tell();
        drop(evicted);
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, token)) = self.deadlines.pop_due(now) {
            let Some(slot) = self.live(token) else {
                continue;
            };
            let entry = &mut self.sessions[slot];
            if entry.scheduled != Some(at) {
                continue;
            }
            entry.scheduled = None;
            let Some(session) = &entry.session else {
                continue;
            };
            let idle = session.idle_since();
            if self.draining.is_some() && idle.is_some_and(|since| since + GRACE <= now) {
                self.close(slot, &counters::CLOSED_DRAIN);
            } else if session.deadline(&self.limits, self.services[session.group].relay.as_deref())
                <= now
            {
                self.with_session(slot, now, Session::expire);
            } else {
                self.after_turn(slot);
            }
        }
    }

    /// All connections together hold too much. Where this worker holds more than its
    /// share, those give it back that hold most, counted in bytes times the time for which
    /// they have held them: of equal ones the oldest goes. From [`LARGE`] on the size does
    /// not count, so that a long head that has just begun is not the largest of all because
    /// others hold the budget in small pieces.
    fn give_back(&mut self, now: Instant) {
        if self.held < self.budget.share() {
            return;
        }
        let budget = Arc::clone(&self.budget);
        let Some(claim) = budget.claim() else {
            return;
        };
        self.give_back_largest(now);
        drop(claim);
        if budget.excess() > 0 {
            budget.wake_workers();
        }
    }

    fn give_back_largest(&mut self, now: Instant) {
        let wanted = self.held.saturating_sub(self.budget.excess());
        for slot in self.largest_first(now) {
            if self.held <= wanted {
                return;
            }
            self.lend_to(slot, now, |session, context, _| {
                session.bound_kernel(context);
            });
        }
        for slot in self.largest_first(now) {
            if self.held <= wanted {
                return;
            }
            self.with_session(slot, now, Session::give_back);
        }
    }

    fn largest_first(&self, now: Instant) -> impl Iterator<Item = usize> + use<> {
        let mut holders: Vec<_> = (self.sessions.iter().enumerate())
            .filter_map(|(slot, entry)| {
                let session = entry.session.as_ref()?;
                let held = session.held();
                let time = now.saturating_duration_since(session.holds_since());
                let cost = held.min(LARGE) as u128 * (1 + time.as_micros());
                (held > 0).then_some((Reverse(cost), slot))
            })
            .collect();
        holders.sort_unstable();
        holders.into_iter().map(|(_, slot)| slot)
    }

    /// Tells the accepting thread what a session is worth.
    fn publish(&mut self, slot: usize, standing: Option<Standing>) {
        let entry = &mut self.sessions[slot];
        let before = std::mem::replace(&mut entry.published, standing);
        if before == Some(Standing::Idle) && standing != before {
            self.slots.set_idle(slot, None);
        }
        self.slots.set_standing(before, standing);
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
        drop(self.remove(slot, reason));
    }

    /// Takes a session out. Whoever drops it closes its socket, which also takes it out of
    /// the epoll set. That comes last: a peer that sees the end may come again at once, and
    /// the accepting thread must know by then what has changed.
    fn remove(&mut self, slot: usize, reason: &'static Counter) -> Option<Session> {
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
        self.slots.release();
        self.accept_waker.tell();
        session
    }
}

fn has_standing(sessions: &[Slot], token: ConnectionToken, standing: Standing) -> bool {
    let entry = &sessions[token.slot()];
    entry.generation == token.generation && entry.standing == Some(standing)
}
