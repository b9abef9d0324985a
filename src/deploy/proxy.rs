//! A proxy's file, fitted: what its placeholders become in the proxy's own language.

use std::ffi::OsString;
use std::fmt::{self, Display};

use super::template;
use super::values::{FilePath, GuardAddress, HeaderName, HostName, Server, Unfit};
use crate::http1::names::SHARED_SECRET;

/// Whose language a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Nginx,
    Caddy,
    Haproxy,
    Envoy,
    Traefik,
}

/// What a proxy stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A backend, which it guards.
    Origin,
    /// An origin, which it sends the secret to.
    Gateway,
}

/// A file of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProxyFile {
    language: Language,
    role: Role,
}

/// What `print` takes beside a file's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    backend: Option<Server>,
    name: Option<HostName>,
    cert: Option<FilePath>,
    key: Option<FilePath>,
    socket: Option<GuardAddress>,
}

/// Why a file cannot be printed as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintFault {
    /// The file has no place for the option: which one, and which ones it has.
    NoPlace(String, &'static str),
    /// The option is there twice.
    Repeated(String),
    /// An option's value.
    Value(String, String),
    /// An option that needs another one, or forbids it: what to do.
    Combination(&'static str),
    /// A variable of the environment.
    Variable(&'static str, String),
}

impl Display for PrintFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace(option, "") => {
                write!(
                    to,
                    "--{option}: this file is fitted to nothing; leave it out"
                )
            }
            Self::NoPlace(option, places) => {
                write!(
                    to,
                    "--{option}: this file has no place for it; it takes {places}"
                )
            }
            Self::Repeated(option) => write!(to, "--{option}: it is there twice; name it once"),
            Self::Value(option, fault) => write!(to, "--{option}: {fault}"),
            Self::Combination(fault) => to.write_str(fault),
            Self::Variable(name, fault) => write!(to, "{name}: {fault}"),
        }
    }
}

impl std::error::Error for PrintFault {}

impl PrintFault {
    /// Whether the environment is at fault, not the command line.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Variable(..))
    }
}

impl ProxyFile {
    pub(super) const fn new(language: Language, role: Role) -> Self {
        Self { language, role }
    }

