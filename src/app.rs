//! Which addresses lead to what: the configuration -> listeners and their handlers.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use crate::auth::secrets::Secrets;
use crate::auth::shared_secret::Guard;
use crate::config::{Config, InheritedRoles};
use crate::finding::{Finding, Level};
use crate::handler::Handler;
use crate::handlers::admin::{self, Admin};
use crate::handlers::edge::Edge;
use crate::handlers::front::Front;
use crate::handlers::gateway::Gateway;
use crate::handlers::guesses::Guesses;
use crate::handlers::origin::Origin;
use crate::handlers::redirect::Redirect;
use crate::http1::forwarded::TrustedProxies;
use crate::net::tls::client::TlsClient;
use crate::net::tls::server::ClientCertificate;
use crate::net::{Address, Inherited, SelfCheckSocket};
use crate::proxy::counters::RelayCounters;
use crate::proxy::relay::Relay;
use crate::proxy::rewrite::OwnFields;
use crate::proxy::upstream::{BackendUrl, Upstream};
use crate::random;
use crate::server::ListenerGroup;
use crate::status::history::History;
use crate::status::overview::Overview;
use crate::systemd::InheritedSocket;

/// The `FileDescriptorName=` of sockets, by what they lead to. Any other leads to the
/// origin, in plain HTTP.
const PLAIN: &str = "plain";
const TLS: &str = "tls";
const GATEWAY: &str = "gateway";
const GATEWAY_TLS: &str = "gateway-tls";
const REDIRECT: &str = "redirect";
const ADMIN: &str = "admin";

/// Sockets of a socket unit, by what they lead to.
#[derive(Default)]
pub struct InheritedSockets {
    origin: Vec<Inherited>,
    admin: Vec<Inherited>,
    gateway: Vec<Inherited>,
    redirect: Vec<Inherited>,
    /// What is likely a mistake.
    pub warnings: Vec<Finding>,
}

impl InheritedSockets {
    /// Sorts them by name.
    ///
    /// # Errors
    ///
    /// If TLS is to be spoken at a Unix socket.
    pub fn sort(sockets: Vec<InheritedSocket>) -> Result<Self, InheritedError> {
        let mut sorted = Self::default();
        for InheritedSocket { name, socket } in sockets {
            match name.as_str() {
                ADMIN => sorted.admin.push(socket),
                GATEWAY => sorted.gateway.push(socket),
                GATEWAY_TLS => sorted
                    .gateway
                    .push(over_tcp(socket, &name, Inherited::Tls)?),
                TLS => sorted.origin.push(over_tcp(socket, &name, Inherited::Tls)?),
                REDIRECT => sorted
                    .redirect
                    .push(over_tcp(socket, &name, Inherited::Redirect)?),
                _ => {
                    sorted.warnings.extend(Self::doubt(&name));
                    sorted.origin.push(socket);
                }
            }
        }
        Ok(sorted)
    }

    /// Whether one of them leads to the operator's listener.
    #[must_use]
    pub fn have_admin(&self) -> bool {
        !self.admin.is_empty()
    }

    /// The warning where a `FileDescriptorName=` leads to nothing of its own.
    #[must_use]
    pub fn doubt(name: &str) -> Option<Finding> {
        // systemd's own names are that of the unit, and these.
        const OWN: [&str; 5] = ["", PLAIN, "connection", "stored", "unknown"];
        let is_role = [ADMIN, GATEWAY, GATEWAY_TLS, TLS, REDIRECT].contains(&name);
        let is_known = is_role || OWN.contains(&name) || name.ends_with(".socket");
        (!is_known).then(|| {
            Finding::new(
                Level::Warning,
                "socket unit",
                format_args!("FileDescriptorName={name} is unknown, so plain HTTP is served there"),
                format_args!(
                    "write {PLAIN}, {TLS}, {GATEWAY}, {GATEWAY_TLS}, {REDIRECT} or {ADMIN}"
                ),
            )
        })
    }

