//! One connection: bounded buffers, deadlines, keep-alive, backpressure.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::{Limits, respond};
use crate::handler::Handler;
use crate::http1::error::RequestError;
use crate::http1::framing::KeepAlive;
use crate::http1::request::{self, Outcome, RequestHead};
use crate::http1::scan::Scan;
use crate::metrics::{self, Counter};
use crate::net::{Peer, Stream};

/// Answers that may wait for a slow reader; past it reading stops.
const OUTPUT_BYTES: usize = 64 * 1024;
/// How much a worker reads at once, beyond a head that is held already.
const READ_BYTES: usize = 16 * 1024;
/// Reads before other connections get their turn.
const READS_PER_TURN: usize = 8;
/// What a peer may still send after the last answer without a reset that could
/// destroy it (RFC 9112, section 9.6), and for how long.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// What a worker lends to the connection whose turn it is, so that a connection at
/// rest holds no buffer.
pub(crate) struct WorkerBuffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl WorkerBuffers {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            input: vec![0; limits.head_bytes + READ_BYTES],
            output: Vec::with_capacity(READ_BYTES),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Accepted, and nothing has come.
    Fresh,
    /// Between requests.
    Idle,
    /// Part of a head has come.
    Head,
    /// Answered; this much of its body is still to be dropped.
    Body(u64),
    /// The last answer is being written; then the connection lingers, or not.
    Closing { linger: bool },
    /// Half-closed; what still comes is dropped, up to this much.
    Lingering(usize),
}

/// What a worker does with a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wait for readiness or the deadline.
    Wait,
    /// There is more to do without either.
    Again,
    /// Close it, for this reason.
    Close(Counter),
}

/// What one turn of a connection happens under.
pub(crate) struct Turn<'a> {
    pub(crate) handler: &'a dyn Handler,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Instant,
    /// The peer has closed its side, or the connection broke: read to the end.
    pub(crate) ends: bool,
    /// Say with the answer that the connection closes after it.
    pub(crate) draining: bool,
}

pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    /// Which group's handler answers it.
    pub(crate) group: usize,
    /// Whether the worker has it among those that get another turn at once.
    pub(crate) queued: bool,
    state: State,
    /// When it entered `state`, or last got on in it where that counts.
    since: Instant,
    /// When the peer last took some of the output that waits.
    written: Option<Instant>,
    input: Vec<u8>,
    scan: Scan,
    output: Vec<u8>,
    read_closed: bool,
    /// Why it is about to be closed, once that is so.
    reason: Counter,
    /// Answers in the current turn.
    answers: u32,
}

impl Connection {
    pub(crate) fn new(stream: Stream, peer: Peer, group: usize, now: Instant) -> Self {
        Self {
            stream,
            peer,
            group,
            queued: false,
            state: State::Fresh,
            since: now,
            written: None,
            input: Vec::new(),
            scan: Scan::default(),
            output: Vec::new(),
            read_closed: false,
            reason: Counter::ClosedPeer,
            answers: 0,
        }
    }

    pub(crate) fn source(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Since when nobody waits for anything on it.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle = matches!(self.state, State::Fresh | State::Idle | State::Lingering(_));
        (idle && self.output.is_empty()).then_some(self.since)
    }