    /// The options that it takes.
    fn options(self) -> &'static str {
        match self.language {
            Language::Nginx | Language::Caddy | Language::Envoy => {
                "--backend, --name, --cert, --key, --socket"
            }
            Language::Haproxy => "--backend, --name, --cert (with the key in it), --socket",
            Language::Traefik => "--backend, --name, --socket",
        }
    }

    fn takes(self, option: &str) -> bool {
        let mut options = self
            .options()
            .split(", ")
            .filter_map(|option| option.get(2..));
        options.any(|known| known.split(' ').next() == Some(option))
    }

    /// Adds the option `name` with its value.
    pub(super) fn add(
        self,
        options: &mut Options,
        name: &str,
        value: &str,
    ) -> Result<(), PrintFault> {
        if !self.takes(name) {
            return Err(PrintFault::NoPlace(name.to_owned(), self.options()));
        }
        let unfit = |fault: Unfit| PrintFault::Value(name.to_owned(), fault.to_string());
        let is_repeated = match name {
            "backend" => {
                let server = match self.role {
                    Role::Origin => Server::backend(value),
                    Role::Gateway => Server::origin(value),
                };
                options.backend.replace(server.map_err(unfit)?).is_some()
            }
            "name" => options
                .name
                .replace(value.parse().map_err(unfit)?)
                .is_some(),
            "cert" => options
                .cert
                .replace(value.parse().map_err(unfit)?)
                .is_some(),
            "key" => options.key.replace(value.parse().map_err(unfit)?).is_some(),
            _ => options
                .socket
                .replace(value.parse().map_err(unfit)?)
                .is_some(),
        };
        if is_repeated {
            return Err(PrintFault::Repeated(name.to_owned()));
        }
        Ok(())
    }

    /// Looks at the options together.
    pub(super) fn check(self, options: &Options) -> Result<(), PrintFault> {
        let has_keys = self.takes("key");
        if has_keys && options.cert.is_some() != options.key.is_some() {
            return Err(PrintFault::Combination(
                "--cert and --key belong together; give both",
            ));
        }
        match (self.language, &options.socket) {
            (Language::Traefik, Some(GuardAddress::Unix(_))) => Err(PrintFault::Combination(
                "--socket: Traefik knows no Unix sockets; write an address such as 127.0.0.1:8888",
            )),
            _ => Ok(()),
        }
    }

    /// Its text for these options, and for the headers that `variable` tells of.
    pub(super) fn text(
        self,
        template: &str,
        options: &Options,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<String, PrintFault> {
        let secret = secret_header(variable)?;
        let key = header("API_KEY_HEADER", "Authorization", variable)?;
        if self.role == Role::Gateway && secret.lower() == key.lower() {
            return Err(PrintFault::Variable(
                "API_KEY_HEADER",
                format!(
                    "{} holds the secret already (SECRET_HEADER); choose another header for \
                     the key",
                    key.as_str()
                ),
            ));
        }
        let name = options.name.as_ref().map_or_else(
            || {
                match self.role {
                    Role::Origin => "origin.example",
                    Role::Gateway => "api.example",
                }
                .to_owned()
            },
            ToString::to_string,
        );
        let backend = options.backend.clone().unwrap_or_else(|| {
            match self.role {
                Role::Origin => Server::backend("127.0.0.1:8080"),
                Role::Gateway => Server::origin("origin.example"),
            }
            .expect("a default fits")
        });
        Ok(template::fill(template, |place| {
            Some(match place {
                "secret_header" => secret.as_str().to_owned(),
                "secret_header_lower" => secret.lower(),
                "secret_canonical" => secret.canonical(),
                "secret_variable" => secret.variable(),
                "secret_underscored" => secret.underscored(),
                "key_header" => key.as_str().to_owned(),
                "name" => name.clone(),
                "backend_host" => backend.host.to_string(),
                "backend_port" => backend.port.to_string(),
                "origin" if backend.port == 443 => backend.host.to_string(),
                "backend" | "origin" => backend.to_string(),
                "cert" => self.certificate(options.cert.as_ref(), &name),
                "key" => path(options.key.as_ref(), &name, "privkey.pem"),
                "tls" => tls_of_caddy(options, &name),
                "guard" => self.guard(options.socket.as_ref()),
                _ => return None,
            })
        }))
    }

    fn certificate(self, cert: Option<&FilePath>, name: &str) -> String {
        let part = match self.language {
            Language::Haproxy => "combined.pem",
            _ => "fullchain.pem",
        };
        path(cert, name, part)
    }

    /// The guard's address as the proxy's language has it.
    fn guard(self, socket: Option<&GuardAddress>) -> String {
        let default = match (self.language, self.role) {
            (Language::Traefik, _) => "127.0.0.1:8888",
            (_, Role::Origin) => "/run/origin-guard.sock",
            (_, Role::Gateway) => "/run/origin-guard-gateway.sock",
        };
        let default: GuardAddress = default.parse().expect("a default fits");
        match (self.language, socket.unwrap_or(&default)) {
            (Language::Nginx, GuardAddress::Unix(path)) => format!("unix:{path}"),
            (Language::Caddy, GuardAddress::Unix(path)) => format!("unix/{path}"),
            (Language::Haproxy, GuardAddress::Unix(path)) => format!("unix@{path}"),
            (Language::Envoy, GuardAddress::Unix(path)) => format!("pipe: {{ path: {path} }}"),
            (Language::Traefik, GuardAddress::Unix(path)) => path.to_string(),
            (Language::Haproxy, GuardAddress::Tcp(address)) if address.is_ipv6() => {
                format!("ipv6@{address}")
            }
            (Language::Haproxy, GuardAddress::Tcp(address)) => format!("ipv4@{address}"),
            (Language::Envoy, GuardAddress::Tcp(address)) => format!(
                "socket_address: {{ address: \"{}\", port_value: {} }}",
                address.ip(),
                address.port()
            ),
            (_, GuardAddress::Tcp(address)) => address.to_string(),
        }
    }
}

/// The name of the header that holds the secret.
pub(super) fn secret_header(
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<HeaderName, PrintFault> {
    let secret = header("SECRET_HEADER", SHARED_SECRET, variable)?;
    if secret.lower() == "authorization" {
        return Err(PrintFault::Variable(
            "SECRET_HEADER",
            "Authorization is the backend's own; choose another header".into(),
        ));
    }
    Ok(secret)
}

fn header(
    name: &'static str,
    default: &str,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<HeaderName, PrintFault> {
    let text = match variable(name).map(OsString::into_string) {
        None => default.to_owned(),
        Some(Ok(text)) if text.is_empty() => default.to_owned(),
        Some(Ok(text)) => text,
        Some(Err(_)) => {
            let fault = "its value is not UTF-8; write it in ASCII";
            return Err(PrintFault::Variable(name, fault.into()));
        }
    };
    text.trim()
        .parse()
        .map_err(|fault: Unfit| PrintFault::Variable(name, fault.to_string()))
}

/// Where there is none, the folder that bears the server's name has it.
fn path(given: Option<&FilePath>, name: &str, part: &str) -> String {
    given.map_or_else(|| format!("/etc/ssl/{name}/{part}"), ToString::to_string)
}

/// Caddy gets a certificate by itself unless it is given one.
fn tls_of_caddy(options: &Options, name: &str) -> String {
    let cert = path(options.cert.as_ref(), name, "fullchain.pem");
    let key = path(options.key.as_ref(), name, "privkey.pem");
    let mark = if options.cert.is_some() { "" } else { "#" };
    format!("{mark}tls {cert} {key}")
}
