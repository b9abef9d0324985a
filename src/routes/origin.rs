//! The origin's door: `/protected` and `/healthz`.

use tiny_http::{Method, Request};

use super::shared::{self, READING, is_reading, path, shown_path};
use crate::client::TrustedProxies;
use crate::guard::{Guard, Verdict};
use crate::server::{Peer, Refusal, Reply, Service};
use crate::{log as events, reply};

/// What answers at the origin's door.
pub struct Origin {
    /// Who is let in.
    pub guard: Guard,
    /// Whose word on the client counts in the log.
    pub trusted_proxies: TrustedProxies,
    /// Whether every request is logged.
    pub access_log: bool,
}

impl Origin {
    fn route(&self, request: &Request) -> Reply {
        match path(request) {
            "/protected" => self.protected(request),
            "/healthz" => shared::healthz(request),
            "*" if *request.method() == Method::Options => reply::options(READING),
            _ => reply::error(404, "Not found"),
        }
    }

    fn protected(&self, request: &Request) -> Reply {
        let verdict = self.guard.judge(request);
        let reason = match verdict {
            Verdict::Granted | Verdict::GrantedByPrevious if is_reading(request) => {
                return reply::verdict(verdict);
            }
            Verdict::Granted | Verdict::GrantedByPrevious => {
                return reply::no_store(reply::method_not_allowed(READING));
            }
            Verdict::Misconfigured => "misconfigured",
            Verdict::NoSecret => "no_secret",
            Verdict::InvalidSecret => "invalid_secret",
        };
        let client = self.trusted_proxies.client(request);
        let path = shown_path(request);
        events::refusal(format_args!(
            "denied reason={reason} client={client} path={path}"
        ));
        reply::verdict(verdict)
    }
}

impl Service for Origin {
    fn answer(&self, request: &Request) -> Reply {
        let reply = self.route(request);
        if self.access_log {
            shared::log_request(request, &reply, &self.trusted_proxies);
        }
        reply
    }

    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Reply {
        shared::refuse(refusal, peer)
    }
}
