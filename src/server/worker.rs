//! One thread of the pool: readiness -> requests -> answers.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::session::{Action, Connection, Turn, WorkerBuffers};
use super::slots::{AcceptWaker, ConnectionSlots};
use super::{Limits, scheduling};
use crate::handler::Handler;
use crate::metrics::{Counter, count};
use crate::net::{Peer, Stream};

/// What heads that have half come and answers that nobody takes may hold in all workers
/// together, in bytes. It bounds what any number of hostile connections can cost.
const HELD_BYTES: usize = 8 * 1024 * 1024;
const INBOX: Token = Token(usize::MAX);
/// How far apart looks at the deadlines are, at the least.
const TICK: Duration = Duration::from_millis(50);
/// In a drain a connection that was busy this lately may bring one more request.
const GRACE: Duration = Duration::from_secs(1);

/// What the accepting thread tells a worker.
enum Message {
    Accepted(Stream, Peer, usize),
    /// Close the connection in this seat if it is idle still.
    Shed(usize),
    /// Answer what is in flight, and be gone by then.
    Drain(Instant),
}

/// The accepting thread's end of a worker.
pub(crate) struct Handle {
    pub(crate) seats: Arc<ConnectionSlots>,
    inbox: Sender<Message>,
    waker: Waker,
}

impl Handle {
    pub(crate) fn accept(&self, stream: Stream, peer: Peer, group: usize) {
        self.seats.take();
        self.tell(Message::Accepted(stream, peer, group));
    }

    pub(crate) fn shed(&self, seat: usize) {
        self.seats.condemn(seat);
        self.tell(Message::Shed(seat));
    }

    pub(crate) fn drain(&self, deadline: Instant) {
        self.tell(Message::Drain(deadline));
    }

    fn tell(&self, message: Message) {
        // A worker that is gone has drained; nothing is owed to it.
        if self.inbox.send(message).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// Starts a worker. `vacancy` hears of each connection that ends, and of the worker's own end.
pub(crate) fn start(
    name: String,
    handlers: Arc<[Arc<dyn Handler>]>,
    limits: Limits,
    seats: ConnectionSlots,
    vacancy: Arc<AcceptWaker>,
    workers: usize,
) -> io::Result<Handle> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), INBOX)?;
    let (inbox, messages) = channel();
    let seats = Arc::new(seats);
    let mut worker = Worker {
        poll,
        messages,
        handlers,
        scratch: WorkerBuffers::new(&limits),
        limits,
        seats: Arc::clone(&seats),
        connections: Vec::new(),
        free: Vec::new(),
        again: Vec::new(),
        held: 0,
        may_hold: HELD_BYTES / workers,
        next_look: None,
        draining: None,
        vacancy,
    };
    std::thread::Builder::new().name(name).spawn(move || {
        scheduling::wake_politely();
        worker.run();
        drop(worker.connections);
        worker.seats.close();
        worker.vacancy.wake();
    })?;
    Ok(Handle {
        seats,
        inbox,
        waker,
    })
}

struct Worker {
    poll: Poll,
    messages: Receiver<Message>,
    handlers: Arc<[Arc<dyn Handler>]>,
    limits: Limits,
    scratch: WorkerBuffers,
    seats: Arc<ConnectionSlots>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections with more to do that no readiness will tell of.
    again: Vec<usize>,
    /// Bytes that the connections hold between their turns, and how many they may.
    held: usize,
    may_hold: usize,
    /// No deadline passes before this.
    next_look: Option<Instant>,
    /// When a drain ends.
    draining: Option<Instant>,
    vacancy: Arc<AcceptWaker>,
}

