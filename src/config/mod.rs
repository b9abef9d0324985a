//! The environment -> [`Config`]; every fault named at once.

mod backend;
mod cors;
mod error;
mod gateway;
mod group;
mod origin;
mod reader;
mod spelling;
mod tls;
mod values;
pub mod variables;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::secret_source::{Loaded, Source};
use crate::auth::secrets::Secrets;
use crate::http1::forwarded::TrustedProxies;
use crate::net::tls::server::TlsServer;
use crate::net::{Address, SocketAccess};
use crate::proxy::limits::Limits as RelayLimits;
use crate::server::Limits;

use reader::Reader;
use values::{addresses, is_fixed, listen_addresses};

pub use backend::Backend;
pub use error::{ConfigError, ValueError};
pub use gateway::Gateway;
pub use origin::Origin;
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
#[derive(Clone, Copy, Debug, Default)]
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
    /// A plain one of the origin that other machines can reach.
    pub open: Option<SocketAddr>,
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
    /// `DRAIN_TIMEOUT`.
    pub drain_timeout: Duration,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `PROXY_PROTOCOL`.
    pub proxy_protocol: TrustedProxies,
    /// `ACCESS_LOG=1`.
    pub access_log: bool,
    /// What is legal and likely a mistake, a line each.
    pub warnings: Vec<String>,
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
        let mut reader = Reader::new(environment.variable, environment.inherited);
        let (source, loaded) = reader.secrets();
        let header = reader.value("SECRET_HEADER", field_name);
        let origin = reader.origin();
        let gateway = reader.gateway(&header, environment.inherited.gateway, origin.is_some());
        let listen_is_set = reader.is_set("LISTEN");
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
        let socket_access = reader.socket_access();
        let admin_allow_remote = reader.switch("ADMIN_ALLOW_REMOTE");
        let admin_listen = reader.admin_listen(admin_allow_remote);
        reader.each_address_once(&listen, gateway.as_ref(), &admin_listen);
        let gateway_listen = gateway.as_ref().map_or(&[][..], |gateway| &gateway.listen);
        let tls = reader.tls(&listen, gateway_listen, &admin_listen, &redirect);
        let acme_webroot = reader.acme_webroot(&redirect);
        let requires_certificate_alone = reader.requires_certificate_alone(&listen);
        let opens_listen =
            listen_is_set || !(environment.inherited.plain || environment.inherited.tls);
        reader.warn_of_plaintext(
            if opens_listen { &listen } else { &[] },
            gateway.as_ref(),
            origin.is_some(),
        );
        let backend = reader.backend(&header);
        reader.backend_is_elsewhere(
            backend.as_ref(),
            &[
                ("LISTEN", if opens_listen { &listen } else { &[] }),
                ("ADMIN_LISTEN", &admin_listen),
                (
                    "GATEWAY_LISTEN",
                    gateway.as_ref().map_or(&[], |gateway| &gateway.listen),
                ),
            ],
        );
        let relay_limits = reader.relay_limits();
        let workers = reader.workers();
        let limits = Limits {
            max_connections: reader.count("MAX_CONNECTIONS"),
            head_bytes: reader.count("MAX_HEAD_BYTES"),
            head_timeout: reader.seconds("HEAD_TIMEOUT"),
            idle_timeout: reader.seconds("IDLE_TIMEOUT"),
            write_timeout: reader.seconds("WRITE_TIMEOUT"),
        };
        // Who is forwarded to may take longer, unless the operator says otherwise.
        let relay_write_timeout = if reader.is_set("WRITE_TIMEOUT") {
            limits.write_timeout
        } else {
            limits.write_timeout.max(RELAY_WRITE_TIMEOUT)
        };
        let drain_timeout = reader.seconds("DRAIN_TIMEOUT");
        let trusted_proxies = reader.value("TRUSTED_PROXIES", |list| {
            TrustedProxies::parse(list).map_err(|error| ValueError::Other(error.into()))
        });
        let proxy_protocol = reader.value("PROXY_PROTOCOL", |list| {
            TrustedProxies::parse(list).map_err(|error| ValueError::Other(error.into()))
        });
        let access_log = reader.switch("ACCESS_LOG");
        reader.look_for_misspelt(&environment.names);
        reader.finish()?;
        Ok(Self {
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
            acme_webroot,
            origin,
            relay_limits,
            relay_write_timeout,
            workers,
            limits,
            drain_timeout,
            trusted_proxies,
            proxy_protocol,
            access_log,
            warnings: reader.warnings,
            effective: reader.effective,
        })
    }
}

impl Config {
    /// Takes the secrets out, for the guard; with the text of the current one where there
    /// is a gateway's listener.
    #[must_use]
    pub fn take_secrets(&mut self) -> Secrets {
        let digests = std::mem::take(&mut self.secrets.digests);
        let current = self.secrets.current.take();
        match self.gateway {
            None => Secrets::new(digests),
            Some(_) => Secrets::with_text(digests, current),
        }
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
        self.warnings.append(&mut loaded.warnings);
        if source == Source::Unset {
            self.warnings.push(
                "SHARED_SECRET is not set: every request that needs it is answered with 500; \
                 set it to what the gateway sends"
                    .into(),
            );
        }
        let count = loaded.digests.len();
        self.effective.push(("secret_source", source.to_string()));
        self.effective
            .push(("secrets", format!("{count} (not shown)")));
        (source, loaded)
    }

    fn socket_access(&mut self) -> SocketAccess {
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
                    "{workers} threads share {cores} cores; more than one for each core costs \
                     memory and answers no sooner"
                ),
            );
        }
        workers
    }

    fn admin_listen(&mut self, remote: bool) -> Vec<Address> {
        self.value("ADMIN_LISTEN", |list| {
            let addresses = addresses(list)?;
            match addresses.iter().find(|address| !address.is_local()) {
                Some(open) if !remote => Err(ValueError::RemoteAdmin(open.clone())),
                _ => Ok(addresses),
            }
        })
    }

    fn each_address_once(
        &mut self,
        listen: &[Address],
        gateway: Option<&Gateway>,
        admin: &[Address],
    ) {
        let gateway = gateway.map_or(&[][..], |gateway| &gateway.listen);
        for (name, addresses, first, others) in [
            ("GATEWAY_LISTEN", gateway, "LISTEN", listen),
            ("ADMIN_LISTEN", admin, "LISTEN", listen),
            ("ADMIN_LISTEN", admin, "GATEWAY_LISTEN", gateway),
        ] {
            let shared = |address: &&Address| is_fixed(address) && others.contains(address);
            if let Some(address) = addresses.iter().find(shared) {
                self.fault(name, ValueError::Taken(address.clone(), first));
            }
        }
    }
}
