//! Which addresses lead to what: the configuration -> listeners and their handlers.

mod inherited;
mod relays;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::auth::secrets::Secrets;
use crate::auth::shared_secret::Guard;
use crate::config::{Config, InheritedRoles};
use crate::handler::Handler;
use crate::handlers::admin::{self, Admin};
use crate::handlers::edge::Edge;
use crate::handlers::front::Front;
use crate::handlers::gateway::Gateway;
use crate::handlers::guesses::Guesses;
use crate::handlers::origin::Origin;
use crate::handlers::redirect::Redirect;
use crate::http1::forwarded::TrustedProxies;
use crate::net::tls::server::ClientCertificate;
use crate::net::{Address, Inherited, SelfCheckSocket};
use crate::proxy::relay::Relay;
use crate::server::ListenerGroup;
use crate::status::history::History;
use crate::status::overview::Overview;
use crate::status::refusals::Refusals;

pub use inherited::{InheritedError, InheritedSockets};
pub use relays::Relays;

/// What the operator is shown.
#[must_use]
pub fn overview(
    config: &Config,
    inherited: &InheritedSockets,
    secrets: &Arc<Secrets>,
    relays: &Relays,
) -> Arc<Overview> {
    Arc::new(Overview {
        started: Instant::now(),
        listeners: OnceLock::new(),
        secrets: Arc::clone(secrets),
        source: config.source.absolute().to_string(),
        checks_secret: !(config.listen.is_empty() && inherited.origin.is_empty()),
        sends_secret: config.gateway.is_some(),
        keys: config
            .gateway
            .as_ref()
            .and_then(|gateway| gateway.keys.clone()),
        lacks_keys: config
            .gateway
            .as_ref()
            .is_some_and(|gateway| gateway.keys.is_none()),
        relays: relays.iter().cloned().collect(),
        tls: config.tls.clone(),
        history: History::default(),
        refusals: Refusals::default(),
    })
}

/// The listeners that are to be opened, by what answers there; the watchdog asks at the
/// operator's.
///
/// # Errors
///
/// If an inherited socket can be reached from where it must not be.
pub fn listener_groups(
    config: &Config,
    inherited: InheritedSockets,
    secrets: &Arc<Secrets>,
    private: &Arc<SelfCheckSocket>,
    relays: &Relays,
    overview: &Arc<Overview>,
) -> Result<Vec<ListenerGroup>, InheritedError> {
    if let Some(address) = remote(&inherited.gateway).filter(|_| relays.origin.is_none()) {
        return Err(InheritedError::RemoteGateway(address));
    }
    if let Some(address) = remote(&inherited.admin).filter(|_| !config.admin_allow_remote) {
        return Err(InheritedError::RemoteAdmin(address));
    }
    let is_local =
        config.admin_listen.iter().all(Address::is_local) && remote(&inherited.admin).is_none();
    let admin = ListenerGroup {
        addresses: config.admin_listen.clone(),
        access: config.socket_access,
        inherited: inherited.admin,
        private: Some(Arc::clone(private)),
        relay: None,
        tls: config.tls.clone(),
        client_certificate: ClientCertificate::NotAsked,
        proxies: TrustedProxies::default(),
        // Whoever watches is not the gateway.
        allowed: None,
        handler: Arc::new(Admin {
            is_local,
            overview: Arc::clone(overview) as Arc<dyn admin::Overview>,
        }),
    };
    let origin = origin(config, inherited.origin, secrets, relays.backend.as_ref());
    let gateway = gateway(config, inherited.gateway, secrets, relays.origin.as_ref());
    let redirect = redirect(config, inherited.redirect, secrets);
    let groups = [origin, admin].into_iter().chain(gateway).chain(redirect);
    Ok(groups.collect())
}

/// How many sockets [`listener_groups`] leads to, where `inherited` ones come from systemd,
/// for `roles`.
#[must_use]
pub fn listener_count(config: &Config, roles: &InheritedRoles, inherited: usize) -> usize {
    let gives_way = !config.listen_is_set && (roles.plain || roles.tls);
    let listen = if gives_way { 0 } else { config.listen.len() };
    let redirect = config.tls.as_ref().map_or(0, |_| config.redirect.len());
    let gateway = config.gateway.as_ref();
    let gateway = gateway.map_or(0, |gateway| gateway.listen.len());
    let private = 1;
    listen + redirect + gateway + config.admin_listen.len() + inherited + private
}