impl Worker {
    fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        let mut now = Instant::now();
        loop {
            let timeout = self.timeout(now);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("poll_failed error=\"{error}\"");
                return;
            }
            now = Instant::now();
            for seat in std::mem::take(&mut self.again) {
                if let Some(Some(connection)) = self.connections.get_mut(seat) {
                    connection.queued = false;
                }
                self.turn(seat, now, false);
            }
            for event in &events {
                match event.token() {
                    INBOX => self.read_inbox(now),
                    Token(seat) => {
                        let ends = event.is_read_closed() || event.is_error();
                        self.turn(seat, now, ends);
                    }
                }
            }
            if self.next_look.is_some_and(|look| look <= now) {
                self.look_at_deadlines(now);
            }
            if let Some(end) = self.draining
                && (end <= now || self.free.len() == self.connections.len())
            {
                return;
            }
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.next_look, self.draining]
            .into_iter()
            .flatten()
            .min()?;
        // epoll_wait(2) counts whole milliseconds; rounding down would spin.
        Some(next.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn read_inbox(&mut self, now: Instant) {
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Accepted(stream, peer, group) => self.seat(stream, peer, group, now),
                Message::Shed(seat) => self.shed(seat),
                Message::Drain(deadline) => {
                    self.draining = Some(deadline);
                    for seat in 0..self.connections.len() {
                        self.turn(seat, now, false);
                    }
                }
            }
        }
    }

    fn seat(&mut self, stream: Stream, peer: Peer, group: usize, now: Instant) {
        let seat = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.seats.sit(seat);
        let mut connection = Connection::new(stream, peer, group, now);
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(connection.source(), Token(seat), both);
        self.connections[seat] = Some(connection);
        if let Err(error) = registered {
            log::error!("register_failed error=\"{error}\"");
            self.close(seat, Counter::ClosedError);
            return;
        }
        // Its first request has mostly come by now; epoll would say so a call later.
        self.turn(seat, now, false);
    }

    fn shed(&mut self, seat: usize) {
        let idle = |connection: &Connection| connection.idle_since().is_some();
        let closes = self.connection(seat).is_some_and(idle);
        self.seats.judged();
        if closes {
            self.close(seat, Counter::ClosedShed);
        } else {
            self.vacancy.tell();
        }
    }

    fn connection(&self, seat: usize) -> Option<&Connection> {
        self.connections.get(seat)?.as_ref()
    }

    fn turn(&mut self, seat: usize, now: Instant, ends: bool) {
        let Some(Some(connection)) = self.connections.get_mut(seat) else {
            return;
        };
        // Before its answer can be seen: whoever has one is no longer the longest-idle.
        self.seats.set_idle(seat, None);
        let turn = Turn {
            handler: &*self.handlers[connection.group],
            limits: &self.limits,
            now,
            ends,
            draining: self.draining.is_some(),
        };
        self.held -= connection.held();
        let mut fate = connection.turn(&turn, &mut self.scratch);
        let held = connection.held();
        if held > 0 && self.held + held > self.may_hold && !matches!(fate, Action::Close(_)) {
            fate = connection.give_up(&turn);
        }
        self.held += connection.held();
        self.settle(seat, fate);
    }

    fn settle(&mut self, seat: usize, fate: Action) {
        let Some(Some(connection)) = self.connections.get_mut(seat) else {
            return;
        };
        match fate {
            Action::Close(reason) => return self.close(seat, reason),
            Action::Again if connection.queued => {}
            Action::Again => {
                connection.queued = true;
                self.again.push(seat);
            }
            Action::Wait => {}
        }
        let idle = connection.idle_since();
        self.seats.set_idle(seat, idle);
        let mut deadline = connection.deadline(&self.limits);
        if self.draining.is_some()
            && let Some(idle) = idle
        {
            deadline = deadline.min(idle + GRACE);
        }
        self.next_look = Some(self.next_look.map_or(deadline, |look| look.min(deadline)));
    }

    fn look_at_deadlines(&mut self, now: Instant) {
        self.next_look = None;
        for seat in 0..self.connections.len() {
            let Some(Some(connection)) = self.connections.get_mut(seat) else {
                continue;
            };
            let drained = self.draining.is_some()
                && connection
                    .idle_since()
                    .is_some_and(|since| since + GRACE <= now);
            let fate = if drained {
                Action::Close(Counter::ClosedDrain)
            } else if connection.deadline(&self.limits) <= now {
                let turn = Turn {
                    handler: &*self.handlers[connection.group],
                    limits: &self.limits,
                    now,
                    ends: false,
                    draining: self.draining.is_some(),
                };
                self.held -= connection.held();
                let fate = connection.expire(&turn);
                self.held += connection.held();
                fate
            } else {
                Action::Wait
            };
            self.settle(seat, fate);
        }
        self.next_look = self.next_look.map(|look| look.max(now + TICK));
    }

    fn close(&mut self, seat: usize, reason: Counter) {
        count(reason);
        // Dropping the socket closes it, which also takes it out of the epoll set.
        if let Some(connection) = self.connections[seat].take() {
            self.held -= connection.held();
        }
        self.free.push(seat);
        self.seats.leave(seat);
        self.vacancy.tell();
    }
}
