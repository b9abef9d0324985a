//! A session whose request a backend answers.

use tiny_http::Header;

use super::{Action, Session, SessionContext, State};
use crate::http1::edits::{CorsFields, Edits};
use crate::http1::error::RequestError;
use crate::http1::framing::{BodyLength, KeepAlive};
use crate::http1::request::RequestHead;
use crate::log::AccessEntry;
use crate::metrics::Counter;
use crate::net::Transport;
use crate::proxy::attempt::AttemptContext;
use crate::proxy::client_end::ClientEnd;
use crate::proxy::exchange::{self, Ending, Exchange, ExchangeContext, Progress};
use crate::proxy::failure::Failure;
use crate::proxy::relay::Relay;
use crate::proxy::report::End;
use crate::server::resources::WorkerResources;
use crate::server::{counters, respond};

impl Session {
    /// Whether a backend answers.
    pub(crate) fn is_forwarding(&self) -> bool {
        self.exchange.is_some()
    }

    /// The connection to the backend that answers, for an event.
    pub(crate) fn backend_transport(&mut self) -> Option<&mut Transport> {
        self.exchange.as_mut()?.backend_transport()
    }

    /// Ends what is under way with a backend, before the session is dropped.
    pub(crate) fn end_exchange(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
    ) {
        if let (Some(mut exchange), Some(relay)) = (self.exchange.take(), context.relay) {
            let mut attempt = attempt_context(relay, self.group, context, resources);
            exchange.finish(End::Closed, &mut attempt);
        }
    }

    pub(super) fn start_exchange(
        &mut self,
        head: &RequestHead<'_, '_>,
        edits: &Edits,
        entry: Option<Box<AccessEntry>>,
        counter: &Counter,
        relay: &Relay,
        context: &SessionContext<'_>,
    ) {
        self.proven |= !matches!(edits, Edits::Public);
        if let (Some(most), BodyLength::Sized(length)) = (relay.limits.body_bytes, head.body)
            && length > most
        {
            let (is_head, keep_alive) = (head.method.is_head(), KeepAlive::Close);
            let (error, out) = (RequestError::BODY_TOO_LONG, &mut self.output);
            let bytes =
                respond::refuse(context.handler, &error, self.peer, is_head, keep_alive, out);
            if let Some(entry) = entry {
                entry.write(413, format_args!(" bytes={bytes}"));
            }
            self.answers += 1;
            return self.after_answer(keep_alive, length, false, context.now);
        }
        counter.increment();
        let is_tls = self.transport.tls().is_some();
        let forwarding = relay.forwarding(self.peer, if is_tls { "https" } else { "http" });
        self.exchange = Some(Exchange::new(head, edits, entry, &forwarding, context.now));
        self.enter(State::Forwarding, context.now);
    }

    /// Goes on with the exchange. [`Action::RunAgain`] where it is over and the
    /// connection stays, or where there is more to do.
    pub(super) fn forward(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
        buffer: &mut [u8],
    ) -> Action {
        let (Some(mut exchange), Some(relay)) = (self.exchange.take(), context.relay) else {
            return Action::Wait;
        };
        if context.draining && exchange.is_endless() {
            let mut attempt = attempt_context(relay, self.group, context, resources);
            exchange.finish(End::Closed, &mut attempt);
            return Action::Close(&counters::CLOSED_DRAIN);
        }
        let mut client = ClientEnd {
            transport: &mut self.transport,
            input: &mut self.input,
            output: &mut self.output,
            written: &mut self.written,
        };
        let mut progress_context = ExchangeContext {
            attempt: AttemptContext {
                relay,
                relay_number: self.group,
                pool: &mut resources.pool,
                registry: &resources.registry,
                owner: context.slot,
                now: context.now,
            },
            buffer,
            date: &mut resources.date,
            draining: context.draining,
            most: if context.is_short {
                exchange::LEAST_READ_BYTES
            } else {
                exchange::READ_BYTES
            },
        };
        let progress = exchange.advance(&mut client, &mut progress_context);
        exchange.count_bytes(relay);
        match progress {
            Progress::Wait if context.draining && exchange.is_endless() => {
                exchange.finish(End::Closed, &mut progress_context.attempt);
                return Action::Close(&counters::CLOSED_DRAIN);
            }
            Progress::Wait => self.exchange = Some(exchange),
            Progress::RunAgain => {
                self.exchange = Some(exchange);
                return Action::RunAgain;
            }
            Progress::Done(ending) => {
                exchange.finish(End::Whole, &mut progress_context.attempt);
                return self.end_forwarding(ending, context);
            }
            Progress::Failed(failure) => {
                let attempt = &mut progress_context.attempt;
                return self.fail(&mut exchange, failure, context, attempt);
            }
        }
        Action::Wait
    }