/// The address of the first plain one that other machines can reach.
fn remote(sockets: &[Inherited]) -> Option<SocketAddr> {
    sockets.iter().find_map(|socket| match socket {
        Inherited::Tcp(socket) => socket
            .local_addr()
            .ok()
            .filter(|&address| !Address::Tcp(address).is_local()),
        Inherited::Tls(_) | Inherited::Redirect(_) | Inherited::Unix(_) => None,
    })
}

/// The default of `LISTEN` gives way to `inherited` sockets.
fn origin(
    config: &Config,
    inherited: Vec<Inherited>,
    secrets: &Arc<Secrets>,
    relay: Option<&Arc<Relay>>,
) -> ListenerGroup {
    let addresses = if config.listen_is_set || inherited.is_empty() {
        config.listen.clone()
    } else {
        Vec::new()
    };
    let mut guard = Guard::new(&config.header, Arc::clone(secrets));
    if config.requires_certificate_alone {
        guard = guard.where_certificates_suffice();
    }
    let trusted_proxies = config.trusted_proxies.clone();
    let access_log = config.access_log;
    let handler: Arc<dyn Handler> = match &config.backend {
        None => Arc::new(Origin {
            guard,
            trusted_proxies,
            access_log,
        }),
        Some(backend) => Arc::new(Front {
            guard,
            public_paths: backend.public_paths.clone(),
            trusted_proxies,
            access_log,
        }),
    };
    ListenerGroup {
        addresses,
        access: config.socket_access,
        inherited,
        private: None,
        relay: relay.cloned(),
        tls: config.tls.clone(),
        client_certificate: ClientCertificate::Asked,
        proxies: config.proxy_protocol.clone(),
        allowed: config.allow_from.clone(),
        handler,
    }
}

/// Where clients are sent to https.
fn redirect(
    config: &Config,
    inherited: Vec<Inherited>,
    secrets: &Arc<Secrets>,
) -> Option<ListenerGroup> {
    let tls = config.tls.as_ref()?;
    if config.redirect.is_empty() && inherited.is_empty() {
        return None;
    }
    let gateway = config.gateway.as_ref();
    let keys = gateway.and_then(|gateway| Some((gateway, gateway.keys.clone()?)));
    let mut ports = config.listen.iter().filter(|address| address.is_tls());
    let port = ports.find_map(Address::socket_addr);
    Some(ListenerGroup {
        addresses: config.redirect.clone(),
        access: config.socket_access,
        inherited,
        private: None,
        relay: None,
        tls: None,
        client_certificate: ClientCertificate::NotAsked,
        proxies: config.proxy_protocol.clone(),
        // The validators of ACME come from anywhere.
        allowed: None,
        handler: Arc::new(Redirect {
            tls: Arc::clone(tls),
            port: port
                .map(|address| address.port())
                .filter(|&port| port != 443),
            guard: Guard::new(&config.header, Arc::clone(secrets)),
            keys: keys.map(|(gateway, keys)| (gateway.key_header.clone(), keys)),
            webroot: config.acme_webroot.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            access_log: config.access_log,
        }),
    })
}

fn gateway(
    config: &Config,
    inherited: Vec<Inherited>,
    secrets: &Arc<Secrets>,
    relay: Option<&Arc<Relay>>,
) -> Option<ListenerGroup> {
    let gateway = config.gateway.as_ref()?;
    let (key_header, secret_header) = (gateway.key_header.clone(), config.header.clone());
    let (keys, secrets) = (gateway.keys.clone(), Arc::clone(secrets));
    let trusted_proxies = config.trusted_proxies.clone();
    let access_log = config.access_log;
    let handler: Arc<dyn Handler> = match relay {
        None => Arc::new(Gateway {
            key_header,
            secret_header,
            keys,
            secrets,
            guesses: Guesses::default(),
            trusted_proxies,
            access_log,
        }),
        Some(_) => Arc::new(Edge {
            key_header,
            key_parameter: gateway.key_parameter.clone(),
            cors_origins: gateway.cors_origins.clone(),
            secret_header,
            keys,
            secrets,
            guesses: Guesses::default(),
            trusted_proxies,
            access_log,
        }),
    };
    Some(ListenerGroup {
        addresses: gateway.listen.clone(),
        access: config.socket_access,
        inherited,
        private: None,
        relay: relay.cloned(),
        tls: config.tls.clone(),
        client_certificate: ClientCertificate::NotAsked,
        proxies: config.proxy_protocol.clone(),
        // Its clients are everybody's.
        allowed: None,
        handler,
    })
}
