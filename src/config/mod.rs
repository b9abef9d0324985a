//! The environment -> [`Config`]; every fault named at once.

mod allow;
mod backend;
mod cors;
mod error;
mod gateway;
mod group;
mod origin;
mod own_listeners;
mod reader;
mod spelling;
mod tls;
mod values;
pub mod variables;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::secret_source::{Loaded, Source};
use crate::auth::secrets::Secrets;
use crate::finding::{Finding, Level};
use crate::http1::forwarded::TrustedProxies;
use crate::net::resolve::Resolver;
use crate::net::tls::server::TlsServer;
use crate::net::{Address, SocketAccess};
use crate::proxy::limits::Limits as RelayLimits;
use crate::server::{AllowList, Limits};

use reader::Reader;
use values::{is_fixed, listen_addresses};

pub use backend::Backend;
pub use error::{ConfigError, ValueError};
pub use gateway::Gateway;
pub use origin::Origin;
pub use own_listeners::{OwnListeners, Role};
pub use values::addresses;
pub(crate) use values::field_name;

/// What the configuration is read from.
pub struct Environment<'a> {
    /// A variable, [`std::env::var_os`] as a rule.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The names of all variables.
    pub names: Vec<String>,
    /// What socket units open.
    pub inherited: InheritedRoles,
}

/// What the sockets of socket units lead to.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a role of its own")]
pub struct InheritedRoles {
    /// The origin, in plain HTTP. Then the default of `LISTEN` gives way.
    pub plain: bool,
    /// The origin, in TLS. Then it gives way too.
    pub tls: bool,
    /// The gateway.
    pub gateway: bool,
    /// The gateway, in TLS.
    pub gateway_tls: bool,
    /// To https.
    pub redirect: bool,
    /// The page, the metrics and the status.
    pub admin: bool,
    /// Where they listen, each as the kind of address that it is.
    pub addresses: Vec<(Role, Address)>,
    /// It is not known what they lead to, nor whether there are any.
    pub unknown: bool,
}

impl InheritedRoles {
    /// A plain one of `role` that other machines can reach.
    fn open(&self, role: Role) -> Option<&Address> {
        let mut open = self
            .addresses
            .iter()
            .filter(|(of, address)| *of == role && !address.is_tls() && !address.is_local());
        open.next().map(|(_, address)| address)
    }
}

impl Environment<'_> {
    /// That of this process, without a socket unit.
    #[must_use]
    pub fn of_process() -> Self {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Self {
            variable: &|name| std::env::var_os(name),
            names: names.collect(),
            inherited: InheritedRoles::default(),
        }
    }
}

/// What does nothing unless one of other variables is set.
const ORIGIN_ALONE: [&str; 6] = [
    "ORIGIN_PLAINTEXT",
    "ORIGIN_HOST",
    "ORIGIN_CA",
    "ORIGIN_SERVER_NAME",
    "ORIGIN_CLIENT_CERT",
    "ORIGIN_CLIENT_KEY",
];
const FORWARDED_ALONE: [&str; 6] = [
    "MAX_BODY_BYTES",
    "BODY_TIMEOUT",
    "BACKEND_CONNECT_TIMEOUT",
    "BACKEND_TIMEOUT",
    "BACKEND_IDLE_TIMEOUT",
    "TUNNEL_IDLE_TIMEOUT",
];
const GUARDED_ALONE: [&str; 6] = [
    "BACKEND",
    "PUBLIC_PATHS",
    "REQUIRE",
    "TLS_CLIENT_CA",
    "TLS_CLIENT_NAMES",
    "TLS_CLIENT_CRL",
];
const GATEWAY_ALONE: [&str; 6] = [
    "API_KEYS_FILE",
    "API_KEY_HEADER",
    "API_KEY_QUERY",
    "RATE_LIMIT",
    "MAX_CONCURRENT",
    "CORS_ORIGINS",
];