    /// What the configuration has to know of them.
    #[must_use]
    pub fn roles(&self) -> InheritedRoles {
        let named = |name| {
            move |socket: &Inherited| {
                let name = match (name, socket) {
                    (PLAIN, Inherited::Tls(_)) => TLS,
                    (GATEWAY, Inherited::Tls(_)) => GATEWAY_TLS,
                    _ => name,
                };
                (name, socket.address())
            }
        };
        let origin = self.origin.iter().map(named(PLAIN));
        let gateway = self.gateway.iter().map(named(GATEWAY));
        let redirect = self.redirect.iter().map(named(REDIRECT));
        Self::roles_of(origin.chain(gateway).chain(redirect))
    }

    /// The same of sockets by their `FileDescriptorName=` and address.
    pub fn roles_of<'a>(
        sockets: impl Iterator<Item = (&'a str, Option<Address>)>,
    ) -> InheritedRoles {
        let mut roles = InheritedRoles::default();
        for (name, address) in sockets {
            match name {
                ADMIN => {}
                GATEWAY => roles.gateway = true,
                GATEWAY_TLS => {
                    roles.gateway = true;
                    roles.gateway_tls = true;
                }
                TLS => roles.tls = true,
                REDIRECT => roles.redirect = true,
                _ => {
                    roles.plain = true;
                    let open = address.filter(|address| !address.is_local());
                    roles.open = roles.open.or(open.and_then(|open| open.socket_addr()));
                }
            }
        }
        roles
    }

    /// What is wrong with where sockets listen, by their `FileDescriptorName=` and address.
    ///
    /// # Errors
    ///
    /// If one can be reached from where it must not be, or is no TCP where that is needed.
    pub fn judge(name: &str, address: &Address, config: &Config) -> Result<(), InheritedError> {
        let open = address.socket_addr().filter(|_| !address.is_local());
        match (name, open) {
            (GATEWAY, Some(open)) if config.origin.is_none() => {
                Err(InheritedError::RemoteGateway(open))
            }
            (ADMIN, Some(open)) if !config.admin_allow_remote => {
                Err(InheritedError::RemoteAdmin(open))
            }
            (TLS | GATEWAY_TLS | REDIRECT, _) if address.socket_addr().is_none() => {
                Err(InheritedError::NotTcp(name.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// A socket of TCP as another kind.
fn over_tcp(
    socket: Inherited,
    name: &str,
    kind: fn(TcpListener) -> Inherited,
) -> Result<Inherited, InheritedError> {
    match socket {
        Inherited::Tcp(socket) => Ok(kind(socket)),
        _ => Err(InheritedError::NotTcp(name.to_owned())),
    }
}

/// Why an inherited socket is not served.
#[derive(Debug)]
pub enum InheritedError {
    /// The gateway's can be reached from other machines.
    RemoteGateway(SocketAddr),
    /// The operator's can be reached from other machines.
    RemoteAdmin(SocketAddr),
    /// A Unix socket is to speak TLS, or to redirect.
    NotTcp(String),
}

impl fmt::Display for InheritedError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoteGateway(address) => write!(
                to,
                "the socket unit with FileDescriptorName={GATEWAY} listens on {address}, which \
                 other machines can reach, and its answers hold the secret; set its \
                 ListenStream= to a path or to a loopback address"
            ),
            Self::NotTcp(name) => write!(
                to,
                "a Unix socket has FileDescriptorName={name}, which is for TCP; set its \
                 ListenStream= to an address and a port"
            ),
            Self::RemoteAdmin(address) => write!(
                to,
                "the socket unit with FileDescriptorName={ADMIN} listens on {address}, which \
                 other machines can reach; set its ListenStream= to a path or to a loopback \
                 address, or set ADMIN_ALLOW_REMOTE=1"
            ),
        }
    }
}

impl Error for InheritedError {}

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
        secrets: Arc::clone(secrets),
        source: config.source.to_string(),
        checks_secret: !(config.listen.is_empty() && inherited.origin.is_empty()),
        sends_secret: config.gateway.is_some(),
        lacks_keys: config
            .gateway
            .as_ref()
            .is_some_and(|gateway| gateway.keys.is_none()),
        relays: relays.iter().cloned().collect(),
        tls: config.tls.clone(),
        history: History::default(),
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
