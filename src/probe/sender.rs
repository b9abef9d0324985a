//! What requests are made of, and what may be sent where.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::answer::{Exchange, ask_over};
use super::args::ProbeArgs;
use super::check::{Check, Request};
use super::connection::{Connection, Failure};
use super::target::Target;
use crate::auth::keygen;
use crate::auth::redaction::Redaction;
use crate::auth::secret_source::{self, Loaded};
use crate::auth::secrets::Text;
use crate::config::{ValueError, field_name};
use crate::http1::names::SHARED_SECRET;
use crate::net::Address;
use crate::net::tls::TlsError;
use crate::net::tls::client::{TlsClient, TlsClientError};
use crate::net::tls::server::PairFiles;

/// A certificate of our own, for an origin that wants one.
const CERT: &str = "ORIGIN_CLIENT_CERT";
const KEY: &str = "ORIGIN_CLIENT_KEY";

/// Why nothing can be asked.
#[derive(Debug)]
pub enum ProbeError {
    /// The secret cannot be had.
    Secret(secret_source::Error),
    /// The header cannot hold a secret: which option or variable names it, and why.
    Header(&'static str, ValueError),
    /// Whom to believe is not known, or what to present.
    Tls(Option<&'static str>, TlsClientError),
    /// A certificate without its key, or the other way round.
    Unpaired,
    /// The system has no randomness.
    Random(io::Error),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(error) => error.fmt(to),
            Self::Header(name, error) => write!(to, "{name}: {error}"),
            Self::Tls(Some(name), error) => write!(to, "{name}: {error}"),
            Self::Tls(None, error) => error.fmt(to),
            Self::Unpaired => write!(to, "{CERT} and {KEY} go together; set both or neither"),
            Self::Random(error) => write!(to, "the system gives no random bytes: {error}"),
        }
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Secret(error) => Some(error),
            Self::Header(_, error) => Some(error),
            Self::Tls(_, error) => Some(error),
            Self::Random(error) => Some(error),
            Self::Unpaired => None,
        }
    }
}

/// Sends a request of each check to an address.
pub(super) struct Sender<'a> {
    target: &'a Target,
    /// The name under which the secret goes.
    pub(super) header: String,
    secret: Option<Text>,
    /// Leaves the secret out of what the origin says.
    pub(super) redaction: Redaction,
    /// What is presented in the place of a secret.
    random: String,
    /// For https.
    tls: Option<(TlsClient, ServerName<'static>)>,
}

impl<'a> Sender<'a> {
    /// `variable` tells what no option does.
    ///
    /// # Errors
    ///
    /// What cannot be had.
    pub(super) fn new(
        args: &'a ProbeArgs,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ProbeError> {
        let (source, header) = match &args.header {
            Some(name) => ("--header", name.clone()),
            None => ("SECRET_HEADER", own_header(&variable)),
        };
        let header = field_name(&header).map_err(|error| ProbeError::Header(source, error))?;
        let loaded = match &args.secret_file {
            None => Loaded::default(),
            Some(path) => Loaded::from_file("--secret-file", path).map_err(ProbeError::Secret)?,
        };
        let tls = match args.target.tls_name() {
            None => None,
            Some(name) => {
                let path = |name: &str| {
                    let path = variable(name).filter(|path| !path.is_empty());
                    path.map(PathBuf::from)
                };
                let own = match (path(CERT), path(KEY)) {
                    (Some(certificate), Some(key)) => Some(PairFiles { certificate, key }),
                    (None, None) => None,
                    _ => return Err(ProbeError::Unpaired),
                };
                let authority = args.ca_file.clone().or_else(|| path("ORIGIN_CA"));
                let client = TlsClient::new(authority.as_deref(), own.as_ref());
                let client = client.map_err(|error| {
                    let named = match (&error, &args.ca_file) {
                        (TlsClientError::Roots(_) | TlsClientError::NoRootsIn(_), Some(_)) => {
                            Some("--ca-file")
                        }
                        (TlsClientError::Roots(_) | TlsClientError::NoRootsIn(_), None) => {
                            Some("ORIGIN_CA")
                        }
                        _ => None,
                    };
                    ProbeError::Tls(named, error)
                })?;
                Some((client, name.clone()))
            }
        };
        let random = keygen::secret().map_err(ProbeError::Random)?;
        Ok(Self {
            target: &args.target,
            header,
            redaction: Redaction::of(&loaded),
            secret: loaded.current,
            random: random.trim_end().to_owned(),
            tls,
        })
    }

    pub(super) fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether nobody on the way could read the secret. A name that merely leads to this
    /// machine leads elsewhere as soon as DNS says so.
    pub(super) fn may_send_secret(&self, address: SocketAddr) -> bool {
        let is_loopback = address.ip().to_canonical().is_loopback();
        self.target.is_https() || self.target.is_local() && is_loopback
    }

    /// Why a check is left out, if it is.
    pub(super) fn left_out(&self, check: Check, is_safe: bool) -> Option<&'static str> {
        match check.needs_secret() {
            true if self.secret.is_none() => Some("needs --secret-file"),
            true if !is_safe => {
                Some("the secret is sent only over https, or where the URL is a loopback address")
            }
            _ if check.needs_hyphen() && !self.header.contains('-') => {
                Some("the name of the header has no hyphen")
            }
            _ => None,
        }
    }

    /// Sends the request of `check`. The right secret is in it only where that `is_safe`.
    pub(super) fn send(
        &self,
        check: Check,
        address: SocketAddr,
        authority: &str,
        is_https: bool,
        is_safe: bool,
    ) -> Exchange {
        let session = match self.tls.as_ref().filter(|_| is_https) {
            Some((client, name)) => match client.session(name) {
                Ok(session) => Some(session),
                Err(error) => return Exchange::failed(Failure::Tls(TlsError::Rustls(error))),
            },
            None => None,
        };
        let request = Request {
            path: self.target.path(),
            authority,
            header: &self.header,
            secret: self.secret.as_ref().filter(|_| is_safe),
            random: &self.random,
        };
        let Some(bytes) = request.bytes(check) else {
            return Exchange::failed(Failure::Malformed("no_secret"));
        };
        let open = if check.needs_secret() {
            Connection::open_for_secret
        } else {
            Connection::open
        };
        match open(&Address::Tcp(address), session) {
            Ok(connection) => ask_over(connection, &bytes, check.is_head()),
            Err(failure) => Exchange::failed(failure),
        }
    }

    /// The command that shows the TLS at `address`.
    pub(super) fn by_hand(&self, address: Option<SocketAddr>) -> String {
        let place = address.map_or_else(|| self.target.authority(), |at| at.to_string());
        let named = match self.target.tls_name() {
            Some(ServerName::DnsName(name)) => format!(" -servername {}", name.as_ref()),
            _ => String::new(),
        };
        format!("openssl s_client -connect {place}{named}")
    }
}

fn own_header(variable: &impl Fn(&str) -> Option<OsString>) -> String {
    let name = variable("SECRET_HEADER").filter(|name| !name.is_empty());
    name.map_or_else(
        || SHARED_SECRET.into(),
        |name| name.to_string_lossy().trim().to_owned(),
    )
}
