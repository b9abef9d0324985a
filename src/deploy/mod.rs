//! The files that the binary carries, for `origin-guard print`.

mod hosted;
mod proxy;
mod socket;
mod template;
mod unit;
mod values;

use std::ffi::OsString;
use std::fmt::{self, Display};

use hosted::HostedGateway;
pub use proxy::PrintFault;
use proxy::{Language, Options, ProxyFile, Role};
use socket::{ROLES, SocketRole};
use unit::UnitBackend;
use values::{HostName, Unfit};

use crate::spelling::nearest;
use crate::usage::is_word;

/// A file that the binary carries.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// What it is called on the command line.
    name: &'static str,
    purpose: &'static str,
    text: &'static str,
    fits: Fits,
}

/// What a file is fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    Nothing,
    /// The unit: to a backend.
    Unit,
    /// The socket unit: to a role.
    Socket,
    Proxy(ProxyFile),
    Hosted(HostedGateway),
}

static FILES: [File; 29] = [
    File {
        name: "unit",
        purpose: "origin-guard.service, for systemd; --backend URL puts it in front of one",
        text: include_str!("origin-guard.service"),
        fits: Fits::Unit,
    },
    File {
        name: "socket",
        purpose: "origin-guard.socket, for systemd; --role ROLE is another one",
        text: include_str!("origin-guard.socket"),
        fits: Fits::Socket,
    },
    plain(
        "no-network",
        "a drop-in for the service with the socket unit",
        include_str!("no-network.conf"),
    ),
    plain(
        "gateway-socket",
        "origin-guard-gateway.socket, where a gateway's proxy asks",
        include_str!("origin-guard-gateway.socket"),
    ),
    plain(
        "gateway-unit",
        "a drop-in for the service that answers a gateway's proxy, too",
        include_str!("gateway.conf"),
    ),
    plain(
        "tls-unit",
        "a drop-in for the service that speaks TLS, with the hook of renewals",
        include_str!("tls.conf"),
    ),
    plain(
        "fail2ban",
        "both files for fail2ban, one after the other",
        concat!(
            include_str!("fail2ban-filter.conf"),
            "\n",
            include_str!("fail2ban-jail.conf")
        ),
    ),
    plain(
        "fail2ban-filter",
        "filter.d/origin-guard.conf: which lines of the log tell of a bad client",
        include_str!("fail2ban-filter.conf"),
    ),
    plain(
        "fail2ban-jail",
        "jail.d/origin-guard.conf: when it is banned",
        include_str!("fail2ban-jail.conf"),
    ),
    plain(
        "alerts",
        "origin-guard.yml: alerts, for rule_files of Prometheus",
        include_str!("alerts.yml"),
    ),
    plain(
        "grafana",
        "a dashboard for Grafana, as JSON; its queries are tested, not tried in Grafana",
        include_str!("grafana.json"),
    ),
    plain(
        "gitleaks",
        ".gitleaks.toml: a rule that finds API keys in a repository",
        include_str!("gitleaks.toml"),
    ),
    File {
        name: "nginx",
        purpose: "nginx asks the guard before it asks the backend",
        text: include_str!("nginx.conf"),
        fits: Fits::Proxy(ProxyFile::new(Language::Nginx, Role::Origin)),
    },
    File {
        name: "caddy",
        purpose: "Caddy asks the guard before it asks the backend",
        text: include_str!("Caddyfile"),
        fits: Fits::Proxy(ProxyFile::new(Language::Caddy, Role::Origin)),
    },
    File {
        name: "haproxy",
        purpose: "HAProxy asks the guard before it asks the backend",
        text: include_str!("haproxy.cfg"),
        fits: Fits::Proxy(ProxyFile::new(Language::Haproxy, Role::Origin)),
    },
    plain(
        "haproxy-lua",
        "how HAProxy asks; haproxy and haproxy-gateway load it",
        include_str!("haproxy.lua"),
    ),
    File {
        name: "traefik",
        purpose: "Traefik asks the guard before it asks the backend; not tested here",
        text: include_str!("traefik.yml"),
        fits: Fits::Proxy(ProxyFile::new(Language::Traefik, Role::Origin)),
    },
    File {
        name: "envoy",
        purpose: "Envoy asks the guard before it asks the backend",
        text: include_str!("envoy.yaml"),
        fits: Fits::Proxy(ProxyFile::new(Language::Envoy, Role::Origin)),
    },
    File {
        name: "nginx-gateway",
        purpose: "nginx as the gateway: API key in, shared secret out",
        text: include_str!("nginx-gateway.conf"),
        fits: Fits::Proxy(ProxyFile::new(Language::Nginx, Role::Gateway)),
    },
    File {
        name: "caddy-gateway",
        purpose: "Caddy as the gateway: API key in, shared secret out",
        text: include_str!("Caddyfile-gateway"),
        fits: Fits::Proxy(ProxyFile::new(Language::Caddy, Role::Gateway)),
    },
    File {
        name: "haproxy-gateway",
        purpose: "HAProxy as the gateway: API key in, shared secret out",
        text: include_str!("haproxy-gateway.cfg"),
        fits: Fits::Proxy(ProxyFile::new(Language::Haproxy, Role::Gateway)),
    },
    hosted(
        "zuplo",
        "how to have Zuplo send the secret",
        include_str!("hosted/zuplo.txt"),
        HostedGateway::new("Zuplo", &[]),
    ),
    hosted(
        "cloudfront",
        "how to have Amazon CloudFront send the secret",
        include_str!("hosted/cloudfront.txt"),
        HostedGateway::new("CloudFront", &["x-amz-", "x-edge-"]),
    ),
    hosted(
        "azure-front-door",
        "how to have Azure Front Door send the secret",
        include_str!("hosted/azure-front-door.txt"),
        HostedGateway::new("Azure Front Door", &["x-azure-", "x-fd-"]),
    ),
    hosted(
        "cloudflare",
        "how to have Cloudflare send the secret",
        include_str!("hosted/cloudflare.txt"),
        HostedGateway::new("Cloudflare", &["x-cf-", "cf-"]),
    ),
    hosted(
        "fastly",
        "how to have Fastly send the secret",
        include_str!("hosted/fastly.txt"),
        HostedGateway::new("Fastly", &["fastly-"]),
    ),
    hosted(
        "rapidapi",
        "what RapidAPI sends, and how the guard takes it",
        include_str!("hosted/rapidapi.txt"),
        HostedGateway::with_own_secret("RapidAPI"),
    ),
    hosted(
        "apisix",
        "how to have Apache APISIX send the secret",
        include_str!("hosted/apisix.txt"),
        HostedGateway::new("APISIX", &[]),
    ),
    hosted(
        "kong",
        "how to have Kong Gateway send the secret",
        include_str!("hosted/kong.txt"),
        HostedGateway::new("Kong", &[]),
    ),
];

