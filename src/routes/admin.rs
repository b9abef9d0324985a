//! The operator's door: `/metrics` and `/healthz`.

use tiny_http::{Method, Request};

use super::shared::{READING, is_reading, path};
use crate::metrics::{Counter, Totals, count};
use crate::reply;
use crate::server::{Peer, Refusal, Reply, Service};

/// What answers at the operator's door. It logs nothing, and does not count the looks
/// at itself.
pub struct Admin;

impl Service for Admin {
    fn answer(&self, request: &Request) -> Reply {
        match path(request) {
            "/metrics" if is_reading(request) => reply::metrics(&Totals::now().text()),
            "/healthz" if is_reading(request) => reply::healthy(),
            "/metrics" | "/healthz" => reply::method_not_allowed(READING),
            "*" if *request.method() == Method::Options => reply::options(READING),
            _ => reply::error(404, "Not found"),
        }
    }

    fn refuse(&self, refusal: &Refusal, _: Peer) -> Reply {
        count(Counter::refused(refusal.status));
        reply::refusal(refusal.status)
    }
}
