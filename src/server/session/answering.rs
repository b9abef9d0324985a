//! The decision on a request, and what the session is after its answer.

use std::time::Instant;

use super::{Action, Session, SessionContext, State, WorkerResources};
use crate::handler::Decision;
use crate::http1::error::RequestError;
use crate::http1::framing::KeepAlive;
use crate::http1::request::{self, RequestHead};
use crate::proxy::relay::Relay;
use crate::server::{counters, respond};

impl Session {
    pub(super) fn answer(
        &mut self,
        head: &RequestHead<'_, '_>,
        context: &SessionContext<'_>,
        last: bool,
    ) {
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
            (Ok(Decision::Forward { .. }), Some(_)) if context.is_full => {
                let error = RequestError::new(503, "memory");
                respond::refuse(context.handler, &error, self.peer, is_head, keep_alive, out);
            }
            (
                Ok(Decision::Forward {
                    edits,
                    entry,
                    counter,
                }),
                Some(relay),
            ) => {
                return self.start_exchange(head, &edits, entry, counter, relay, context);
            }
            (Ok(Decision::Forward { .. }), None) => {
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
    pub(super) fn after_answer(
        &mut self,
        keep_alive: KeepAlive,
        body: u64,
        draining: bool,
        now: Instant,
    ) {
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

    /// Tells a peer that may not connect so. What it sends is read off, and not looked at.
    pub(in crate::server) fn deny(
        &mut self,
        context: &SessionContext<'_>,
        _: &mut WorkerResources,
    ) -> Action {
        self.refuse(&RequestError::NOT_ALLOWED, b"", context);
        self.write(context.now)
    }

    pub(super) fn refuse(
        &mut self,
        error: &RequestError,
        bytes: &[u8],
        context: &SessionContext<'_>,
    ) {
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
            _ if *error == RequestError::NOT_ALLOWED => &counters::CLOSED_NOT_ALLOWED,
            _ => &counters::CLOSED_REFUSED,
        };
        self.enter(State::Closing { linger: true }, context.now);
    }
}