/// What people call a file that is called otherwise here, and its name.
const ALIASES: &[(&str, &str)] = &[
    ("prometheus", "alerts"),
    ("dashboard", "grafana"),
    ("service", "unit"),
    ("systemd", "unit and socket"),
    ("origin-guard.service", "unit"),
    ("origin-guard.socket", "socket"),
    ("drop-in", "gateway-unit, tls-unit and no-network"),
    ("caddyfile", "caddy"),
    ("azure", "azure-front-door"),
    ("frontdoor", "azure-front-door"),
    ("aws", "cloudfront"),
    ("lua", "haproxy-lua"),
    (
        "gateway",
        "nginx-gateway, caddy-gateway, haproxy-gateway (the proxy's file), gateway-unit or gateway-socket",
    ),
    (
        "envoy-gateway",
        "nginx-gateway, caddy-gateway or haproxy-gateway",
    ),
    (
        "traefik-gateway",
        "nginx-gateway, caddy-gateway or haproxy-gateway",
    ),
];

const fn plain(name: &'static str, purpose: &'static str, text: &'static str) -> File {
    File {
        name,
        purpose,
        text,
        fits: Fits::Nothing,
    }
}

const fn hosted(
    name: &'static str,
    purpose: &'static str,
    text: &'static str,
    gateway: HostedGateway,
) -> File {
    File {
        name,
        purpose,
        text,
        fits: Fits::Hosted(gateway),
    }
}

/// No file has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFile {
    name: String,
    meant: Option<String>,
}

impl Display for UnknownFile {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, meant } = self;
        if is_word(name) {
            write!(to, "no file is called {name:?}; ")?;
        } else {
            to.write_str("no file is called so; ")?;
        }
        match meant {
            Some(meant) => write!(to, "print {meant}; `origin-guard print` lists them all"),
            None => to.write_str("`origin-guard print` lists them"),
        }
    }
}

impl std::error::Error for UnknownFile {}

/// A file, and what it is to be fitted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    file: &'static File,
    options: Options,
    backend: Option<UnitBackend>,
    role: Option<SocketRole>,
    name: Option<HostName>,
}

impl Print {
    /// The file called `name` on the command line.
    ///
    /// # Errors
    ///
    /// If there is none, with the name that was meant, where that can be told.
    pub fn new(name: &str) -> Result<Self, UnknownFile> {
        let file = FILES.iter().find(|file| file.name == name);
        file.map(|file| Self {
            file,
            options: Options::default(),
            backend: None,
            role: None,
            name: None,
        })
        .ok_or_else(|| UnknownFile {
            name: name.to_owned(),
            meant: meant(name),
        })
    }

