//! One way that leads from listeners to backends, and what holds for it.

use std::sync::Arc;
use std::time::Duration;

use super::counters::RelayCounters;
use super::limits::Limits;
use super::rewrite::{self, Forwarding, HostRule, OwnFields};
use super::upstream::Upstream;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::RequestHead;
use crate::net::Peer;
use crate::net::tls::client::TlsClient;

/// What is forwarded where, and how. All workers share it.
pub struct Relay {
    /// The backends.
    pub upstream: Arc<Upstream>,
    /// What is counted of each backend.
    pub counters: RelayCounters,
    /// The fields that are ours to set or strip.
    pub own: OwnFields,
    /// Whose word on the client counts.
    pub trusted_proxies: TrustedProxies,
    /// The mark by which this process knows a request that it has forwarded before
    /// (RFC 8586).
    pub loop_id: String,
    /// Whose name is asked for, where it is not the client's.
    pub host: Option<String>,
    /// What connections that speak TLS are made with.
    pub tls: Option<TlsClient>,
    /// What holds for its exchanges and connections.
    pub limits: Limits,
    /// How long a client may take nothing of an answer (`WRITE_TIMEOUT`).
    pub write_timeout: Duration,
    /// Longest head of an answer, in bytes.
    pub max_head: usize,
}

impl Relay {
    /// Whether a request has been forwarded from here before, and has come back.
    #[must_use]
    pub fn has_forwarded(&self, head: &RequestHead<'_, '_>) -> bool {
        rewrite::is_loop(head, &self.loop_id)
    }

    /// What is said of a request from `peer` on its way; `proto` is how it came, `http` or
    /// `https`.
    #[must_use]
    pub fn forwarding(&self, peer: Peer, proto: &'static str) -> Forwarding<'_> {
        Forwarding {
            own: &self.own,
            peer,
            proto,
            trusted: self.trusted_proxies.trusts(TrustedProxies::peer(peer)),
            loop_id: &self.loop_id,
            host: match &self.host {
                Some(host) => HostRule::Own(host),
                None => HostRule::Client {
                    otherwise: self.upstream.host(0),
                },
            },
        }
    }
}
