//! One member of `BACKEND`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::net::resolve::{ResolveError, Resolver, is_localhost};
use crate::net::{Address, LONGEST_UNIX_PATH};

const SCHEME: &str = "http://";
const PORT: u16 = 80;
const TLS_SCHEME: &str = "https://";
const TLS_PORT: u16 = 443;
/// Longest name, without the dot behind it (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;

/// Where a backend is: `http://HOST:PORT`, `http://[V6]:PORT` or `http://unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendUrl {
    place: Place,
    name: String,
    is_https: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Address(Address),
    /// A name that has to be resolved.
    Name {
        host: String,
        port: u16,
    },
}

/// Why a member of `BACKEND` is none. Displays as the message for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendUrlError {
    /// It begins with another scheme, or with none.
    Scheme(String),
    /// `https://`.
    Https(String),
    /// Something stands behind host and port.
    Path(String),
    /// `user@`.
    UserInfo(String),
    /// The host is neither a name nor an address.
    Host(String),
    /// The port is none from 1 to 65535.
    Port(String),
    /// The path of a Unix socket is not absolute, or too long.
    Socket(String),
    /// It is there twice.
    Twice(String),
    /// There are more than [`super::MOST_BACKENDS`].
    TooMany(usize),
    /// It is empty, as in `http://a:1,,http://b:1`.
    Empty,
}

/// Why a member of `ORIGIN` is none: the same, with the remedy for an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginUrlError(pub BackendUrlError);

impl fmt::Display for OriginUrlError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(
            to,
            "https:// or http://",
            |url| if url.is_local() { SCHEME } else { TLS_SCHEME },
            "write https://HOST (https://origin.example), or http://HOST:PORT and \
             http://unix:/path on this machine",
        )
    }
}

impl std::error::Error for OriginUrlError {}

impl fmt::Display for BackendUrlError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(
            to,
            SCHEME,
            |_| SCHEME,
            "write http://HOST:PORT (http://127.0.0.1:3000, http://[::1]:3000) or http://unix:/path",
        )
    }
}

impl std::error::Error for BackendUrlError {}

impl BackendUrlError {
    /// `schemes` are those that are taken, `meant` the one of a place that is named without
    /// any; `forms` says what may be written.
    fn write(
        &self,
        to: &mut fmt::Formatter<'_>,
        schemes: &str,
        meant: impl Fn(&BackendUrl) -> &'static str,
        forms: &str,
    ) -> fmt::Result {
        match self {
            Self::Scheme(member) => {
                write!(to, "{member:?} does not begin with {schemes}; ")?;
                match BackendUrl::parse(&format!("{SCHEME}{member}")) {
                    Ok(url) => write!(to, "write {}{member}", meant(&url)),
                    Err(_) => to.write_str(forms),
                }
            }
            Self::Https(member) => write!(
                to,
                "{member:?}: a backend is reached by http:// on this machine or in a private \
                 network; for an origin that is reached by TLS set ORIGIN and GATEWAY_LISTEN"
            ),
            Self::Path(member) => write!(
                to,
                "{member:?} holds a path, a query or a fragment; requests keep their own path, \
                 so leave off what stands behind the port"
            ),
            Self::UserInfo(_) => {
                // It may be a password, so it is not shown.
                to.write_str("a member holds a user's name before an @; leave that off")
            }
            Self::Host(member) => write!(to, "{member:?} names no host; {forms}"),
            Self::Port(member) => {
                write!(to, "{member:?} has no port from 1 to 65535; {forms}")
            }
            Self::Socket(member) => write!(
                to,
                "{member:?} holds no absolute path of at most {LONGEST_UNIX_PATH} bytes; {forms}"
            ),
            Self::Twice(member) => write!(to, "{member} is there twice; name it once"),
            Self::TooMany(count) => write!(
                to,
                "{count} backends are more than {}; put a load balancer between",
                super::MOST_BACKENDS
            ),
            Self::Empty => write!(to, "a member is empty; {forms}, with commas between"),
        }
    }
}

