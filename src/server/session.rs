//! One accepted connection: bounded buffers, deadlines, keep-alive, backpressure.

mod forwarding;

use std::time::{Duration, Instant};

use mio::Registry;

use super::slots::Standing;
use super::{Limits, counters, respond};
use crate::handler::{Decision, Handler};
use crate::http1::date::Date;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::framing::KeepAlive;
use crate::http1::request::{self, Outcome, RequestHead};
use crate::http1::scan::Scan;
use crate::log as events;
use crate::metrics::Counter;
use crate::net::proxy_protocol::Outcome as ProxyHeader;
use crate::net::tls::server::TlsServer;
use crate::net::tls::{HANDSHAKE, TlsError, TlsSession};
use crate::net::{Peer, Read, Transport, Write};
use crate::proxy::exchange::{self, Exchange};
use crate::proxy::pool::Pool;
use crate::proxy::relay::Relay;

/// Answers that may wait for a slow reader; past it reading stops.
const OUTPUT_FULL: usize = 64 * 1024;
/// How much a worker reads at once, beyond a head that is held already.
const READ_BYTES: usize = 16 * 1024;
/// Reads and answers before other connections get their turn.
const READS_PER_TURN: usize = 8;
const ANSWERS_PER_TURN: u32 = 16;
/// Who gets more answers in a turn than this pipelines.
const FEW_ANSWERS: u32 = 2;
/// How long what a peer still sends after the last answer is read off, in all and
/// between bytes, so that no reset destroys the answer (RFC 9112, section 9.6). These
/// are nginx's `lingering_time` and `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_BETWEEN_BYTES: Duration = Duration::from_secs(5);

/// What a worker lends to the connection whose turn it is, so that a connection at
/// rest holds no buffer.
pub(crate) struct WorkerResources {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Connections to backends.
    pub(crate) pool: Pool,
    /// Where they hear of readiness.
    pub(crate) registry: Registry,
    /// The date for answers that have none.
    date: Date,
}

impl WorkerResources {
    pub(crate) fn new(limits: &Limits, registry: Registry) -> Self {
        Self {
            input: Self::input(limits),
            output: Vec::with_capacity(exchange::READ_BYTES),
            pool: Pool::default(),
            registry,
            date: Date::default(),
        }
    }

    fn input(limits: &Limits) -> Vec<u8> {
        vec![0; limits.head_bytes + exchange::READ_BYTES]
    }

    /// Replaces what a session that panicked has not given back.
    pub(crate) fn restore(&mut self, limits: &Limits) {
        self.input = Self::input(limits);
        self.output = Vec::with_capacity(exchange::READ_BYTES);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Accepted, and nothing has come.
    AwaitingFirstByte,
    /// Between requests.
    Idle,
    /// Part of a head has come.
    ReadingHead,
    /// Answered; this much of its body is still to be dropped.
    DiscardingBody(u64),
    /// A backend answers.
    Forwarding,
    /// The last answer is being written; then the connection lingers, or not.
    Closing { linger: bool },
    /// Half-closed at that time; what still comes is dropped.
    Lingering(Instant),
    /// Half-closed, and nothing more is expected: it stays until the peer has taken
    /// everything, so that what the kernel holds for it belongs to a slot.
    Finishing,
}

/// What a worker does with a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wait for readiness or the deadline.
    Wait,
    /// There is more to do without either.
    RunAgain,
    /// Close it, for this reason.
    Close(&'static Counter),
}

/// What a session acts under.
pub(crate) struct SessionContext<'a> {
    pub(crate) handler: &'a dyn Handler,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Instant,
    /// Say with the answer that the connection closes after it.
    pub(crate) draining: bool,
    /// Whether memory is short, so that little is to be read at once.
    pub(crate) is_short: bool,
    /// Whether there is none left, so that nothing new is to be forwarded.
    pub(crate) is_full: bool,
    /// Where requests are forwarded to, if they are.
    pub(crate) relay: Option<&'a Relay>,
    /// What TLS is answered with.
    pub(crate) tls: Option<&'a TlsServer>,
    /// The session's own slot.
    pub(crate) slot: usize,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Session {
    transport: Transport,
    peer: Peer,
    /// Whether the PROXY protocol's header has yet to come.
    awaits_proxy_header: bool,
    /// Which group of listeners it came by, and so which handler answers it.
    pub(crate) group: usize,
    state: State,
    accepted: Instant,
    /// When it entered `state`, or last got on in it where that counts.
    since: Instant,
    /// When the peer last took some of the output that waits.
    written: Option<Instant>,
    /// Bytes that are read and not done with.
    input: Vec<u8>,
    /// Whether `input` was left at the end of a turn, and may hold whole requests.
    unparsed: bool,
    scan: Scan,
    output: Vec<u8>,
    exchange: Option<Box<Exchange>>,
    /// Whether the rest of what was forwarded waits to be written.
    forwarded_waits: bool,
    read_closed: bool,
    /// Whether it has presented a good credential.
    proven: bool,
    /// Why it is about to be closed, once that is so.
    reason: &'static Counter,
    /// Answers of our own in the current turn.
    answers: u32,
    /// Answers of backends in it.
    forwarded: u32,
    greedy: bool,
    /// Bytes that the kernel holds for it, as of its last turn.
    kernel_held: usize,
}

impl Session {
    pub(crate) fn new(transport: Transport, peer: Peer, group: usize, accepted: Instant) -> Self {
        Self {
            transport,
            peer,
            awaits_proxy_header: false,
            group,
            state: State::AwaitingFirstByte,
            accepted,
            since: accepted,
            written: None,
            input: Vec::new(),
            unparsed: false,
            scan: Scan::default(),
            output: Vec::new(),
            exchange: None,
            forwarded_waits: false,
            read_closed: false,
            proven: false,
            reason: &counters::CLOSED_PEER,
            answers: 0,
            forwarded: 0,
            greedy: false,
            kernel_held: 0,
        }
    }

