//! One accepted connection: bounded buffers, deadlines, keep-alive, backpressure.

mod answering;
mod deadlines;
mod forwarding;
mod memory;
mod reading;
mod writing;

use std::time::Instant;

use super::resources::WorkerResources;
use super::slots::Standing;
use super::{Limits, counters};
use crate::handler::Handler;
use crate::http1::scan::Scan;
use crate::metrics::Counter;
use crate::net::tls::server::TlsServer;
use crate::net::{Peer, Transport};
use crate::proxy::exchange::Exchange;
use crate::proxy::relay::Relay;

/// Reads and answers before other connections get their turn.
const READS_PER_TURN: usize = 8;
const ANSWERS_PER_TURN: u32 = 16;
/// Who gets more answers in a turn than this pipelines.
const FEW_ANSWERS: u32 = 2;
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
    #[inline]
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

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }

    /// Whether its turn may cost a handshake's share of the processor.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.transport.is_handshaking()
    }
}