impl BackendUrl {
    /// Reads a comma-separated list; each member once, at least one.
    ///
    /// # Errors
    ///
    /// The first member that is not a URL of a backend.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, BackendUrlError> {
        Self::parse_each(list, Self::parse)
    }

    fn parse_each(
        list: &str,
        parse: impl Fn(&str) -> Result<Self, BackendUrlError>,
    ) -> Result<Vec<Self>, BackendUrlError> {
        let mut urls: Vec<Self> = Vec::new();
        for member in list.split(',').map(str::trim) {
            let url = parse(member)?;
            if urls.contains(&url) {
                return Err(BackendUrlError::Twice(member.to_owned()));
            }
            urls.push(url);
        }
        if urls.len() > super::MOST_BACKENDS {
            return Err(BackendUrlError::TooMany(urls.len()));
        }
        Ok(urls)
    }

    /// Reads a comma-separated list of origins, which may be `https://`.
    ///
    /// # Errors
    ///
    /// The first member that is not a URL of an origin.
    pub fn parse_origins(list: &str) -> Result<Vec<Self>, BackendUrlError> {
        Self::parse_each(list, |member| {
            match member.split_at_checked(TLS_SCHEME.len()) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(TLS_SCHEME) => {
                    let plain = Self::parse_at(&format!("{SCHEME}{rest}"), TLS_PORT)?;
                    Ok(Self {
                        is_https: true,
                        ..plain
                    })
                }
                _ => Self::parse(member),
            }
        })
    }

    /// Every address that it has now.
    ///
    /// # Errors
    ///
    /// If it has a name that does not resolve.
    pub fn addresses(&self, resolver: &Resolver) -> Result<Vec<Address>, ResolveError> {
        match &self.place {
            Place::Address(address) => Ok(vec![address.clone()]),
            Place::Name { host, port } => Ok(at_port(resolver.addresses(host)?, *port)),
        }
    }

    /// Those of its addresses for which no server has to be asked; none where one has to.
    #[must_use]
    pub fn known_addresses(&self, resolver: &Resolver) -> Vec<Address> {
        match &self.place {
            Place::Address(address) => vec![address.clone()],
            Place::Name { host, port } => at_port(resolver.known_addresses(host), *port),
        }
    }

    /// Whether the connection speaks TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The name or address, without the port; `None` for a Unix socket.
    #[must_use]
    pub fn host_name(&self) -> Option<String> {
        match &self.place {
            Place::Address(Address::Unix(_)) => None,
            Place::Address(
                Address::Tcp(address) | Address::Tls(address) | Address::Redirect(address),
            ) => Some(address.ip().to_string()),
            Place::Name { host, .. } => Some(host.clone()),
        }
    }

    /// Host and port as a request names them, without the port that the scheme implies.
    #[must_use]
    pub fn authority(&self) -> String {
        let implied = if self.is_https { TLS_PORT } else { PORT };
        match &self.place {
            Place::Address(Address::Unix(_)) => "localhost".into(),
            Place::Address(
                Address::Tcp(address) | Address::Tls(address) | Address::Redirect(address),
            ) => {
                let name = address.to_string();
                let bare = name.strip_suffix(&format!(":{implied}"));
                bare.map_or(name.clone(), str::to_owned)
            }
            Place::Name { host, port } if *port == implied => host.clone(),
            Place::Name { host, port } => format!("{host}:{port}"),
        }
    }

    /// Whether only this machine can be at the other end.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.place {
            Place::Address(address) => address.is_local(),
            Place::Name { host, .. } => is_localhost(host),
        }
    }

    fn parse(member: &str) -> Result<Self, BackendUrlError> {
        Self::parse_at(member, PORT)
    }

    fn parse_at(member: &str, default_port: u16) -> Result<Self, BackendUrlError> {
        use BackendUrlError as Fault;
        let fault = |fault: fn(String) -> Fault| fault(member.to_owned());
        if member.is_empty() {
            return Err(Fault::Empty);
        }
        let (scheme, rest) = member
            .split_at_checked(SCHEME.len())
            .ok_or_else(|| fault(Fault::Scheme))?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            let is_https = scheme.eq_ignore_ascii_case("https:/");
            return Err(fault(if is_https {
                Fault::Https
            } else {
                Fault::Scheme
            }));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(path) = rest.strip_prefix("unix:") {
            return Self::unix(path).ok_or_else(|| {
                // nginx has the path of a request behind a second colon.
                let has_path = path.starts_with('/') && path.contains(":/");
                fault(if has_path { Fault::Path } else { Fault::Socket })
            });
        }
        if rest.contains('@') {
            return Err(fault(Fault::UserInfo));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(fault(Fault::Path));
        }
        // In [v6]:port the last colon is not the port's if it is inside of the brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None => default_port,
            // A sign would be read too.
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| fault(Fault::Port))?,
            Some(_) if host.contains(':') && !host.starts_with('[') => {
                return Err(fault(Fault::Host));
            }
            Some(_) => return Err(fault(Fault::Port)),
        };
        Self::host(host, port).ok_or_else(|| fault(Fault::Host))
    }

    fn unix(path: &str) -> Option<Self> {
        let is_sound = path.starts_with('/') && !path.contains([':', '\0']);
        (is_sound && path.len() <= LONGEST_UNIX_PATH).then(|| Self {
            place: Place::Address(Address::Unix(PathBuf::from(path))),
            name: format!("unix:{path}"),
            is_https: false,
        })
    }

    fn host(host: &str, port: u16) -> Option<Self> {
        let address = if host.starts_with('[') {
            // With the port it is as RFC 4007 writes a zone: [fe80::1%2]:80.
            Some(format!("{host}:{port}").parse::<SocketAddr>().ok()?)
        } else {
            let address = host.parse::<Ipv4Addr>().ok();
            address.map(|address| (address, port).into())
        };
        if let Some(address) = address {
            return Some(Self {
                place: Place::Address(Address::Tcp(address)),
                name: address.to_string(),
                is_https: false,
            });
        }
        let host = host.to_ascii_lowercase();
        is_name(&host).then(|| Self {
            name: format!("{host}:{port}"),
            is_https: false,
            place: Place::Name { host, port },
        })
    }

    /// What logs call it: `127.0.0.1:3000`, `app.internal:3000`, `unix:/run/app.sock`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