    /// Takes the client from the PROXY protocol's header, which has to come first.
    pub(crate) fn expect_proxy_header(&mut self) {
        self.awaits_proxy_header = true;
    }

    /// Reads that header. `None` once it is there.
    fn read_proxy_header(&mut self) -> Option<Action> {
        match self.transport.read_proxy_header() {
            ProxyHeader::Partial => Some(Action::Wait),
            ProxyHeader::Complete(_, source) => {
                self.peer = source.unwrap_or(self.peer);
                self.awaits_proxy_header = false;
                None
            }
            ProxyHeader::Malformed(error) => {
                let peer = TrustedProxies::peer(self.peer);
                events::refusal(
                    peer.address(),
                    format_args!("proxy_protocol_failed error=\"{error}\" peer={peer}"),
                );
                Some(Action::Close(&counters::CLOSED_REFUSED))
            }
        }
    }

    pub(crate) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Since when it lingers, if it does.
    pub(crate) fn lingers_since(&self) -> Option<Instant> {
        match self.state {
            State::Lingering(began) => Some(began),
            _ => None,
        }
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Since when it holds what it holds, about.
    pub(crate) fn holds_since(&self) -> Instant {
        self.written.unwrap_or(self.since)
    }

    /// Since when nobody waits for anything on it.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle = matches!(
            self.state,
            State::AwaitingFirstByte | State::Idle | State::Lingering(_) | State::Finishing
        );
        (idle && !self.waits_for_peer()).then_some(self.since)
    }

    /// How much it is worth when slots are short.
    pub(crate) fn standing(&self) -> Standing {
        match self.state {
            State::Lingering(_) => Standing::Lingering,
            _ if !self.proven => Standing::Unproven,
            _ if self.idle_since().is_some() => Standing::Idle,
            _ => Standing::Busy,
        }
    }

    /// Whether it had so much to do in its last turn that whoever has little goes first.
    pub(crate) fn is_greedy(&self) -> bool {
        self.greedy
    }

    /// Has the kernel forget what the peer has not taken, because its slot is taken from
    /// it. After the time that the kernel itself waits for a peer there is nothing, and
    /// an end is kinder than a reset to who waits with an idle connection.
    pub(crate) fn forget_unread(&self, context: &SessionContext<'_>) {
        let patience = patience(context.limits, context.relay);
        let unused = context.now.saturating_duration_since(self.since) >= patience;
        if self.standing() != Standing::Idle || !unused {
            self.transport.reset_on_close();
        }
    }

    /// Bytes of memory that it holds between its turns.
    pub(crate) fn held(&self) -> usize {
        let exchange = self.exchange.as_ref().map_or(0, |exchange| exchange.held());
        let own = self.input.capacity() + self.output.capacity() + self.transport.held();
        own + exchange + self.kernel_held
    }

