//! What a printed file can be fitted with. Each value is a type of its own, and none of them
//! can hold a byte that means something in the language of a proxy's file.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use crate::decimal::decimal;
use crate::net::LONGEST_UNIX_PATH;

/// Why a value is refused: the fault and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit(String);

impl Display for Unfit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl Unfit {
    /// `text` must not hold more than what `takes` says.
    fn unless(text: &str, takes: impl Fn(u8) -> bool, remedy: &'static str) -> Result<(), Self> {
        match text.bytes().position(|byte| !takes(byte)) {
            Some(at) => Err(Self(format!("byte {} cannot stand here; {remedy}", at + 1))),
            None if text.is_empty() => Err(Self(format!("it is empty; {remedy}"))),
            None => Ok(()),
        }
    }
}

/// The name of a header, of letters, digits and hyphens, that a proxy can set and drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderName(String);

impl HeaderName {
    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// In lower case.
    pub(super) fn lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// As Go, and so Caddy, keeps it: `X-Azure-Fdid`.
    pub(super) fn canonical(&self) -> String {
        let mut starts = true;
        let letters = self.0.chars().map(|letter| {
            let upper = std::mem::replace(&mut starts, letter == '-');
            if upper {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        });
        letters.collect()
    }

    /// As a part of the name of a variable of nginx.
    pub(super) fn variable(&self) -> String {
        self.lower().replace('-', "_")
    }

    /// As CGI would have it in a header's name.
    pub(super) fn underscored(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for HeaderName {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        const REMEDY: &str = "a proxy's file can name a header of letters, digits and hyphens";
        Unfit::unless(
            text,
            |byte| byte.is_ascii_alphanumeric() || byte == b'-',
            REMEDY,
        )?;
        let lower = text.to_ascii_lowercase();
        let is_taken = [
            "connection",
            "cookie",
            "expect",
            "forwarded",
            "host",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "x-consumer",
            "x-consumer-metadata",
            "x-guard-body",
            "x-real-ip",
        ]
        .contains(&lower.as_str())
            || ["content-", "x-forwarded-"]
                .iter()
                .any(|prefix| lower.starts_with(prefix));
        if is_taken {
            return Err(Unfit(format!(
                "{text} has a meaning of its own for a proxy; choose another header"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A host's name (RFC 1123, section 2.1), with underscores too, as containers have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(String);

impl Display for HostName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        const REMEDY: &str = "write a host's name such as origin.example";
        Unfit::unless(
            text,
            |byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte),
            REMEDY,
        )?;
        let is_label = |label: &str| {
            (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(is_label) {
            return Err(Unfit(format!("{text:?} is not a host's name; {REMEDY}")));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A host by its name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// By its name.
    Name(HostName),
    /// By its address.
    Address(IpAddr),
}

impl Display for Host {
    /// Without the brackets that an IPv6 address has in a URL.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(to),
            Self::Address(address) => address.fmt(to),
        }
    }
}

/// Where requests are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Server {
    /// A backend: `HOST:PORT`, and `http://` before it is not a fault.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn backend(text: &str) -> Result<Self, Unfit> {
        const REMEDY: &str = "write HOST:PORT, such as 127.0.0.1:3000";
        if text.starts_with("https://") {
            return Err(Unfit(format!(
                "a backend is asked in clear, on this machine; {REMEDY}"
            )));
        }
        Self::read(text, "http://", None, REMEDY)
    }

    /// An origin, which is asked over TLS: `HOST` or `HOST:PORT`, and `https://` before it
    /// is not a fault. The host is a name, because its certificate is for a name.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn origin(text: &str) -> Result<Self, Unfit> {
        const REMEDY: &str = "write the origin's name, such as origin.example or \
                              origin.example:8443";
        if text.starts_with("http://") {
            return Err(Unfit(format!(
                "an origin is asked over TLS, because the secret crosses the network; {REMEDY}"
            )));
        }
        let origin = Self::read(text, "https://", Some(443), REMEDY)?;
        match origin.host {
            Host::Name(_) => Ok(origin),
            Host::Address(_) => Err(Unfit(format!(
                "an origin's certificate is for a name; {REMEDY}"
            ))),
        }
    }

    fn read(text: &str, scheme: &str, default: Option<u16>, remedy: &str) -> Result<Self, Unfit> {
        let unfit = || Unfit(format!("{text:?} is none; {remedy}"));
        let rest = text.strip_prefix(scheme).unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Ok(address) = rest.parse::<SocketAddr>() {
            let is_scoped = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
            if is_scoped || address.port() == 0 {
                return Err(unfit());
            }
            return Ok(Self {
                host: Host::Address(address.ip()),
                port: address.port(),
            });
        }
        let (host, port) = match (rest.rsplit_once(':'), default) {
            (Some((host, port)), _) => {
                let port = decimal(port).filter(|&port| port > 0);
                (host, port.ok_or_else(unfit)?)
            }
            (None, Some(port)) => (rest, port),
            (None, None) => return Err(unfit()),
        };
        let host = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Host::Address(address.into()),
            // Without brackets it cannot be told from its port.
            Ok(IpAddr::V6(_)) => return Err(unfit()),
            Err(_) => Host::Name(host.parse().map_err(|_| unfit())?),
        };
        Ok(Self { host, port })
    }
}

impl Display for Server {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Address(address) => SocketAddr::new(address, self.port).fmt(to),
            Host::Name(ref name) => write!(to, "{name}:{}", self.port),
        }
    }
}

/// The absolute path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath(String);

impl Display for FilePath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl FromStr for FilePath {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        const REMEDY: &str = "write an absolute path of letters, digits and ._-+@/";
        Unfit::unless(
            text,
            |byte| byte.is_ascii_alphanumeric() || b"._-+@/".contains(&byte),
            REMEDY,
        )?;
        if !Path::new(text).is_absolute() {
            return Err(Unfit(format!("{text:?} is not an absolute path; {REMEDY}")));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where the guard is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GuardAddress {
    /// A Unix socket.
    Unix(FilePath),
    /// A port of this machine.
    Tcp(SocketAddr),
}

impl FromStr for GuardAddress {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        const REMEDY: &str = "write the path of the guard's socket, or its address on this \
                              machine such as 127.0.0.1:8888";
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            if path.len() > LONGEST_UNIX_PATH {
                return Err(Unfit(format!(
                    "the path has {} bytes, and a socket's has {LONGEST_UNIX_PATH} at most; \
                     take a shorter one",
                    path.len()
                )));
            }
            return path.parse().map(Self::Unix);
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() && address.port() > 0 => {
                Ok(Self::Tcp(address))
            }
            _ => Err(Unfit(format!("{text:?} is neither; {REMEDY}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    #[test]
    fn no_value_takes_a_byte_that_a_file_gives_a_meaning() {
        for byte in (0..=b' ').chain(*b"\"'`$%&(){}[]<>;#!|\\*?,=^~\x7f") {
            for text in [
                "a\0b",
                "/a\0b",
                "a\0b:80",
                "127.0.0.1:80\0",
                "\0",
                "/\0",
                "a.b\0",
            ] {
                let text = text.replace('\0', &char::from(byte).to_string());
                assert!(!fits::<HeaderName>(&text), "{text:?}");
                assert!(!fits::<HostName>(&text), "{text:?}");
                assert!(!fits::<FilePath>(&text), "{text:?}");
                assert!(!fits::<GuardAddress>(&text), "{text:?}");
                assert!(Server::backend(&text).is_err(), "{text:?}");
                assert!(Server::origin(&text).is_err(), "{text:?}");
            }
        }
    }

    #[test]
    fn what_people_write_fits() {
        for (text, shown) in [
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]:3000", "[::1]:3000"),
            ("http://app_1:3000/", "app_1:3000"),
            ("backend.internal:80", "backend.internal:80"),
        ] {
            let backend = Server::backend(text).map(|server| server.to_string());
            assert_eq!(backend.as_deref(), Ok(shown));
        }
        for (text, shown) in [
            ("origin.example", "origin.example:443"),
            ("https://origin.example/", "origin.example:443"),
            ("origin.example:8443", "origin.example:8443"),
        ] {
            let origin = Server::origin(text).map(|server| server.to_string());
            assert_eq!(origin.as_deref(), Ok(shown));
        }
        for text in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:80",
            "https://h:1",
        ] {
            assert!(Server::backend(text).is_err(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1",
            "127.0.0.1:443",
            "[::1]:443",
            "http://origin.example",
        ] {
            assert!(Server::origin(text).is_err(), "{text}");
        }
        for text in [
            "/run/a.sock",
            "unix:/run/a.sock",
            "127.0.0.1:8888",
            "[::1]:8888",
        ] {
            assert!(fits::<GuardAddress>(text), "{text}");
        }
        for text in [
            "",
            "run/a.sock",
            "0.0.0.0:8888",
            "192.0.2.1:80",
            "127.0.0.1:0",
            "host:80",
        ] {
            assert!(!fits::<GuardAddress>(text), "{text}");
        }
        assert!(!fits::<GuardAddress>(&format!("/{}", "x".repeat(107))));
        assert!(fits::<HeaderName>("X-Azure-FDID") && fits::<HeaderName>("Authorization"));
        for text in [
            "Host",
            "content-type",
            "X-Forwarded-For",
            "x-consumer",
            "X_Secret",
            "",
        ] {
            assert!(!fits::<HeaderName>(text), "{text}");
        }
    }
}
