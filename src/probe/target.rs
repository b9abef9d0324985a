//! The URL that is probed: https:// or http://, a host, a path.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::ServerName;

use crate::net::resolve::{ResolveError, Resolver};
use crate::proxy::upstream::{BackendUrl, BackendUrlError};

/// An origin, and the path that is asked for there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: BackendUrl,
    /// As it was written, without what is behind the path.
    text: String,
    /// Path and query, printable ASCII.
    path: String,
    /// The name that the certificate must have, for https.
    tls_name: Option<ServerName<'static>>,
}

/// Why a URL cannot be asked.
#[derive(Debug)]
pub enum TargetError {
    /// Scheme, host or port; whether a scheme is there.
    Place(BackendUrlError, bool),
    /// It names more than one host.
    Several,
    /// It names none.
    NoHost,
    /// No certificate can be for this host.
    Uncertifiable,
    /// A Unix socket, which nobody reaches from outside.
    Unix,
    /// The byte with this number, from 1, cannot stand in a path.
    Byte(usize),
}

impl fmt::Display for TargetError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FORM: &str = "write a URL such as https://origin.example/orders";
        // The URL is not shown: it may hold a password.
        match self {
            Self::Place(error, has_scheme) => {
                write!(to, "the URL {}; {FORM}", fault(error, *has_scheme))
            }
            Self::NoHost => write!(to, "the URL names no host; {FORM}"),
            Self::Several => write!(
                to,
                "the URL holds a comma in its host, and one origin is asked at a time; {FORM}"
            ),
            Self::Uncertifiable => write!(
                to,
                "no certificate can be issued for the URL's host; {FORM}"
            ),
            Self::Unix => write!(to, "a Unix socket is not reached from outside; {FORM}"),
            Self::Byte(at) => write!(
                to,
                "byte {at} of the URL cannot be sent in a path; write it \
                 percent-encoded (%20 for a space), and leave out a # and what is behind it"
            ),
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Place(error, _) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with scheme, host or port, behind "the URL".
fn fault(error: &BackendUrlError, has_scheme: bool) -> &'static str {
    match error {
        BackendUrlError::Empty => "is empty",
        BackendUrlError::Scheme(_) if has_scheme => "has another scheme than https:// or http://",
        BackendUrlError::Scheme(_) | BackendUrlError::Https(_) => {
            "does not begin with https:// or http://"
        }
        BackendUrlError::UserInfo(_) => "holds a user's name before an @, which is not sent",
        BackendUrlError::Port(_) => "has a port that is not from 1 to 65535",
        _ => {
            "has a host that is neither a name nor an address (one of IPv6 stands in brackets: \
             https://[2001:db8::7]/)"
        }
    }
}

/// Whether nothing stands before the port; `::1` is an address without its brackets.
fn is_hostless(authority: &str) -> bool {
    authority.is_empty() || authority.starts_with(':') && !authority.starts_with("::")
}

impl Target {
    /// Reads a URL.
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        let authority = text.find("://").map_or(0, |at| at + 3);
        let path = text[authority..].find(['/', '?', '#']);
        let (place, path) = text.split_at(path.map_or(text.len(), |at| authority + at));
        if place.contains(',') {
            return Err(TargetError::Several);
        }
        let has_scheme = authority > 0;
        let mut urls = BackendUrl::parse_origins(place).map_err(|error| match error {
            BackendUrlError::Host(_) if is_hostless(&place[authority..]) => TargetError::NoHost,
            BackendUrlError::Socket(_) => TargetError::Unix,
            error => TargetError::Place(error, has_scheme),
        })?;
        let url = urls.pop().filter(|_| urls.is_empty());
        let url = url.ok_or(TargetError::Several)?;
        if url.host_name().is_none() {
            return Err(TargetError::Unix);
        }
        let host = url.host_name().unwrap_or_default();
        let tls_name = ServerName::try_from(host).ok().filter(|_| url.is_https());
        if url.is_https() && tls_name.is_none() {
            return Err(TargetError::Uncertifiable);
        }
        let can_be_sent = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if let Some(at) = path.bytes().position(|byte| !can_be_sent(byte)) {
            return Err(TargetError::Byte(place.len() + at + 1));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            text: format!("{place}{slash}{path}"),
            path: format!("{slash}{path}"),
            tls_name,
            url,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn is_https(&self) -> bool {
        self.tls_name.is_some()
    }

    /// The name that the certificate must have, for https.
    pub(super) fn tls_name(&self) -> Option<&ServerName<'static>> {
        self.tls_name.as_ref()
    }

    /// Whether the host is this machine whatever DNS says: `localhost`, or an address of
    /// loopback.
    pub(super) fn is_local(&self) -> bool {
        self.url.is_local()
    }

    /// Name or address, without the port.
    pub(super) fn host(&self) -> String {
        self.url.host_name().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        let port = self.url.name().rsplit_once(':');
        port.and_then(|(_, port)| port.parse().ok())
            .unwrap_or_default()
    }

    /// `Host` of a request for it.
    pub(super) fn authority(&self) -> String {
        self.url.authority()
    }

    /// `Host` of a request at another port of the same host.
    pub(super) fn authority_at(&self, port: u16) -> String {
        match self.host().parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{}:{port}", self.host()),
        }
    }

    /// Where the host is.
    pub(super) fn addresses(&self) -> Result<Vec<IpAddr>, ResolveError> {
        let host = self.host();
        match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => Resolver::default().addresses(&host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, shown, host, port, path) in [
            (
                "https://a.example",
                "https://a.example/",
                "a.example",
                443,
                "/",
            ),
            (
                "http://a.example?b",
                "http://a.example/?b",
                "a.example",
                80,
                "/?b",
            ),
            (
                "https://[::1]:8443/a/b?c=d",
                "https://[::1]:8443/a/b?c=d",
                "::1",
                8443,
                "/a/b?c=d",
            ),
            (
                "HTTPS://127.0.0.1:1/",
                "HTTPS://127.0.0.1:1/",
                "127.0.0.1",
                1,
                "/",
            ),
        ] {
            let target = Target::parse(text).expect(text);
            assert_eq!(target.text(), shown);
            assert_eq!((target.host().as_str(), target.port()), (host, port));
            assert_eq!(target.path(), path);
            assert_eq!(target.is_https(), shown.to_lowercase().starts_with("https"));
        }
        let target = Target::parse("https://[::1]/").expect("a URL");
        assert_eq!(target.authority_at(3000), "[::1]:3000");
        for text in [
            "",
            "origin.example",
            "ftp://a.example/",
            "https://",
            "https://a.example:0/",
            "https://a.example,https://b.example/",
            "https://a,b/",
            "https://user:password@a.example/",
            "http://unix:/run/a.sock",
            "https://a.example/#b",
            "https://a.example/a b",
            "https://a.example/\u{e4}",
            "https://a.example/\r\nX: y",
        ] {
            let fault = Target::parse(text).map(|_| ()).expect_err(text);
            assert!(!fault.to_string().contains("password"), "{fault}");
        }
    }
}