    /// Takes account of what the kernel holds for it. Where nothing is forwarded its
    /// buffers are small, and there are no more of them than slots.
    fn measure_kernel(&mut self, context: &SessionContext<'_>) {
        if context.relay.is_none() {
            return;
        }
        let backend = self.backend_transport();
        let backend = backend.map_or(0, |backend| backend.kernel_held());
        self.kernel_held = backend + self.transport.kernel_held();
    }

    /// Bounds what the kernel may hold for it, because all connections together hold too
    /// much.
    pub(crate) fn bound_kernel(&mut self, context: &SessionContext<'_>) {
        self.transport.bound_kernel();
        if let Some(backend) = self.backend_transport() {
            backend.bound_kernel();
        }
        self.measure_kernel(context);
    }

    /// Gives back the memory that it holds, because all connections together hold too much.
    pub(crate) fn give_back(
        &mut self,
        context: &SessionContext<'_>,
        _: &mut WorkerResources,
    ) -> Action {
        if self.state == State::ReadingHead && self.output.is_empty() {
            let held = std::mem::take(&mut self.input);
            self.refuse(&RequestError::new(503, "memory"), &held, context);
            let action = self.write(context.now);
            if self.output.is_empty() {
                return action;
            }
        }
        self.transport.reset_on_close();
        Action::Close(&counters::CLOSED_MEMORY)
    }

    pub(crate) fn deadline(&self, limits: &Limits, relay: Option<&Relay>) -> Instant {
        if let (Some(exchange), Some(relay)) = (&self.exchange, relay) {
            let deadline = exchange.deadline(self.written, relay);
            return deadline.unwrap_or(self.since + limits.idle_timeout);
        }
        if let Some(written) = self.written {
            let forwarded = relay.filter(|_| self.forwarded_waits);
            return written + forwarded.map_or(limits.write_timeout, |relay| relay.write_timeout);
        }
        match self.state {
            State::AwaitingFirstByte | State::ReadingHead | State::DiscardingBody(_) => {
                self.since + limits.head_timeout
            }
            State::Idle | State::Forwarding => self.since + limits.idle_timeout,
            State::Closing { .. } => self.since + limits.write_timeout,
            State::Lingering(began) => (began + LINGER).min(self.since + LINGER_BETWEEN_BYTES),
            State::Finishing => self.since + patience(limits, relay),
        }
    }

    /// Its deadline has passed.
    pub(crate) fn expire(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
    ) -> Action {
        if self.exchange.is_some() {
            return self.expire_in_exchange(context, resources);
        }
        let reason = match self.state {
            _ if self.written.is_some() => &counters::CLOSED_WRITE_TIMEOUT,
            State::AwaitingFirstByte => &counters::CLOSED_HEAD_TIMEOUT,
            State::Idle | State::Forwarding => &counters::CLOSED_IDLE,
            State::DiscardingBody(_) => &counters::CLOSED_BODY_TIMEOUT,
            State::Closing { .. } => &counters::CLOSED_WRITE_TIMEOUT,
            State::Lingering(_) | State::Finishing => {
                // What the peer has not taken by now would outlive its slot.
                self.transport.reset_on_close();
                self.reason
            }
            State::ReadingHead => return self.expire_in_head(context),
        };
        if reason == &counters::CLOSED_WRITE_TIMEOUT {
            self.transport.reset_on_close();
        }
        Action::Close(reason)
    }

    fn expire_in_head(&mut self, context: &SessionContext<'_>) -> Action {
        let held = std::mem::take(&mut self.input);
        self.refuse(&RequestError::new(408, "head_timeout"), &held, context);
        self.write(context.now)
    }

