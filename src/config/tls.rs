//! The variables of TLS.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::net::Address;
use crate::net::tls::server::{PairFiles, TlsServer};

use super::error::ValueError;
use super::reader::Reader;

const CERT: &str = "TLS_CERT";
const KEY: &str = "TLS_KEY";

/// How long before a certificate ends a warning says so.
const RENEWAL: Duration = Duration::from_secs(14 * 86_400);

/// What is wrong with the files of TLS.
#[derive(Debug)]
enum TlsFault {
    Relative(String),
    Unpaired(usize, usize),
    Missing(Address),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative(path) => write!(to, "{path:?} is no absolute path; write /etc/..."),
            Self::Unpaired(certificates, keys) => write!(
                to,
                "{CERT} names {certificates} files and {KEY} {keys}; name the key of each \
                 certificate, in the same order"
            ),
            Self::Missing(address) => write!(
                to,
                "{address} speaks TLS and there is no certificate; set {CERT} and {KEY}"
            ),
        }
    }
}

impl std::error::Error for TlsFault {}

impl Reader<'_> {
    /// What TLS listeners answer with, where there are files for it.
    pub(super) fn tls(&mut self, listeners: &[&[Address]]) -> Option<Arc<TlsServer>> {
        let certificates = self.value(CERT, paths);
        let keys = self.value(KEY, paths);
        if certificates.len() != keys.len() {
            self.fault(KEY, TlsFault::Unpaired(certificates.len(), keys.len()));
            return None;
        }
        let listens = |address: &&Address| matches!(address, Address::Tls(_));
        let listener = listeners.iter().copied().flatten().find(listens);
        if certificates.is_empty() {
            if let Some(address) = listener {
                self.fault("LISTEN", TlsFault::Missing(address.clone()));
            }
            return None;
        }
        if listener.is_none() {
            self.warn(
                CERT,
                "no address of LISTEN or GATEWAY_LISTEN begins with tls:, so nothing uses it",
            );
        }
        let files = certificates.into_iter().zip(keys);
        let files = files.map(|(certificate, key)| PairFiles { certificate, key });
        match TlsServer::read(files.collect()) {
            Ok(server) => {
                self.warn_of_ends(&server);
                Some(Arc::new(server))
            }
            Err(error) => {
                self.fault(CERT, error);
                None
            }
        }
    }

    fn warn_of_ends(&mut self, server: &TlsServer) {
        let now = SystemTime::now();
        for pair in server.pairs() {
            let facts = &pair.facts;
            let names = facts.names.join(" ");
            let end = httpdate::fmt_http_date(facts.not_after);
            self.effective.push((
                "certificate",
                format!("{names} issuer {} until {end}", facts.issuer),
            ));
            if facts.not_after < now + RENEWAL {
                let path = pair.path.display();
                self.warn(CERT, format!("{path} ends at {end}; renew it"));
            }
            if facts.not_before > now {
                let path = pair.path.display();
                let start = httpdate::fmt_http_date(facts.not_before);
                self.warn(
                    CERT,
                    format!("{path} is not valid before {start}; look at the clock"),
                );
            }
        }
    }
}

fn paths(list: &str) -> Result<Vec<PathBuf>, ValueError> {
    let members = list.split(',').map(str::trim);
    members
        .filter(|member| !member.is_empty())
        .map(|member| {
            if member.starts_with('/') {
                Ok(PathBuf::from(member))
            } else {
                let fault = TlsFault::Relative(member.to_owned());
                Err(ValueError::Other(Box::new(fault)))
            }
        })
        .collect()
}