    /// Bytes of memory that it holds between its turns.
    pub(crate) fn held(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Gives back the memory that it holds, because all connections together hold too much.
    pub(crate) fn give_up(&mut self, turn: &Turn<'_>) -> Action {
        if self.state == State::Head && self.output.is_empty() {
            let held = std::mem::take(&mut self.input);
            self.refuse(&RequestError::new(503, "memory"), &held, turn);
            let fate = self.write(turn.now);
            if self.output.is_empty() {
                return fate;
            }
        }
        self.stream.forget_unsent();
        Action::Close(Counter::ClosedMemory)
    }

    pub(crate) fn deadline(&self, limits: &Limits) -> Instant {
        if let Some(written) = self.written {
            return written + limits.write_timeout;
        }
        self.since
            + match self.state {
                State::Fresh | State::Head | State::Body(_) => limits.head_timeout,
                State::Idle => limits.idle_timeout,
                State::Closing { .. } => limits.write_timeout,
                State::Lingering(_) => LINGER,
            }
    }

    /// Its deadline has passed.
    pub(crate) fn expire(&mut self, turn: &Turn<'_>) -> Action {
        let reason = match self.state {
            _ if self.written.is_some() => Counter::ClosedWriteTimeout,
            State::Fresh => Counter::ClosedHeadTimeout,
            State::Idle => Counter::ClosedIdle,
            State::Body(_) => Counter::ClosedBodyTimeout,
            State::Closing { .. } => Counter::ClosedWriteTimeout,
            State::Lingering(_) => self.reason,
            State::Head => return self.expire_in_head(turn),
        };
        if reason == Counter::ClosedWriteTimeout {
            self.stream.forget_unsent();
        }
        Action::Close(reason)
    }

    fn expire_in_head(&mut self, turn: &Turn<'_>) -> Action {
        let held = std::mem::take(&mut self.input);
        self.refuse(&RequestError::new(408, "head_timeout"), &held, turn);
        self.write(turn.now)
    }

    /// Reads, answers and writes as far as it goes without waiting.
    pub(crate) fn turn(&mut self, turn: &Turn<'_>, scratch: &mut WorkerBuffers) -> Action {
        let borrowed = self.output.is_empty();
        if borrowed {
            std::mem::swap(&mut self.output, &mut scratch.output);
        }
        self.answers = 0;
        let fate = self.advance(turn, &mut scratch.input);
        if self.answers > 0 {
            metrics::answered(self.answers, turn.now.elapsed());
        }
        if borrowed {
            let rest = self.output.as_slice().into();
            std::mem::swap(&mut self.output, &mut scratch.output);
            self.output = rest;
            scratch.output.clear();
        }
        fate
    }

    fn advance(&mut self, turn: &Turn<'_>, buffer: &mut [u8]) -> Action {
        // What a slow reader held up.
        if !self.output.is_empty() || !self.input.is_empty() {
            let held = std::mem::take(&mut self.input);
            let fate = self.process(&held, turn);
            if matches!(fate, Action::Close(_)) || self.is_held_up() {
                return fate;
            }
        }
        for _ in 0..READS_PER_TURN {
            if self.read_closed {
                return self.write(turn.now);
            }
            let held = self.input.len();
            buffer[..held].copy_from_slice(&self.input);
            let space = (buffer.len() - held).min(READ_BYTES);
            let read = match self.stream.read(&mut buffer[held..held + space]) {
                Ok(0) => {
                    self.end_of_input(turn);
                    return self.write(turn.now);
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.write(turn.now),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Action::Close(Counter::ClosedError),
            };
            let fate = self.process(&buffer[..held + read], turn);
            if matches!(fate, Action::Close(_)) || self.is_held_up() {
                return fate;
            }
            if read < space && !turn.ends {
                // The socket is drained; what comes later makes it ready again (epoll(7)).
                return fate;
            }
        }
        Action::Again
    }

    /// Answers what is whole in `bytes`, as far as the peer takes the answers, and
    /// keeps the rest.
    fn process(&mut self, bytes: &[u8], turn: &Turn<'_>) -> Action {
        let mut used = 0;
        loop {
            used += self.consume(&bytes[used..], turn);
            let was_held_up = self.is_held_up();
            let fate = self.write(turn.now);
            if matches!(fate, Action::Close(_)) || self.is_held_up() || !was_held_up {
                // Right-sized, and nothing at all where nothing is left.
                self.input = bytes[used..].to_vec();
                return fate;
            }
        }
    }

    /// Whether the peer takes so little that reading on would only heap up answers.
    fn is_held_up(&self) -> bool {
        self.output.len() >= OUTPUT_BYTES
    }

    /// Goes through `bytes` and answers what is whole. Returns how much is done with.
    fn consume(&mut self, bytes: &[u8], turn: &Turn<'_>) -> usize {
        let now = turn.now;
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Fresh | State::Idle | State::Head => {
                    if self.is_held_up() {
                        break;
                    }
                    let rest = &bytes[at..];
                    let mut scan = self.scan;
                    let answered = request::read(rest, &mut scan, turn.limits.head_bytes, |head| {
                        // In a drain the last request that has come is the last of all.
                        let last = turn.draining && head.length == rest.len();
                        self.answer(head, turn, last);
                        head.length
                    });
                    self.scan = scan;
                    match answered {
                        Outcome::Partial => {
                            if self.state != State::Head {
                                self.enter(State::Head, now);
                            }
                            break;
                        }
                        Outcome::Refused(refusal) => self.refuse(&refusal, rest, turn),
                        Outcome::Complete(length) => {
                            at += length;
                            self.scan = Scan::default();
                        }
                    }
                }
                State::Body(left) => {
                    let there = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
                    let step = left.min(there);
                    at += usize::try_from(step).unwrap_or(usize::MAX);
                    if step == left {
                        self.enter(State::Idle, now);
                    } else {
                        self.state = State::Body(left - step);
                    }
                }
                State::Closing { .. } => {
                    // Bytes after a request that closes are not parsed, only taken off
                    // the socket, so that closing does not reset it.
                    self.state = State::Closing { linger: true };
                    at = bytes.len();
                }
                State::Lingering(left) => {
                    let step = bytes.len() - at;
                    self.state = State::Lingering(left.saturating_sub(step));
                    at = bytes.len();
                }
            }
        }
        at
    }