    /// Reads, answers and writes as far as it goes without waiting, and no further than
    /// others can wait.
    pub(crate) fn on_ready(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
    ) -> Action {
        let borrowed = self.output.is_empty();
        if borrowed {
            std::mem::swap(&mut self.output, &mut resources.output);
        }
        (self.answers, self.forwarded) = (0, 0);
        let mut buffer = std::mem::take(&mut resources.input);
        let action = self.advance(context, resources, &mut buffer);
        resources.input = buffer;
        self.greedy = action == Action::RunAgain
            || self.answers + self.forwarded > FEW_ANSWERS
            || self.waits_for_peer()
            || self.unparsed;
        if action == Action::Wait {
            self.measure_kernel(context);
        }
        if self.answers > 0 {
            counters::ANSWERS.observe(self.answers, context.now.elapsed());
        }
        if borrowed {
            let rest = self.output.as_slice().into();
            std::mem::swap(&mut self.output, &mut resources.output);
            self.output = rest;
            resources.output.clear();
        } else if self.output.capacity() > 2 * self.output.len() {
            // What the peer has taken no longer costs memory.
            self.output.shrink_to_fit();
        }
        action
    }

    fn advance(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
        buffer: &mut [u8],
    ) -> Action {
        for _ in 0..READS_PER_TURN {
            if self.exchange.is_some() {
                let action = self.forward(context, resources, buffer);
                if action != Action::RunAgain || self.exchange.is_some() {
                    return action;
                }
            }
            let action = self.read_and_answer(context, buffer);
            let waits = action == Action::Wait && self.exchange.is_none();
            if waits || matches!(action, Action::Close(_)) {
                return action;
            }
            if self.answers + self.forwarded >= ANSWERS_PER_TURN {
                return Action::RunAgain;
            }
        }
        Action::RunAgain
    }

    /// Answers what has been read, else reads once and answers that. [`Action::RunAgain`]
    /// where there may be more.
    fn read_and_answer(&mut self, context: &SessionContext<'_>, buffer: &mut [u8]) -> Action {
        // What a slow reader or the end of the last turn held up.
        if self.unparsed || self.waits_for_peer() {
            let held = std::mem::take(&mut self.input);
            let action = self.process(&held, context);
            let has_next = self.unparsed || self.exchange.is_some();
            if matches!(action, Action::Close(_)) || self.output_full() || has_next {
                return action;
            }
        }
        if self.read_closed || !self.transport.is_readable() {
            return self.write(context.now);
        }
        if self.awaits_proxy_header
            && let Some(action) = self.read_proxy_header()
        {
            return action;
        }
        let held = self.input.len();
        buffer[..held].copy_from_slice(&self.input);
        let space = (buffer.len() - held).min(READ_BYTES);
        let read = match self.transport.read(&mut buffer[held..held + space]) {
            Read::Bytes(read) => read,
            Read::End => {
                self.end_of_input(context);
                return self.write(context.now);
            }
            Read::Blocked => return self.write(context.now),
            Read::Nothing => return Action::RunAgain,
            Read::Failed(_) => return self.read_failed(context),
        };
        let action = self.process(&buffer[..held + read], context);
        if action == Action::Wait && !self.output_full() && self.transport.is_readable() {
            return Action::RunAgain;
        }
        action
    }

    /// Answers what is whole in `bytes`, as far as the peer takes the answers, and
    /// keeps the rest.
    fn process(&mut self, bytes: &[u8], context: &SessionContext<'_>) -> Action {
        let used = self.consume(bytes, context);
        // Right-sized, and nothing at all where nothing is left.
        self.input = bytes[used..].to_vec();
        self.write(context.now)
    }

    /// Whether the peer takes so little that reading on would only heap up answers.
    fn output_full(&self) -> bool {
        self.output.len() >= OUTPUT_FULL
    }

