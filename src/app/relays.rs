//! The ways that lead to `BACKEND` and to `ORIGIN`.

use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::net::tls::client::TlsClient;
use crate::proxy::counters::RelayCounters;
use crate::proxy::relay::Relay;
use crate::proxy::rewrite::OwnFields;
use crate::proxy::upstream::{BackendUrl, Upstream};
use crate::random;

/// The ways that lead to others; no name of a host is resolved yet.
pub struct Relays {
    /// To `BACKEND`.
    pub backend: Option<Arc<Relay>>,
    /// To `ORIGIN`.
    pub origin: Option<Arc<Relay>>,
}

impl Relays {
    /// Takes them out of the configuration.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn new(config: &mut Config) -> io::Result<Self> {
        let origin = config.origin.take();
        let urls = config.backend.as_ref().map(|backend| backend.urls.clone());
        let backend = match urls {
            None => None,
            Some(urls) => {
                let own = OwnFields::new(&[&config.header]);
                let upstream = Upstream::new(urls.clone());
                Some(relay(config, &urls, upstream, own, None, None)?)
            }
        };
        let origin = match origin {
            None => None,
            Some(origin) => {
                let key_header = config.gateway.as_ref().map(|gateway| &*gateway.key_header);
                let own = OwnFields::new(&[&config.header, key_header.unwrap_or("Authorization")]);
                let mut upstream = Upstream::new(origin.urls.clone());
                if let Some(name) = &origin.server_name {
                    upstream = upstream.with_tls_name(name);
                }
                Some(relay(
                    config,
                    &origin.urls,
                    upstream,
                    own,
                    origin.host,
                    origin.tls,
                )?)
            }
        };
        Ok(Self { backend, origin })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Relay>> {
        self.backend.iter().chain(&self.origin)
    }
}

fn relay(
    config: &Config,
    urls: &[BackendUrl],
    upstream: Upstream,
    own: OwnFields,
    host: Option<String>,
    tls: Option<TlsClient>,
) -> io::Result<Arc<Relay>> {
    Ok(Arc::new(Relay {
        counters: RelayCounters::new(urls.iter().map(BackendUrl::name)),
        upstream: Arc::new(upstream),
        own,
        trusted_proxies: config.trusted_proxies.clone(),
        loop_id: random::name()?,
        host,
        tls,
        limits: config.relay_limits,
        write_timeout: config.relay_write_timeout,
        max_head: config.limits.head_bytes,
    }))
}
