//! The origin's door: `/protected`, `/verify` for proxies, and `/healthz`.

use tiny_http::{Method, Request};

use crate::client::TrustedProxies;
use crate::guard::{Guard, Verdict};
use crate::server::{Peer, Refusal, Reply, Service};
use crate::{log as events, reply};

const READING: &str = "GET, HEAD";

/// Longest path that a log line shows, in bytes.
const SHOWN: usize = 256;

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
            path if is_verify(path) => self.verify(request),
            "/healthz" if is_reading(request) => reply::healthy(),
            "/healthz" => reply::method_not_allowed(READING),
            "*" if *request.method() == Method::Options => reply::options(READING),
            _ => reply::error(404, "Not found"),
        }
    }

    fn protected(&self, request: &Request) -> Reply {
        let verdict = self.judge(request);
        if verdict.is_granted() && !is_reading(request) {
            return reply::no_store(reply::method_not_allowed(READING));
        }
        reply::verdict(verdict)
    }

    /// What a proxy asks, with the method of the request that it asks about or its own.
    fn verify(&self, request: &Request) -> Reply {
        reply::decision(self.judge(request))
    }

    /// The verdict; one that denies is logged.
    fn judge(&self, request: &Request) -> Verdict {
        let verdict = self.guard.judge(request);
        let reason = match verdict {
            Verdict::Granted | Verdict::GrantedByPrevious => return verdict,
            Verdict::Misconfigured => "misconfigured",
            Verdict::NoSecret => "no_secret",
            Verdict::InvalidSecret => "invalid_secret",
        };
        let client = self.trusted_proxies.client(request);
        let path = shown(path(request));
        match self.trusted_proxies.forwarded_uri(request) {
            Some(uri) => {
                let uri = shown(without_query(uri));
                events::refusal(format_args!(
                    "denied reason={reason} client={client} path={path} uri={uri}"
                ));
            }
            None => events::refusal(format_args!(
                "denied reason={reason} client={client} path={path}"
            )),
        }
        verdict
    }
}

impl Service for Origin {
    fn answer(&self, request: &Request) -> Reply {
        let reply = self.route(request);
        if self.access_log {
            log::info!(
                "request method={} path={} status={} client={}",
                request.method(),
                shown(path(request)),
                reply.status_code().0,
                self.trusted_proxies.client(request)
            );
        }
        reply
    }

    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Reply {
        let Refusal { status, reason } = refusal;
        let client = TrustedProxies::peer(peer);
        events::refusal(format_args!(
            "refused status={status} reason={reason} client={client}"
        ));
        reply::refusal(*status)
    }
}

/// The path, without the query, which may hold what no log should.
fn path(request: &Request) -> &str {
    without_query(request.url())
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// `/verify`, and everything below it: some proxies append the path they ask about.
fn is_verify(path: &str) -> bool {
    path.strip_prefix("/verify")
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// A path for a log line: printable ASCII without spaces, and short.
fn shown(path: &str) -> String {
    path.bytes()
        .take(SHOWN)
        .map(|byte| {
            if byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}

fn is_reading(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
}