    /// Goes through `bytes` and answers what is whole. Returns how much is done with.
    fn consume(&mut self, bytes: &[u8], context: &SessionContext<'_>) -> usize {
        let now = context.now;
        let mut at = 0;
        self.unparsed = false;
        let is_plain = self.transport.tls().is_none();
        let is_first = self.state == State::AwaitingFirstByte && is_plain;
        if is_first && bytes.first() == Some(&HANDSHAKE) {
            // No answer of ours means anything to whoever waits for a handshake.
            context.handler.tls_failed(&TlsError::NotPlain, self.peer);
            self.reason = &counters::CLOSED_REFUSED;
            self.enter(State::Closing { linger: true }, now);
        }
        while at < bytes.len() {
            match self.state {
                State::AwaitingFirstByte | State::Idle | State::ReadingHead => {
                    if self.output_full() || self.answers >= ANSWERS_PER_TURN {
                        self.unparsed = true;
                        break;
                    }
                    if !self.is_let_in(context) {
                        continue;
                    }
                    let rest = &bytes[at..];
                    let mut scan = self.scan;
                    let limit = context.limits.head_bytes;
                    let answered = request::read(rest, &mut scan, limit, |head| {
                        // In a drain the last request that has come is the last of all.
                        let last = context.draining && head.length == rest.len();
                        self.answer(head, context, last);
                        head.length
                    });
                    self.scan = scan;
                    match answered {
                        Outcome::Partial => {
                            if self.state != State::ReadingHead {
                                self.enter(State::ReadingHead, now);
                            }
                            break;
                        }
                        Outcome::Refused(error) => self.refuse(&error, rest, context),
                        Outcome::Complete(length) => {
                            at += length;
                            self.scan = Scan::default();
                        }
                    }
                }
                State::DiscardingBody(left) => {
                    let there = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
                    let step = left.min(there);
                    at += usize::try_from(step).unwrap_or(usize::MAX);
                    if step == left {
                        self.enter(State::Idle, now);
                    } else {
                        self.state = State::DiscardingBody(left - step);
                    }
                }
                State::Forwarding => break,
                State::Closing { .. } => {
                    // Bytes after a request that closes are not parsed, only taken off
                    // the socket, so that closing does not reset it.
                    self.state = State::Closing { linger: true };
                    at = bytes.len();
                }
                State::Lingering(_) => {
                    self.since = now;
                    at = bytes.len();
                }
                State::Finishing => at = bytes.len(),
            }
        }
        at
    }

    /// Whether the client's certificate still passes. Where it does not, the connection is
    /// closed.
    fn is_let_in(&mut self, context: &SessionContext<'_>) -> bool {
        let verified = context.tls.map(|tls| self.transport.verify_again(tls));
        let Some(Err(error)) = verified else {
            return true;
        };
        context.handler.tls_failed(&error, self.peer);
        self.reason = &counters::CLOSED_REFUSED;
        self.enter(State::Closing { linger: true }, context.now);
        false
    }

    fn answer(&mut self, head: &RequestHead<'_, '_>, context: &SessionContext<'_>, last: bool) {
        let keep_alive = if last {
            KeepAlive::Close
        } else {
            head.keep_alive_without_body()
        };
        let (is_head, out) = (head.method.is_head(), &mut self.output);
        let is_loop = |relay: &Relay| relay.has_forwarded(head);
        let decision = match head.refusal {
            Some(error) => Err(error),
            None if context.relay.is_some_and(is_loop) => Err(RequestError::new(508, "loop")),
            None => respond::decide(context.handler, head, self.peer),
        };
        match (decision, context.relay) {
            (Ok(Decision::Forward(..)), Some(_)) if context.is_full => {
                let error = RequestError::new(503, "memory");
                respond::refuse(context.handler, &error, self.peer, is_head, keep_alive, out);
            }
            (Ok(Decision::Forward(edits, entry)), Some(relay)) => {
                return self.start_exchange(head, &edits, entry, relay, context);
            }
            (Ok(Decision::Forward(..)), None) => {
                let error = RequestError::new(502, "no_backend");
                respond::refuse(context.handler, &error, self.peer, is_head, keep_alive, out);
            }
            (Ok(Decision::Respond(answer)), _) => {
                self.proven |= answer.is_granted();
                respond::print_answer(answer, is_head, keep_alive, out);
            }
            (Err(error), _) => {
                respond::refuse(context.handler, &error, self.peer, is_head, keep_alive, out);
            }
        }
        self.answers += 1;
        self.after_answer(keep_alive, head.body.at_most(), last, context.now);
    }

    /// An answer is in the output; `body` bytes of its request's body have not been read.
    fn after_answer(&mut self, keep_alive: KeepAlive, body: u64, draining: bool, now: Instant) {
        if keep_alive == KeepAlive::Close {
            self.reason = if draining {
                &counters::CLOSED_DRAIN
            } else {
                &counters::CLOSED_ANSWERED
            };
        }
        let next = match (keep_alive, body) {
            (KeepAlive::Close, body) => State::Closing { linger: body > 0 },
            (_, 0) => State::Idle,
            (_, body) => State::DiscardingBody(body),
        };
        self.enter(next, now);
    }