fn at_port(ips: Vec<IpAddr>, port: u16) -> Vec<Address> {
    let ips = ips.into_iter();
    ips.map(|ip| Address::Tcp(SocketAddr::new(ip, port)))
        .collect()
}

/// Whether it is a name of a host (RFC 1123, section 2.1), an underscore allowed: container
/// networks give such names.
fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A last part of digits is that of an IPv4 address that is none.
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= LONGEST_NAME
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(member: &str) -> String {
        let urls = BackendUrl::parse_list(member).unwrap_or_else(|fault| panic!("{fault}"));
        let names: Vec<_> = urls.iter().map(BackendUrl::name).collect();
        names.join(",")
    }

    #[test]
    fn reads_each_form() {
        for (member, expected) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000/", "127.0.0.1:3000"),
            ("HTTP://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("http://[::1]", "[::1]:80"),
            ("http://[fe80::1%2]:80", "[fe80::1%2]:80"),
            ("http://LocalHost:3000", "localhost:3000"),
            ("http://app_1.internal.:3000", "app_1.internal.:3000"),
            ("http://unix:/run/app.sock", "unix:/run/app.sock"),
            ("http://unix:/run/app.sock/", "unix:/run/app.sock"),
            ("http://a:1, http://b:1", "a:1,b:1"),
        ] {
            assert_eq!(name(member), expected, "{member}");
        }
    }

    #[test]
    fn names_the_fault_and_the_remedy() {
        let many: Vec<_> = (1..=65).map(|port| format!("http://a:{port}")).collect();
        let long = format!("http://{}:1", "a.".repeat(127) + "ab");
        for (list, said) in [
            ("127.0.0.1:3000", "write http://127.0.0.1:3000"),
            ("localhost", "write http://localhost"),
            ("unix:/run/app.sock", "write http://unix:/run/app.sock"),
            ("ftp://a:1", "write http://HOST:PORT"),
            ("", "empty"),
            ("http://a:1,", "empty"),
            ("https://app.example", "ORIGIN"),
            ("http://a:1/api", "path"),
            ("http://a:1//", "path"),
            ("http://a?b", "path"),
            ("http://a#b", "path"),
            ("http://unix:/run/app.sock:/api", "path"),
            ("http://unix:run/app.sock", "absolute"),
            ("http://unix:", "absolute"),
            (&format!("http://unix:/{}", "a".repeat(107)), "107"),
            ("http://:3000", "no host"),
            ("http://", "no host"),
            ("http://::1:3000", "no host"),
            ("http://[::1:3000", "no host"),
            ("http://[127.0.0.1]:1", "no host"),
            ("http://1.2.3:80", "no host"),
            ("http://1.2.3.400:80", "no host"),
            ("http://-a:80", "no host"),
            ("http://a..b:80", "no host"),
            ("http://a b:80", "no host"),
            ("http://\u{e4}:80", "no host"),
            (&long, "no host"),
            ("http://a:0", "port"),
            ("http://a:65536", "port"),
            ("http://a:+80", "port"),
            ("http://a:", "port"),
            ("http://a:1,http://A:1/", "twice"),
            (&many.join(","), "more than 64"),
        ] {
            let fault = BackendUrl::parse_list(list).expect_err(list).to_string();
            assert!(fault.contains(said), "{list}: {fault}");
        }
        let fault = BackendUrl::parse_list("http://me:hunter2@a:1").expect_err("a fault");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }

    #[test]
    fn knows_our_own_listeners() {
        let leads = |url: &BackendUrl, listener: &Address| {
            let addresses = url.known_addresses(&Resolver::default());
            addresses.iter().any(|address| address.leads_to(listener))
        };
        for (url, listener, is_own) in [
            ("http://127.0.0.1:88", "127.0.0.1:88", true),
            ("http://127.0.0.1:88", "127.0.0.1:89", false),
            ("http://127.0.0.1:88", "127.0.0.2:88", false),
            ("http://127.0.0.2:88", "0.0.0.0:88", true),
            ("http://127.0.0.1:88", "[::]:88", true),
            ("http://[::ffff:127.0.0.1]:88", "127.0.0.1:88", true),
            ("http://[::1]:88", "0.0.0.0:88", false),
            ("http://[::1]:88", "[::]:88", true),
            ("http://0.0.0.0:88", "127.0.0.1:88", true),
            ("http://localhost:88", "127.0.0.1:88", true),
            ("http://localhost:88", "[::]:88", true),
            ("http://localhost:88", "192.0.2.1:88", false),
            ("http://192.0.2.1:88", "0.0.0.0:88", false),
            ("http://app:88", "0.0.0.0:88", false),
        ] {
            let urls = BackendUrl::parse_list(url).expect("a URL");
            let listener = Address::Tcp(listener.parse().expect("an address"));
            assert_eq!(leads(&urls[0], &listener), is_own, "{url} {listener}");
        }
        let urls = BackendUrl::parse_list("http://unix:/run/a").expect("a URL");
        assert!(leads(&urls[0], &Address::Unix("/run/a".into())));
        assert!(!leads(&urls[0], &Address::Unix("/run/b".into())));
    }
}
