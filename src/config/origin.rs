//! The variables of the origin that the gateway forwards to.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::pki_types::ServerName;

use crate::http1::target::is_host;
use crate::net::tls::certificates::RENEWAL;
use crate::net::tls::client::{OwnCertificate, TlsClient, TlsClientError};
use crate::net::tls::server::PairFiles;
use crate::proxy::upstream::{BackendUrl, OriginUrlError};
use crate::rfc3339;

use super::error::ValueError;
use super::reader::Reader;

const ORIGIN: &str = "ORIGIN";
const PLAINTEXT: &str = "ORIGIN_PLAINTEXT";
const HOST: &str = "ORIGIN_HOST";
const CA: &str = "ORIGIN_CA";
const CERT: &str = "ORIGIN_CLIENT_CERT";
const KEY: &str = "ORIGIN_CLIENT_KEY";

/// Where the gateway forwards to.
pub struct Origin {
    /// `ORIGIN`, one or more.
    pub urls: Vec<BackendUrl>,
    /// Whose name the origin is asked for; the client's where there is none.
    pub host: Option<String>,
    /// Whose certificate it must show, where that is not its own name.
    pub server_name: Option<ServerName<'static>>,
    /// What connections that speak TLS are made with.
    pub tls: Option<TlsClient>,
}

#[derive(Debug)]
enum OriginFault {
    Plain(String),
    Host(String),
    Name(String),
    Plaintext(String),
    Unpaired,
}

impl fmt::Display for OriginFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => write!(
                to,
                "the secret would cross a network in the clear to {name}; write https://, or \
                 set {PLAINTEXT}=allow"
            ),
            Self::Host(text) => write!(
                to,
                "{text:?} is neither keep nor the name of a host; write one of them"
            ),
            Self::Name(text) => write!(
                to,
                "{text:?} is neither a DNS name nor an address that a certificate can show; write \
                 what is in the origin's certificate"
            ),
            Self::Plaintext(text) => {
                write!(
                    to,
                    "{text:?} is not the word allow; write allow, or leave it out"
                )
            }
            Self::Unpaired => write!(to, "{CERT} and {KEY} go together; set both or neither"),
        }
    }
}

impl std::error::Error for OriginFault {}

impl Reader<'_> {
    /// `None` where nothing is forwarded to an origin.
    pub(super) fn origin(&mut self) -> Option<Origin> {
        let urls = self.value(ORIGIN, |list| match list {
            "" => Ok(Vec::new()),
            list => BackendUrl::parse_origins(list).map_err(|error| other(OriginUrlError(error))),
        });
        let may_be_plain = self.value(PLAINTEXT, |text| match text {
            "" => Ok(false),
            "allow" => Ok(true),
            _ => Err(other(OriginFault::Plaintext(text.to_owned()))),
        });
        let host = self.value(HOST, |text| match text {
            text if text.is_empty() || text == "keep" || is_host(text.as_bytes()) => {
                Ok(text.to_owned())
            }
            _ => Err(other(OriginFault::Host(text.to_owned()))),
        });
        let server_name = self.value("ORIGIN_SERVER_NAME", |text| match text {
            "" => Ok(None),
            text => ServerName::try_from(text.to_owned())
                .map(Some)
                .map_err(|_| other(OriginFault::Name(text.to_owned()))),
        });
        let path = |text: &str| Ok((!text.is_empty()).then(|| PathBuf::from(text)));
        let authority = self.value(CA, path);
        let (certificate, key) = (self.value(CERT, path), self.value(KEY, path));
        let first = urls.first()?;
        let host = match host.as_str() {
            "" => Some(first.authority()),
            "keep" => None,
            name => Some(name.to_owned()),
        };
        let is_plain = |url: &&BackendUrl| !url.is_https() && !url.is_local();
        if let Some(url) = urls.iter().find(is_plain).filter(|_| !may_be_plain) {
            self.fault(ORIGIN, OriginFault::Plain(url.name().to_owned()));
        }
        if may_be_plain && !urls.iter().any(|url| is_plain(&url)) {
            self.warn(
                PLAINTEXT,
                "it does nothing: each ORIGIN is https or on this machine; leave it out",
            );
        }
        let own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(PairFiles { certificate, key }),
            (None, None) => None,
            _ => {
                self.fault(CERT, OriginFault::Unpaired);
                None
            }
        };
        let tls = if urls.iter().any(BackendUrl::is_https) {
            TlsClient::new(authority.as_deref(), own.as_ref())
                .map_err(|error| {
                    let name = match (&error, &own) {
                        _ if error.path().is_none() => ORIGIN,
                        (TlsClientError::File(error), Some(own))
                            if error.is_of_key(&own.certificate, &own.key) =>
                        {
                            KEY
                        }
                        (TlsClientError::File(_), _) => CERT,
                        _ => CA,
                    };
                    self.fault(name, error);
                })
                .ok()
        } else {
            for name in [CA, "ORIGIN_SERVER_NAME", CERT, KEY] {
                if self.is_set(name) {
                    self.warn(
                        name,
                        "it does nothing without TLS; write https:// into ORIGIN, or leave it out",
                    );
                }
            }
            None
        };
        if let Some(own) = tls.as_ref().and_then(TlsClient::own) {
            self.warn_of_own_certificate(own);
        }
        Some(Origin {
            urls,
            host,
            server_name,
            tls,
        })
    }

    fn warn_of_own_certificate(&mut self, own: &OwnCertificate) {
        let (now, end) = (SystemTime::now(), own.facts.not_after);
        let shown = rfc3339::text(end);
        if end <= now {
            self.broken(CERT, format_args!("it ended at {shown}; renew it"));
        } else if end < now + RENEWAL {
            self.warn(CERT, format_args!("it ends at {shown}; renew it"));
        }
        if let Some(warning) = &own.warning {
            self.warn(KEY, warning);
        }
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ValueError {
    ValueError::Other(Box::new(error))
}
