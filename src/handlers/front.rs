//! In front of a backend: every request is checked, and what is granted is forwarded.
//! Nothing is served here, so that every path is the backend's.

use super::counters::REQUESTS;
use super::request_log::{self, count_verdict, respond};
use crate::auth::shared_secret::{Guard, Verdict};
use crate::handler::{Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::client_network::ClientNetwork;
use crate::http1::edits::Edits;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::RequestHead;
use crate::metrics::declare_counters;
use crate::net::Peer;
use crate::net::tls::TlsError;

declare_counters! {
    pub(super) COUNTERS:
    pub(crate) FORWARDED = REQUESTS r#"verdict="granted",status="forwarded""#;
    PUBLIC = REQUESTS r#"verdict="public",status="forwarded""#;
}

/// What decides on the requests for a backend.
pub struct Front {
    /// Who is let through.
    pub guard: Guard,
    /// Paths that GET and HEAD reach unchecked, byte for byte.
    pub public_paths: Vec<String>,
    /// Whose word on the client counts.
    pub trusted_proxies: TrustedProxies,
    /// Whether every answer of the guard's own is logged; what is forwarded is logged
    /// where the backend's answer is known.
    pub access_log: bool,
}

impl Front {
    /// Whether the request needs no secret. One with a secret is the same to it: what a
    /// public path is sent depends on nobody's word.
    fn is_public(&self, head: &RequestHead<'_, '_>) -> bool {
        // Most guards have no public path.
        !self.public_paths.is_empty()
            && (head.method.is_get() || head.method.is_head())
            && self
                .public_paths
                .iter()
                .any(|public| public.as_bytes() == head.target.path())
    }

    fn forward(&self, edits: Edits, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        let is_granted = matches!(edits, Edits::Granted);
        let entry = || request_log::forwarded_entry(head, peer, is_granted, &self.trusted_proxies);
        Decision::Forward {
            edits,
            entry: self.access_log.then(|| Box::new(entry())),
            counter: if is_granted { &FORWARDED } else { &PUBLIC },
        }
    }
}

impl Handler for Front {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        let (access_log, trusted) = (self.access_log, &self.trusted_proxies);
        let refused = request_log::refuse_unforwardable(head, peer, access_log, trusted);
        if let Some(refused) = refused {
            return refused;
        }
        if self.is_public(head) {
            return self.forward(Edits::Public, head, peer);
        }
        let verdict = self.guard.judge_fields(head.name_values());
        if verdict == Verdict::GrantedByPrevious {
            let is_trusted = trusted.trusts(TrustedProxies::peer(peer));
            let client = trusted.client_of(peer, is_trusted, head.name_values());
            let client = ClientNetwork::of(client);
            self.guard.note_client(head.name_values(), client);
        }
        let Some(reason) = count_verdict(verdict) else {
            return self.forward(Edits::Granted, head, peer);
        };
        respond(head, peer, |request| {
            request_log::log_denial(request, reason, None, &self.trusted_proxies);
            let answer = reply::verdict(verdict).into();
            if self.access_log {
                request_log::log_request(request, &answer, &self.trusted_proxies);
            }
            answer
        })
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