    fn end_forwarding(&mut self, ending: Ending, context: &SessionContext<'_>) -> Action {
        self.reason = if context.draining {
            &counters::CLOSED_DRAIN
        } else {
            &counters::CLOSED_ANSWERED
        };
        let next = match ending {
            Ending::KeepAlive => State::Idle,
            // What is unread when the connection closes resets it, and with it the answer.
            Ending::Close => State::Closing {
                linger: !self.input.is_empty() || self.transport.is_readable(),
            },
            Ending::Linger => State::Closing { linger: true },
        };
        self.forwarded += 1;
        if next != State::Idle {
            self.input = Vec::new();
        }
        self.unparsed = !self.input.is_empty();
        self.forwarded_waits = self.waits_for_peer();
        self.enter(next, context.now);
        if next == State::Idle {
            self.is_let_in(context);
        }
        match self.write(context.now) {
            Action::Wait if next == State::Idle && self.output.is_empty() => Action::RunAgain,
            // What came before is read off too, and no event need tell of it again.
            Action::Wait if self.is_lingering() && self.transport.is_readable() => Action::RunAgain,
            action => action,
        }
    }

    fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering(_))
    }

    /// An exchange has failed: an answer of our own, where none has begun; else the
    /// client's connection breaks off, so that it does not take a part for the whole.
    fn fail(
        &mut self,
        exchange: &mut Exchange,
        failure: Failure,
        context: &SessionContext<'_>,
        attempt: &mut AttemptContext<'_>,
    ) -> Action {
        // The client has closed its side, and no read will tell of it again.
        self.read_closed |= failure == Failure::BodyIncomplete;
        let client_gone = failure.status() == 499;
        if exchange.has_answered() || client_gone {
            exchange.finish(End::Failed(failure), attempt);
            let is_tunnel_idle = failure == Failure::TunnelIdle;
            if !is_tunnel_idle && (exchange.ends_with_connection() || client_gone) {
                self.transport.reset_on_close();
            }
            return Action::Close(match failure {
                Failure::TunnelIdle => &counters::CLOSED_IDLE,
                Failure::WriteTimeout => &counters::CLOSED_WRITE_TIMEOUT,
                _ => &counters::CLOSED_ERROR,
            });
        }
        let whole = exchange.has_read_request() && failure.is_backends() && !context.draining;
        let keep_alive = if whole {
            exchange.keep_alive()
        } else {
            KeepAlive::Close
        };
        let mut reply = context.handler.failed(failure.status());
        for (name, value) in exchange.edits().cors.iter().flat_map(CorsFields::fields) {
            if let Ok(header) = Header::from_bytes(name, value) {
                reply = reply.with_header(header);
            }
        }
        let is_head = exchange.is_head();
        exchange.answered_here(respond::body_bytes(&reply, is_head));
        exchange.finish(End::Failed(failure), attempt);
        respond::print(reply, is_head, keep_alive, &mut self.output);
        let ending = match keep_alive {
            _ if !exchange.has_read_request() => Ending::Linger,
            KeepAlive::Close => Ending::Close,
            KeepAlive::Keep | KeepAlive::KeepSaid => Ending::KeepAlive,
        };
        self.end_forwarding(ending, context)
    }

    pub(super) fn expire_in_exchange(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
    ) -> Action {
        let (Some(exchange), Some(relay)) = (&self.exchange, context.relay) else {
            return Action::Wait;
        };
        let Some(failure) = exchange.expired(self.written, relay, context.now) else {
            // What has to do with connecting.
            return self.on_ready(context, resources);
        };
        match self.exchange.take() {
            Some(mut exchange) => {
                let mut attempt = attempt_context(relay, self.group, context, resources);
                self.fail(&mut exchange, failure, context, &mut attempt)
            }
            None => Action::Wait,
        }
    }
}

fn attempt_context<'a>(
    relay: &'a Relay,
    relay_number: usize,
    context: &SessionContext<'_>,
    resources: &'a mut WorkerResources,
) -> AttemptContext<'a> {
    AttemptContext {
        relay,
        relay_number,
        pool: &mut resources.pool,
        registry: &resources.registry,
        owner: context.slot,
        now: context.now,
    }
}
