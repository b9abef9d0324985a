//! What comes from the client: the PROXY protocol's header, heads, and bodies that are
//! dropped.

use super::{ANSWERS_PER_TURN, Action, Session, SessionContext, State};
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::{self, Outcome};
use crate::http1::scan::Scan;
use crate::log as events;
use crate::net::Read;
use crate::net::proxy_protocol::Outcome as ProxyHeader;
use crate::net::tls::{HANDSHAKE, TlsError, TlsSession};
use crate::server::counters;

/// How much a worker reads at once, beyond a head that is held already.
const READ_BYTES: usize = 16 * 1024;

impl Session {
    /// Reads that header. `None` once it is there.
    pub(super) fn read_proxy_header(&mut self) -> Option<Action> {
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

    /// Answers what has been read, else reads once and answers that. [`Action::RunAgain`]
    /// where there may be more.
    pub(super) fn read_and_answer(
        &mut self,
        context: &SessionContext<'_>,
        buffer: &mut [u8],
    ) -> Action {
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
    pub(super) fn process(&mut self, bytes: &[u8], context: &SessionContext<'_>) -> Action {
        let used = self.consume(bytes, context);
        // Right-sized, and nothing at all where nothing is left.
        self.input = bytes[used..].to_vec();
        self.write(context.now)
    }

    /// Goes through `bytes` and answers what is whole. Returns how much is done with.
    pub(super) fn consume(&mut self, bytes: &[u8], context: &SessionContext<'_>) -> usize {
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
    pub(super) fn is_let_in(&mut self, context: &SessionContext<'_>) -> bool {
        let verified = context.tls.map(|tls| self.transport.verify_again(tls));
        let Some(Err(error)) = verified else {
            return true;
        };
        context.handler.tls_failed(&error, self.peer);
        self.reason = &counters::CLOSED_REFUSED;
        self.enter(State::Closing { linger: true }, context.now);
        false
    }

    pub(super) fn end_of_input(&mut self, context: &SessionContext<'_>) {
        self.read_closed = true;
        match self.state {
            // RFC 9112, section 2.2: an empty line alone is not a request.
            State::ReadingHead if !b"\r\n".starts_with(&self.input) => {
                let held = std::mem::take(&mut self.input);
                self.refuse(&RequestError::bad("incomplete_head"), &held, context);
            }
            State::Lingering(_) => self.enter(State::Finishing, context.now),
            State::Finishing => {}
            _ => self.enter(State::Closing { linger: false }, context.now),
        }
    }

    /// The connection is broken, or its TLS is.
    pub(super) fn read_failed(&mut self, context: &SessionContext<'_>) -> Action {
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
}
