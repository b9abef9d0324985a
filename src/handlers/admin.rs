//! The operator's listener: the page at `/`, `/status`, `/metrics` and `/healthz`.

use std::net::IpAddr;
use std::sync::Arc;

use tiny_http::{Method, Request};

use super::counters;
use super::request_log::{self, is_reading, path, respond};
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::request::RequestHead;
use crate::metrics::Totals;
use crate::net::tls::TlsError;
use crate::net::{Peer, UNIX_PEER};
use crate::random;

/// What the operator is shown.
pub trait Overview: Send + Sync {
    /// As JSON.
    fn json(&self) -> String;
    /// As a page of HTML, whose style has `nonce`.
    fn page(&self, nonce: &str) -> String;
}

/// What answers at the operator's listener. It logs nothing, and does not count the looks
/// at itself.
pub struct Admin {
    /// Whether all its addresses are this machine's alone. Then a name of another machine
    /// in Host tells of DNS rebinding: a page in a browser here gave its own name this
    /// machine's address, and would read what it is answered.
    pub is_local: bool,
    /// What it shows.
    pub overview: Arc<dyn Overview>,
}

impl Admin {
    /// The plain function: a request -> its answer.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Answer {
        match path(request) {
            "/" if is_reading(request) => self.page(),
            "/status" if is_reading(request) => reply::status(&self.overview.json()).into(),
            "/metrics" if is_reading(request) => reply::metrics(&Totals::now().text()).into(),
            "/healthz" if is_reading(request) => Answer::from(&reply::HEALTHY),
            "/healthz" if *request.method() == Method::Options => {
                Answer::from(&reply::HEALTHY_OPTIONS)
            }
            "/" | "/status" | "/metrics" | "/healthz" => Answer::from(&reply::METHOD_NOT_ALLOWED),
            "*" if *request.method() == Method::Options => Answer::from(&reply::OPTIONS_READING),
            _ => Answer::from(&reply::NOT_FOUND),
        }
    }

    fn page(&self) -> Answer {
        // The name of a file is as hard to guess as a nonce must be.
        match random::name() {
            Ok(nonce) => reply::page(&self.overview.page(&nonce), &nonce).into(),
            Err(_) => reply::refusal(500).into(),
        }
    }
}

impl Handler for Admin {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        // A browser does not speak to Unix sockets, and always sends Host.
        if self.is_local && peer != UNIX_PEER && head.host.is_some_and(is_foreign) {
            return Decision::Respond(reply::refusal(421).into());
        }
        respond(head, peer, |request| self.answer(request))
    }

    fn refuse(&self, refusal: &RequestError, _: Peer) -> Reply {
        counters::refused(refusal.status).increment();
        reply::refused(refusal)
    }

    fn tls_failed(&self, error: &TlsError, peer: Peer) {
        request_log::log_tls_failure(error, peer);
    }

    fn failed(&self, status: u16) -> Reply {
        reply::refusal(status)
    }
}

/// Whether the authority `host` (RFC 9110, section 7.2) is neither `localhost` nor a
/// loopback address, with or without a port.
fn is_foreign(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return true;
    };
    let name = match host.strip_prefix('[') {
        Some(address) => address
            .split_once(']')
            .map_or(address, |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => !address.to_canonical().is_loopback(),
        Err(_) => !name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in [
            "localhost",
            "LOCALHOST:9100",
            "127.0.0.1:9100",
            "127.8.8.8",
            "[::1]:9100",
        ] {
            assert!(!is_foreign(own.as_bytes()), "{own}");
        }
        for foreign in [
            "evil.example:9100",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.0.2.1",
            "[2001:db8::1]:9100",
            "",
        ] {
            assert!(is_foreign(foreign.as_bytes()), "{foreign}");
        }
        assert!(is_foreign(b"\xff"));
    }
}