/// How long a client may take nothing of what is forwarded, unless `WRITE_TIMEOUT` is set.
const RELAY_WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the environment asks for.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a variable of its own"
)]
pub struct Config {
    /// `LISTEN`; nothing where it is `none`.
    pub listen: Vec<Address>,
    /// Whether `LISTEN` is set; the default gives way to inherited sockets.
    pub listen_is_set: bool,
    /// `ADMIN_LISTEN`; none unless it is set.
    pub admin_listen: Vec<Address>,
    /// `ADMIN_ALLOW_REMOTE=1`.
    pub admin_allow_remote: bool,
    /// `SOCKET_MODE` and `SOCKET_GROUP`.
    pub socket_access: SocketAccess,
    /// `SECRET_HEADER`.
    pub header: String,
    /// Where the secrets come from.
    pub source: Source,
    /// The secrets that are there now.
    pub secrets: Loaded,
    /// The gateway's listener, where `GATEWAY_LISTEN` opens it.
    pub gateway: Option<Gateway>,
    /// The backend, where `BACKEND` names one.
    pub backend: Option<Backend>,
    /// The limits of what is forwarded.
    pub relay_limits: RelayLimits,
    /// Where the gateway forwards to, where `ORIGIN` names it.
    pub origin: Option<Origin>,
    /// What TLS listeners answer with: `TLS_CERT` and `TLS_KEY`.
    pub tls: Option<Arc<TlsServer>>,
    /// The addresses of `LISTEN` where clients are sent to https.
    pub redirect: Vec<Address>,
    /// All that the guard listens at.
    pub own_listeners: OwnListeners,
    /// `ACME_WEBROOT`.
    pub acme_webroot: Option<PathBuf>,
    /// `REQUIRE=certificate`.
    pub requires_certificate_alone: bool,
    /// `WRITE_TIMEOUT` for what is forwarded, or its own default.
    pub relay_write_timeout: Duration,
    /// `WORKERS`.
    pub workers: usize,
    /// The variables named like the limits.
    pub limits: Limits,
    /// Whether `MAX_CONNECTIONS` is set; the default gives way to the limit of files.
    pub max_connections_is_set: bool,
    /// `DRAIN_TIMEOUT`.
    pub drain_timeout: Duration,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `PROXY_PROTOCOL`.
    pub proxy_protocol: TrustedProxies,
    /// `ALLOW_FROM` or `ALLOW_FROM_FILE`; everybody may connect where there is none.
    pub allow_from: Option<Arc<AllowList>>,
    /// `ACCESS_LOG=1`.
    pub access_log: bool,
    /// What is legal and likely a mistake, and what is worth knowing at the start.
    pub warnings: Vec<Finding>,
    /// Each variable and its effective value, the secret's redacted.
    pub effective: Vec<(&'static str, String)>,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    ///
    /// Every fault of every variable.
    pub fn read(environment: &Environment<'_>) -> Result<Self, ConfigError> {
        let (config, faults) = Self::examine(environment);
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { faults })
        }
    }

    /// Reads the variables, with every fault of them. In the place of what is faulty is the
    /// default, or nothing, so that what does not depend on it can be looked at.
    #[must_use]
    pub fn examine(environment: &Environment<'_>) -> (Self, Vec<Finding>) {
        let mut reader = Reader::new(environment.variable, environment.inherited.clone());
        let (source, loaded) = reader.secrets();
        let header = reader.value("SECRET_HEADER", field_name);
        reader.warn_of_underscore("SECRET_HEADER", &header);
        let origin = reader.origin();
        reader.what_does_nothing();
        let gateway = reader.gateway(&header, environment.inherited.gateway, origin.is_some());
        let listen_is_set = reader.is_set("LISTEN");
        reader.other_programs_port(listen_is_set);
        let listen = reader.value("LISTEN", |list| match list {
            "none" if gateway.is_some() => Ok(Vec::new()),
            "none" => Err(ValueError::NoListener),
            _ => listen_addresses(list),
        });
        let is_redirect = |address: &Address| matches!(address, Address::Redirect(_));
        let (redirect, listen): (Vec<_>, Vec<_>) = listen.into_iter().partition(is_redirect);
        if listen.is_empty() && !redirect.is_empty() && gateway.is_none() {
            reader.fault("LISTEN", ValueError::RedirectAlone);
        }
        let admin_allow_remote = reader.switch("ADMIN_ALLOW_REMOTE");
        let admin_listen = reader.admin_listen(admin_allow_remote);
        let gateway_listen = gateway.as_ref().map_or(&[][..], |gateway| &gateway.listen);
        let bound = [&listen[..], gateway_listen, &admin_listen].concat();
        let socket_access = reader.socket_access(&bound);
        let inherited = &environment.inherited;
        let gives_way = inherited.plain || inherited.tls || inherited.unknown;
        // A default that stands in a faulty value's place is listened at by nobody.
        let is_opened = !reader.is_faulty("LISTEN") && (listen_is_set || !gives_way);
        let opened = if is_opened { &listen[..] } else { &[] };
        reader.each_address_once(&[
            ("LISTEN", opened),
            ("LISTEN", &redirect),
            ("GATEWAY_LISTEN", gateway_listen),
            ("ADMIN_LISTEN", &admin_listen),
        ]);
        let tls = reader.tls(&listen, gateway_listen, &admin_listen, &redirect);
        let acme_webroot = reader.acme_webroot(&redirect);
        let requires_certificate_alone = reader.requires_certificate_alone(opened);
        reader.warn_of_plaintext(opened, gateway.as_ref(), origin.is_some());
        let backend = reader.backend(&header);
        let own_listeners = OwnListeners::new(
            [
                ("LISTEN", Role::Origin, opened),
                ("LISTEN", Role::Redirect, &redirect),
                ("ADMIN_LISTEN", Role::Admin, &admin_listen),
                ("GATEWAY_LISTEN", Role::Gateway, gateway_listen),
            ],
            &inherited.addresses,
        );
        reader.nothing_comes_back(backend.as_ref(), origin.as_ref(), &own_listeners);
        reader.guards_nothing(&listen);
        let relay_limits = reader.relay_limits();
        let workers = reader.workers();
        let limits = reader.limits();
        // Who is forwarded to may take longer, unless the operator says otherwise.
        let relay_write_timeout = if reader.is_set("WRITE_TIMEOUT") {
            limits.write_timeout
        } else {
            limits.write_timeout.max(RELAY_WRITE_TIMEOUT)
        };
        let drain_timeout = reader.seconds("DRAIN_TIMEOUT");
        let trusted_proxies = reader.networks("TRUSTED_PROXIES", "the X-Forwarded-For");
        let proxy_protocol = reader.networks("PROXY_PROTOCOL", "the PROXY header");
        let allow_from = reader.allow_from(opened);
        let access_log = reader.switch("ACCESS_LOG");
        reader.look_for_misspelt(&environment.names);
        let faults = reader.take_faults();
        let config = Self {
            listen,
            listen_is_set,
            admin_listen,
            admin_allow_remote,
            socket_access,
            header,
            source,
            secrets: loaded,
            gateway,
            backend,
            tls,
            requires_certificate_alone,
            redirect,
            own_listeners,
            acme_webroot,
            origin,
            relay_limits,
            relay_write_timeout,
            workers,
            limits,
            max_connections_is_set: reader.is_set("MAX_CONNECTIONS"),
            drain_timeout,
            trusted_proxies,
            proxy_protocol,
            allow_from,
            access_log,
            warnings: reader.warnings,
            effective: reader.effective,
        };
        (config, faults)
    }
}

