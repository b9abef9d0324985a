//! The operator's door: `/metrics` and `/healthz`.

use tiny_http::{Method, Request};

use super::request_log::{is_reading, path, respond};
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::request::RequestHead;
use crate::metrics::{Counter, Totals, count};
use crate::net::Peer;

/// What answers at the operator's door. It logs nothing, and does not count the looks
/// at itself.
pub struct Admin;

impl Admin {
    /// The plain function: a request -> its answer.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Answer {
        match path(request) {
            "/metrics" if is_reading(request) => reply::metrics(&Totals::now().text()).into(),
            "/healthz" if is_reading(request) => Answer::from(&reply::HEALTHY),
            "/healthz" if *request.method() == Method::Options => {
                Answer::from(&reply::HEALTHY_OPTIONS)
            }
            "/metrics" | "/healthz" => Answer::from(&reply::METHOD_NOT_ALLOWED),
            "*" if *request.method() == Method::Options => Answer::from(&reply::OPTIONS_READING),
            _ => Answer::from(&reply::NOT_FOUND),
        }
    }
}

impl Handler for Admin {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        respond(head, peer, |request| self.answer(request))
    }

    fn refuse(&self, refusal: &RequestError, _: Peer) -> Reply {
        count(Counter::refused(refusal.status));
        reply::refusal(refusal.status)
    }
}