    fn refuse(&mut self, error: &RequestError, bytes: &[u8], context: &SessionContext<'_>) {
        respond::refuse(
            context.handler,
            error,
            self.peer,
            request::is_head(bytes),
            KeepAlive::Close,
            &mut self.output,
        );
        self.input = Vec::new();
        self.answers += 1;
        self.reason = match error.status {
            408 => &counters::CLOSED_HEAD_TIMEOUT,
            503 => &counters::CLOSED_MEMORY,
            _ => &counters::CLOSED_REFUSED,
        };
        self.enter(State::Closing { linger: true }, context.now);
    }

    fn end_of_input(&mut self, context: &SessionContext<'_>) {
        self.read_closed = true;
        match self.state {
            // RFC 9112, section 2.2: an empty line alone is no request.
            State::ReadingHead if !b"\r\n".starts_with(&self.input) => {
                let held = std::mem::take(&mut self.input);
                self.refuse(&RequestError::bad("incomplete_head"), &held, context);
            }
            State::Lingering(_) => self.enter(State::Finishing, context.now),
            State::Finishing => {}
            _ => self.enter(State::Closing { linger: false }, context.now),
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }

    /// Whether its turn may cost a handshake's share of the processor.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.transport.is_handshaking()
    }

    /// Whether the peer has yet to take anything that is meant for it.
    fn waits_for_peer(&self) -> bool {
        !self.output.is_empty() || self.transport.unflushed() > 0
    }

    fn write_output(&mut self) -> Write {
        let flushed = match self.transport.flush() {
            Write::Bytes(flushed) => flushed,
            failed @ Write::Failed(_) => return failed,
        };
        if self.output.is_empty() {
            return Write::Bytes(flushed);
        }
        match self.transport.write(&self.output) {
            Write::Bytes(taken) => {
                self.output.drain(..taken);
                Write::Bytes(flushed + taken)
            }
            failed @ Write::Failed(_) => failed,
        }
    }

    /// The connection is broken, or its TLS is.
    fn read_failed(&mut self, context: &SessionContext<'_>) -> Action {
        if matches!(self.state, State::Lingering(_) | State::Finishing) {
            return Action::Close(self.reason);
        }
        let Some(error) = self.transport.tls().and_then(TlsSession::error).cloned() else {
            return Action::Close(&counters::CLOSED_ERROR);
        };
        // Many clients end an idle connection so, and whoever only looks whether the port
        // is open does.
        let is_idle = matches!(self.state, State::AwaitingFirstByte | State::Idle);
        if matches!(error, TlsError::Truncated) && is_idle {
            return Action::Close(&counters::CLOSED_PEER);
        }
        if !matches!(error, TlsError::NotTls) {
            context.handler.tls_failed(&error, self.peer);
            return Action::Close(&counters::CLOSED_ERROR);
        }
        self.transport.drop_tls();
        self.refuse(&RequestError::new(400, "plain_http"), b"", context);
        self.write(context.now)
    }

    /// Closes once the peer has closed its side and has taken everything.
    fn finish(&self) -> Action {
        if self.read_closed && self.transport.is_finished() {
            return Action::Close(self.reason);
        }
        Action::Wait
    }

    /// Writes what waits, and closes in stages once the last answer is out.
    fn write(&mut self, now: Instant) -> Action {
        if self.waits_for_peer() {
            let sent = match self.write_output() {
                Write::Bytes(sent) => sent,
                Write::Failed(_) => return Action::Close(&counters::CLOSED_ERROR),
            };
            if self.waits_for_peer() {
                if sent > 0 || self.written.is_none() {
                    self.written = Some(now);
                }
                return Action::Wait;
            }
        }
        self.forwarded_waits = false;
        if self.written.take().is_some() && self.state == State::Idle {
            self.since = now;
        }
        match self.state {
            State::Closing { linger } => {
                if self.transport.shutdown_write().is_err() {
                    return Action::Close(self.reason);
                }
                self.enter(
                    if linger && !self.read_closed {
                        State::Lingering(now)
                    } else {
                        State::Finishing
                    },
                    now,
                );
                self.finish()
            }
            State::Finishing => self.finish(),
            _ if self.unparsed => Action::RunAgain,
            _ => Action::Wait,
        }
    }
}

/// How long a peer may take nothing.
fn patience(limits: &Limits, relay: Option<&Relay>) -> Duration {
    relay.map_or(limits.write_timeout, |relay| relay.write_timeout)
}
