//! The origin's door: `/protected` and `/healthz`.

use tiny_http::{Method, Request};

use super::{READING, is_reading, path, shown_path};
use crate::client::TrustedProxies;
use crate::guard::{Guard, Verdict};
use crate::metrics::{Counter, count};
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
        let (counter, reply) = match path(request) {
            "/protected" => return self.protected(request),
            "/healthz" if is_reading(request) => (Counter::Healthy, reply::healthy()),
            "/healthz" => (
                Counter::MethodNotAllowed,
                reply::method_not_allowed(READING),
            ),
            "*" if *request.method() == Method::Options => {
                (Counter::Options, reply::options(READING))
            }
            _ => (Counter::NotFound, reply::error(404, "Not found")),
        };
        count(counter);
        reply
    }

    fn protected(&self, request: &Request) -> Reply {
        let verdict = self.guard.judge(request);
        let (counter, reason) = match verdict {
            Verdict::Granted => return granted(request, Counter::SecretCurrent),
            Verdict::GrantedByPrevious => return granted(request, Counter::SecretPrevious),
            Verdict::Misconfigured => (Counter::Misconfigured, "misconfigured"),
            Verdict::NoSecret => (Counter::NoSecret, "no_secret"),
            Verdict::InvalidSecret => (Counter::InvalidSecret, "invalid_secret"),
        };
        count(counter);
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
            log::info!(
                "request method={} path={} status={} client={}",
                request.method(),
                shown_path(request),
                reply.status_code().0,
                self.trusted_proxies.client(request)
            );
        }
        reply
    }

    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Reply {
        let Refusal { status, reason } = refusal;
        count(Counter::refused(*status));
        let client = TrustedProxies::peer(peer);
        events::refusal(format_args!(
            "refused status={status} reason={reason} client={client}"
        ));
        reply::refusal(*status)
    }
}

fn granted(request: &Request, by: Counter) -> Reply {
    count(by);
    if is_reading(request) {
        count(Counter::Granted);
        return reply::verdict(Verdict::Granted);
    }
    count(Counter::MethodNotAllowed);
    reply::no_store(reply::method_not_allowed(READING))
}