    /// Adds the option `--name value`.
    ///
    /// # Errors
    ///
    /// If the file has no place for it, if it is there twice, or if the value does not fit.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, PrintFault> {
        match (self.file.fits, name) {
            (Fits::Proxy(proxy), _) => proxy.add(&mut self.options, name, value)?,
            (Fits::Unit, "backend") => {
                let backend = UnitBackend::parse(value)
                    .map_err(|error| PrintFault::Value(name.to_owned(), error.to_string()))?;
                if self.backend.replace(backend).is_some() {
                    return Err(PrintFault::Repeated(name.to_owned()));
                }
            }
            (Fits::Socket, "role") => {
                let role = SocketRole::parse(value).ok_or_else(|| {
                    PrintFault::Value(name.to_owned(), format!("{value:?} is none; write {ROLES}"))
                })?;
                if self.role.replace(role).is_some() {
                    return Err(PrintFault::Repeated(name.to_owned()));
                }
            }
            (Fits::Hosted(_), "name") => {
                let host = value.parse().map_err(|error: Unfit| {
                    PrintFault::Value(name.to_owned(), error.to_string())
                })?;
                if self.name.replace(host).is_some() {
                    return Err(PrintFault::Repeated(name.to_owned()));
                }
            }
            (Fits::Hosted(_), _) => return Err(PrintFault::NoPlace(name.to_owned(), "--name")),
            (Fits::Socket, _) => return Err(PrintFault::NoPlace(name.to_owned(), "--role")),
            (Fits::Unit, _) => return Err(PrintFault::NoPlace(name.to_owned(), "--backend")),
            (Fits::Nothing, _) => return Err(PrintFault::NoPlace(name.to_owned(), "")),
        }
        Ok(self)
    }

    /// Looks at all the options together.
    ///
    /// # Errors
    ///
    /// If one of them lacks another, or cannot be in this file.
    pub fn checked(self) -> Result<Self, PrintFault> {
        if let Fits::Proxy(proxy) = self.file.fits {
            proxy.check(&self.options)?;
        }
        Ok(self)
    }

    /// The text of the file, for the headers that `variable` tells of.
    ///
    /// # Errors
    ///
    /// If `SECRET_HEADER` or `API_KEY_HEADER` cannot be the name of a header in it.
    pub fn text(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<String, PrintFault> {
        match self.file.fits {
            Fits::Proxy(proxy) => proxy.text(self.file.text, &self.options, variable),
            Fits::Unit => Ok(unit::text(self.file.text, self.backend.as_ref())),
            Fits::Socket => Ok(socket::text(self.role.unwrap_or(SocketRole::Plain))),
            Fits::Hosted(gateway) => {
                let File { name, text, .. } = self.file;
                gateway.text(name, text, self.name.as_ref(), variable)
            }
            Fits::Nothing => Ok(self.file.text.to_owned()),
        }
    }
}

/// What was meant by a name that no file has.
fn meant(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == lower) {
        return Some((*meant).to_owned());
    }
    let near: Vec<_> = FILES
        .iter()
        .map(|file| file.name)
        .filter(|known| lower.len() > 2 && (known.contains(&lower) || lower.contains(known)))
        .collect();
    if near.is_empty() {
        return nearest(&lower, names()).map(str::to_owned);
    }
    Some(near.join(" or "))
}

/// The names of all files.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.name)
}

/// A line for each file: its name, and what it is for.
#[must_use]
pub fn list() -> String {
    let line = |file: &File| format!("{:<16} {}", file.name, file.purpose);
    FILES.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hosted(file: &File) -> bool {
        matches!(file.fits, Fits::Hosted(_))
    }

    #[test]
    fn no_placeholder_is_left_and_no_header_but_the_named_ones() {
        let variable = |name: &str| match name {
            "SECRET_HEADER" => Some("X-Azure-FDID".into()),
            "API_KEY_HEADER" => Some("X-Api-Key".into()),
            _ => None,
        };
        for file in FILES.iter().filter(|file| !is_hosted(file)) {
            let text = Print::new(file.name)
                .expect("it")
                .text(&variable)
                .expect("it");
            // Prometheus and Grafana fill in their own.
            let has_own = ["alerts", "grafana"].contains(&file.name);
            assert!(has_own || !text.contains("{{"), "{}: {text}", file.name);
            if matches!(file.fits, Fits::Proxy(_)) {
                let lower = text.to_ascii_lowercase();
                assert!(lower.contains("x-azure-fdid"), "{}", file.name);
                assert!(!lower.contains("shared-secret"), "{}", file.name);
                assert!(!lower.contains("shared_secret "), "{}", file.name);
                assert!(!lower.contains("authorization "), "{}", file.name);
            }
        }
    }
}
