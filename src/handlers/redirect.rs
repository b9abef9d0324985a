//! Where plain HTTP arrives that should have been https: it is sent there, and nothing
//! else is served but the challenges of ACME (RFC 8555, section 8.3).

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::api_key::{Presented, presented};
use super::counters::REQUESTS;
use super::request_log::{self, counted};
use crate::auth::shared_secret::Guard;
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::RequestHead;
use crate::keys::{Id, Keys};
use crate::log as events;
use crate::metrics::declare_counters;
use crate::net::Peer;
use crate::net::tls::TlsError;
use crate::net::tls::server::TlsServer;
use crate::shown_path::ShownPath;

/// Where whoever issues a certificate looks for the answer to its challenge.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// Longest token in bytes: no name of a file is longer (`NAME_MAX` in `pathconf(3)`).
const LONGEST_TOKEN: usize = 255;
/// Largest answer to a challenge, in bytes; the usual one has 87.
const LARGEST: u64 = 4096;

declare_counters! {
    pub(super) COUNTERS:
    REDIRECTED = REQUESTS r#"verdict="redirected",status="308""#;
    MISDIRECTED = REQUESTS r#"verdict="misdirected",status="421""#;
    LEAKED = REQUESTS r#"verdict="leaked",status="403""#;
    CHALLENGE = REQUESTS r#"verdict="challenge",status="200""#;
    NO_CHALLENGE = REQUESTS r#"verdict="challenge",status="404""#;
}

/// What sends clients to https.
pub struct Redirect {
    /// Whose names may be asked for.
    pub tls: Arc<TlsServer>,
    /// The port of https, where it is not 443.
    pub port: Option<u16>,
    /// Which secret must not come in the clear.
    pub guard: Guard,
    /// Which keys must not either, and in which field.
    pub keys: Option<(String, Arc<Keys>)>,
    /// Below which folder the answers to challenges are.
    pub webroot: Option<PathBuf>,
    /// Whose word on the client counts.
    pub trusted_proxies: TrustedProxies,
    /// Whether every request is logged.
    pub access_log: bool,
}

/// A credential that came in the clear.
#[derive(Clone, Copy)]
enum Leak {
    Secret,
    Key(Id),
}

impl Redirect {
    fn answer(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Answer {
        if let Some(leak) = self.leak(head) {
            let (what, remedy) = match leak {
                Leak::Secret => {
                    let remedy = "replace the secret (origin-guard secret rotate)";
                    ("what=secret".to_owned(), remedy)
                }
                Leak::Key(id) => {
                    let remedy = "revoke the key (origin-guard keys revoke)";
                    (format!("what=key key={id}"), remedy)
                }
            };
            let client = TrustedProxies::peer(peer).to_string();
            events::leaked(
                &client,
                format_args!(
                    "leaked {what} peer={client} remedy=\"it crossed the network in the \
                     clear; {remedy}, and have its sender use https\""
                ),
            );
            return counted(&LEAKED, &reply::USE_HTTPS);
        }
        if let Some(token) = self.challenge(head) {
            return match self.read_challenge(token) {
                Some(text) => {
                    CHALLENGE.increment();
                    reply::challenge(text).into()
                }
                None => counted(&NO_CHALLENGE, &reply::NOT_FOUND),
            };
        }
        let name = head.host.and_then(Name::of);
        let Some(name) = name.filter(|name| self.tls.is_for(&name.0)) else {
            MISDIRECTED.increment();
            return reply::refusal(421).into();
        };
        REDIRECTED.increment();
        reply::redirect(&self.location(&name, &head.target.path_and_query)).into()
    }

    /// What came in the clear with this request; it is noted.
    fn leak(&self, head: &RequestHead<'_, '_>) -> Option<Leak> {
        if self.guard.recognizes(head.name_values()) {
            self.guard.note_leak(head.name_values());
            return Some(Leak::Secret);
        }
        let (header, keys) = self.keys.as_ref()?;
        let fields = head.fields.iter().map(|field| (field.name, field.value));
        let Presented::Text(text) = presented(header, fields) else {
            return None;
        };
        keys.note_leak(text).map(Leak::Key)
    }

    /// The token of a challenge that is asked for.
    fn challenge<'h>(&self, head: &'h RequestHead<'_, '_>) -> Option<&'h str> {
        self.webroot.as_ref()?;
        let is_reading = head.method.is_get() || head.method.is_head();
        let path = std::str::from_utf8(head.target.path()).ok()?;
        path.strip_prefix(CHALLENGES).filter(|_| is_reading)
    }

    fn read_challenge(&self, token: &str) -> Option<Vec<u8>> {
        // A token is base64url (RFC 8555, section 8.3), so no path leaves the folder.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(is_token) {
            return None;
        }
        let folder = self.webroot.as_ref()?.join(&CHALLENGES[1..]);
        let file = folder.join(token);
        match read_small(&file) {
            Ok(text) => Some(text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    events::challenge_unreadable(format_args!(
                        "challenge_unreadable token={token} error=\"{} cannot be read: {error}\" \
                         remedy=\"it has to be a file that the user that runs origin-guard can \
                         read\"",
                        ShownPath(&file)
                    ));
                }
                None
            }
        }
    }

    fn location(&self, name: &Name, target: &[u8]) -> String {
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        let mut location = format!("https://{name}{port}");
        if !target.starts_with(b"/") {
            location.push('/');
            return location;
        }
        for &byte in target {
            if byte.is_ascii() {
                location.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(location, "%{byte:02X}");
            }
        }
        location
    }
}

/// The name that a client asks for, in lower case, or an address of IP without brackets.
struct Name(String);

impl Name {
    /// What stands in `host` (RFC 9110, section 7.2), without its port.
    fn of(host: &[u8]) -> Option<Self> {
        let host = std::str::from_utf8(host).ok()?;
        if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let address: Ipv6Addr = address.parse().ok()?;
            return Some(Self(address.to_string()));
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        (!name.is_empty()).then(|| Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No DNS name holds a colon.
        if self.0.contains(':') {
            write!(to, "[{}]", self.0)
        } else {
            to.write_str(&self.0)
        }
    }
}

/// The whole of a small regular file, behind no symbolic link of its own.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    // NONBLOCK: opening a FIFO would wait for who writes into it (fifo(7)).
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty())?;
    let file = File::from(file);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a small regular file",
        ));
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

impl Handler for Redirect {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        let answer = self.answer(head, peer);
        let (access_log, trusted) = (self.access_log, &self.trusted_proxies);
        request_log::respond_with(head, peer, answer, access_log, trusted)
    }

    fn refuse(&self, refusal: &RequestError, peer: Peer) -> Reply {
        request_log::refuse(refusal, peer, &self.trusted_proxies)
    }

    fn tls_failed(&self, error: &TlsError, peer: Peer) {
        request_log::log_tls_failure(error, peer);
    }

    fn failed(&self, status: u16) -> Reply {
        reply::refusal(status)
    }
}