    fn answer(&mut self, head: &RequestHead<'_, '_>, turn: &Turn<'_>, last: bool) {
        let handler = turn.handler;
        let keep_alive = if last {
            KeepAlive::Close
        } else {
            head.keep_alive_without_body()
        };
        match head.refusal {
            None => respond::answer(handler, head, self.peer, keep_alive, &mut self.output),
            Some(refusal) => respond::refuse(
                handler,
                &refusal,
                self.peer,
                head.method.is_head(),
                keep_alive,
                &mut self.output,
            ),
        }
        self.answers += 1;
        if keep_alive == KeepAlive::Close {
            self.reason = if last {
                Counter::ClosedDrain
            } else {
                Counter::ClosedAnswered
            };
        }
        let next = match (keep_alive, head.body.at_most()) {
            (KeepAlive::Close, body) => State::Closing { linger: body > 0 },
            (_, 0) => State::Idle,
            (_, body) => State::Body(body),
        };
        self.enter(next, turn.now);
    }

    fn refuse(&mut self, refusal: &RequestError, bytes: &[u8], turn: &Turn<'_>) {
        respond::refuse(
            turn.handler,
            refusal,
            self.peer,
            request::is_head(bytes),
            KeepAlive::Close,
            &mut self.output,
        );
        self.input = Vec::new();
        self.answers += 1;
        self.reason = match refusal.status {
            408 => Counter::ClosedHeadTimeout,
            503 => Counter::ClosedMemory,
            _ => Counter::ClosedRefused,
        };
        self.enter(State::Closing { linger: true }, turn.now);
    }

    fn end_of_input(&mut self, turn: &Turn<'_>) {
        self.read_closed = true;
        match self.state {
            // RFC 9112, section 2.2: an empty line alone is no request.
            State::Head if !b"\r\n".starts_with(&self.input) => {
                let held = std::mem::take(&mut self.input);
                self.refuse(&RequestError::bad("incomplete_head"), &held, turn);
            }
            State::Lingering(_) => {}
            _ => self.enter(State::Closing { linger: false }, turn.now),
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }

    /// Writes what waits, and closes in stages once the last answer is out.
    fn write(&mut self, now: Instant) -> Action {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.write(&self.output[sent..]) {
                Ok(0) => return Action::Close(Counter::ClosedError),
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Action::Close(Counter::ClosedError),
            }
        }
        self.output.drain(..sent);
        if !self.output.is_empty() {
            if sent > 0 || self.written.is_none() {
                self.written = Some(now);
            }
            return Action::Wait;
        }
        if self.written.take().is_some() && self.state == State::Idle {
            self.since = now;
        }
        match self.state {
            State::Closing { linger: true } if !self.read_closed => {
                if self.stream.shutdown_write().is_err() {
                    return Action::Close(Counter::ClosedError);
                }
                self.enter(State::Lingering(LINGER_BYTES), now);
                Action::Wait
            }
            State::Closing { .. } | State::Lingering(0) => Action::Close(self.reason),
            State::Lingering(_) if self.read_closed => Action::Close(self.reason),
            _ => Action::Wait,
        }
    }
}