impl Config {
    /// Takes the secrets out, for the guard; with the text of the current one where there
    /// is a gateway's listener.
    #[must_use]
    pub fn take_secrets(&mut self) -> Secrets {
        let digests = std::mem::take(&mut self.secrets.digests);
        let current = self.secrets.current.take();
        self.secrets.previous.clear();
        match self.gateway {
            None => Secrets::new(digests),
            Some(_) => Secrets::with_text(digests, current),
        }
    }

    /// Whether anything is forwarded.
    #[must_use]
    pub fn has_relay(&self) -> bool {
        self.backend.is_some() || self.origin.is_some()
    }

    /// Whether a listener forwards: `ORIGIN` does nothing without the gateway's.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.backend.is_some() || (self.origin.is_some() && self.gateway.is_some())
    }

    /// The effective values as `NAME=value`, quoted where they hold a space.
    #[must_use]
    pub fn on_one_line(&self) -> String {
        let one = |(name, value): &(&str, String)| {
            if value.contains(' ') {
                format!("{name}={value:?}")
            } else {
                format!("{name}={value}")
            }
        };
        self.effective.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

impl Reader<'_> {
    fn secrets(&mut self) -> (Source, Loaded) {
        let loaded = Source::find(self.variable)
            .and_then(|source| Ok((source.load(self.variable)?, source)));
        let (mut loaded, source) = match loaded {
            Ok(loaded) => loaded,
            Err(fault) => {
                self.named_fault(fault);
                return (Source::Unset, Loaded::default());
            }
        };
        let warnings = loaded.warnings.drain(..);
        self.warnings
            .extend(warnings.map(|warning| Finding::named(Level::Warning, warning)));
        if source == Source::Unset {
            // It starts all the same. With REQUIRE=certificate no client needs the secret.
            let is_needed = (self.variable)("REQUIRE").is_none_or(|text| text != "certificate")
                || self.is_set("GATEWAY_LISTEN")
                || self.inherited.gateway;
            let level = if is_needed {
                Level::Fault
            } else {
                Level::Warning
            };
            self.warnings.push(Finding::new(
                level,
                "SHARED_SECRET",
                "it is not set, so every request that needs it is answered with 500",
                "set it to what the gateway sends (origin-guard keygen makes one)",
            ));
        }
        let count = loaded.digests.len();
        self.effective.push(("secret_source", source.to_string()));
        self.effective
            .push(("secrets", format!("{count} (not shown)")));
        (source, loaded)
    }

    fn warn_of_underscore(&mut self, name: &str, header: &str) {
        if header.contains('_') {
            self.warn(
                name,
                format_args!(
                    "nginx and others drop a header with an underscore, such as {header}; write \
                     hyphens"
                ),
            );
        }
    }

    /// Says so where what is forwarded would come back. Who has another name than that of
    /// this machine is found where names are resolved: by `check`, and by each request.
    fn nothing_comes_back(
        &mut self,
        backend: Option<&Backend>,
        origin: Option<&Origin>,
        own_listeners: &OwnListeners,
    ) {
        let backends = backend.map_or(&[][..], |backend| &backend.urls);
        let origins = origin.map_or(&[][..], |origin| &origin.urls);
        for (variable, urls) in [("BACKEND", backends), ("ORIGIN", origins)] {
            for url in urls {
                let known = url.known_addresses(&Resolver::default());
                if let Err(error) = own_listeners.leads_elsewhere(variable, url, &known) {
                    self.fault(variable, error);
                }
            }
        }
    }

    /// What is for clients of `LISTEN` alone does nothing where nobody listens there.
    fn guards_nothing(&mut self, listen: &[Address]) {
        let InheritedRoles {
            plain,
            tls,
            unknown,
            ..
        } = self.inherited;
        if !listen.is_empty() || plain || tls || unknown || self.is_faulty("LISTEN") {
            return;
        }
        for name in GUARDED_ALONE {
            if self.is_set(name) {
                self.warn(
                    name,
                    "it does nothing with LISTEN=none, which guards nothing; write an address \
                     into LISTEN, or leave it out",
                );
            }
        }
    }

    fn what_does_nothing(&mut self) {
        self.unused(&ORIGIN_ALONE, &["ORIGIN"]);
        self.unused(&FORWARDED_ALONE, &["BACKEND", "ORIGIN"]);
        if !self.inherited.gateway && !self.inherited.unknown {
            self.unused(&GATEWAY_ALONE, &["GATEWAY_LISTEN"]);
        }
        if !self.inherited.admin && !self.inherited.unknown {
            self.unused(&["ADMIN_ALLOW_REMOTE"], &["ADMIN_LISTEN"]);
        }
    }

    /// What Unix sockets among `addresses` are made with.
    fn socket_access(&mut self, addresses: &[Address]) -> SocketAccess {
        let is_unix = |address: &Address| matches!(address, Address::Unix(_));
        let is_faulty = |name| self.is_faulty(name);
        let is_known = !["LISTEN", "GATEWAY_LISTEN", "ADMIN_LISTEN"]
            .into_iter()
            .any(is_faulty);
        if is_known && !addresses.iter().any(is_unix) {
            for name in ["SOCKET_MODE", "SOCKET_GROUP"] {
                if self.is_set(name) {
                    self.warn(
                        name,
                        "it does nothing without a Unix socket in LISTEN, GATEWAY_LISTEN or \
                         ADMIN_LISTEN (one of a socket unit has SocketMode= and SocketGroup=); \
                         leave it out",
                    );
                }
            }
        }
        let mode = self.value("SOCKET_MODE", values::mode);
        if mode & 0o002 != 0 {
            self.warn(
                "SOCKET_MODE",
                format_args!(
                    "{mode:04o} lets everyone on this machine connect; write 0660 and set \
                     SOCKET_GROUP to the group of your proxy"
                ),
            );
        }
        let group = self.value("SOCKET_GROUP", group::id);
        SocketAccess { mode, group }
    }

    fn workers(&mut self) -> usize {
        let (workers, cores) = (self.count("WORKERS"), self.cores);
        if workers > cores {
            self.warn(
                "WORKERS",
                format_args!(
                    "{workers} threads share {cores} cores, and more than one for each core costs \
                     memory and answers no sooner; leave it out"
                ),
            );
        }
        workers
    }

    /// Networks of proxies; `believed` is what they may tell.
    fn networks(&mut self, name: &'static str, believed: &str) -> TrustedProxies {
        let networks = self.value(name, |list| {
            TrustedProxies::parse(list).map_err(|error| ValueError::Other(error.into()))
        });
        for network in networks.wide() {
            self.warn(
                name,
                format_args!(
                    "{network}, and {believed} of each is believed; write your proxies alone"
                ),
            );
        }
        networks
    }

    fn limits(&mut self) -> Limits {
        Limits {
            max_connections: self.count("MAX_CONNECTIONS"),
            head_bytes: self.count("MAX_HEAD_BYTES"),
            head_timeout: self.seconds("HEAD_TIMEOUT"),
            idle_timeout: self.seconds("IDLE_TIMEOUT"),
            write_timeout: self.seconds("WRITE_TIMEOUT"),
        }
    }

    fn admin_listen(&mut self, remote: bool) -> Vec<Address> {
        self.value("ADMIN_LISTEN", |list| {
            let addresses = addresses(list).map_err(ValueError::of_this_machine)?;
            match addresses.iter().find(|address| !address.is_local()) {
                Some(open) if !remote => Err(ValueError::RemoteAdmin(open.clone())),
                _ => Ok(addresses),
            }
        })
    }

    /// `listeners` are variables and what they listen at.
    fn each_address_once(&mut self, listeners: &[(&'static str, &[Address])]) {
        let named = listeners
            .iter()
            .flat_map(|(name, addresses)| addresses.iter().map(move |address| (*name, address)));
        let named: Vec<_> = named.collect();
        let all: Vec<_> = named
            .iter()
            .map(|(_, address)| (*address).clone())
            .collect();
        for (at, &(name, address)) in named.iter().enumerate() {
            let equal = named[..at].iter().find(|(_, other)| *other == address);
            if let Some((other, _)) = equal.filter(|_| is_fixed(address)) {
                // In one list it has been refused already.
                if *other != name {
                    self.fault(name, ValueError::Taken(address.clone(), other));
                }
                continue;
            }
            let takes = |place: usize| {
                let other = &all[place];
                let is_first = place < at || !address.takes(other, &all);
                place != at && other != address && is_first && other.takes(address, &all)
            };
            if let Some(place) = (0..all.len()).find(|&place| takes(place)) {
                self.fault(
                    name,
                    ValueError::Covered(address.clone(), all[place].clone()),
                );
            }
        }
    }
}
