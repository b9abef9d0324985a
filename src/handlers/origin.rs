//! The origin's listener: `/protected`, `/verify` for proxies, and `/healthz`.

use tiny_http::{Method, Request};

use super::counters::{self as shared, REQUESTS};
use super::request_log::{self, count_verdict, counted, is_reading, path, respond};
use crate::auth::shared_secret::{Guard, Verdict};
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::client_network::ClientNetwork;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::RequestHead;
use crate::metrics::declare_counters;
use crate::net::Peer;
use crate::net::tls::TlsError;

declare_counters! {
    pub(super) COUNTERS:
    pub(crate) GRANTED = REQUESTS r#"verdict="granted",status="200""#;
}

/// What answers at the origin's listener.
pub struct Origin {
    /// Who is let in.
    pub guard: Guard,
    /// Whose word on the client counts in the log.
    pub trusted_proxies: TrustedProxies,
    /// Whether every request is logged.
    pub access_log: bool,
}

impl Origin {
    /// The plain function: a request -> its answer.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Answer {
        let answer = self.route(request);
        if self.access_log {
            request_log::log_request(request, &answer, &self.trusted_proxies);
        }
        answer
    }

    fn route(&self, request: &Request) -> Answer {
        match path(request) {
            "/protected" => self.protected(request),
            path if request_log::is_at_or_below(path, "/verify") => self.verify(request),
            "/healthz" => request_log::healthz(request),
            "*" if *request.method() == Method::Options => {
                counted(&shared::OPTIONS, &reply::OPTIONS_READING)
            }
            _ => counted(&shared::NOT_FOUND, &reply::NOT_FOUND),
        }
    }

    fn protected(&self, request: &Request) -> Answer {
        let verdict = self.judge(request);
        if verdict.is_granted() {
            if !is_reading(request) {
                let answer = &reply::METHOD_NOT_ALLOWED_NO_STORE;
                return counted(&shared::METHOD_NOT_ALLOWED, answer).granted();
            }
            GRANTED.increment();
            return Answer::from(reply::verdict(verdict)).granted();
        }
        reply::verdict(verdict).into()
    }

    /// What a proxy asks, with the method of the request that it asks about or its own.
    fn verify(&self, request: &Request) -> Answer {
        let verdict = self.judge(request);
        if verdict.is_granted() {
            GRANTED.increment();
            return Answer::from(reply::decision(verdict)).granted();
        }
        reply::decision(verdict).into()
    }

    /// The verdict; one that denies is logged.
    fn judge(&self, request: &Request) -> Verdict {
        let verdict = self.guard.judge(request);
        if verdict == Verdict::GrantedByPrevious {
            let client = ClientNetwork::of(self.trusted_proxies.client(request));
            self.guard.note_client_of(request, client);
        }
        if let Some(reason) = count_verdict(verdict) {
            request_log::log_denial(request, reason, None, &self.trusted_proxies);
        }
        verdict
    }
}

impl Handler for Origin {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        respond(head, peer, |request| self.answer(request))
    }

    fn refuse(&self, refusal: &RequestError, peer: Peer) -> Reply {
        request_log::refuse(refusal, peer, &self.trusted_proxies)
    }

    fn tls_failed(&self, error: &TlsError, peer: Peer) {
        request_log::log_tls_failure(error, peer);
    }

    fn failed(&self, status: u16) -> Reply {
        reply::refusal(status)
    }
}
