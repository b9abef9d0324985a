//! The server's side of TLS: which versions, which certificates, and their renewal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ProducesTickets, UnbufferedServerConnection};

use super::TlsSession;
use super::certificates::{ByName, Pair, PairError};

/// The one protocol that is spoken inside (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// Where a certificate's chain and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// `TLS_CERT`.
    pub certificate: PathBuf,
    /// `TLS_KEY`.
    pub key: PathBuf,
}

/// What TLS listeners answer with. It is read again while they serve.
pub struct TlsServer {
    files: Vec<PairFiles>,
    provider: Arc<CryptoProvider>,
    /// It outlives the certificates, so that clients resume across a renewal.
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    pairs: Vec<Pair>,
}

/// What reading the files again has come to.
#[derive(Debug)]
pub struct Reloaded {
    /// Whether any certificate is another one now.
    pub changed: bool,
    /// What is wrong with which file. What was there in its place stays.
    pub faults: Vec<TlsServerError>,
}

impl TlsServer {
    /// Reads the pairs of certificate and key.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn read(files: Vec<PairFiles>) -> Result<Self, TlsServerError> {
        let provider = Arc::new(ring::default_provider());
        let tickets = ring::Ticketer::new().map_err(TlsServerError::Rustls)?;
        let now = SystemTime::now();
        let pairs = files
            .iter()
            .map(|files| Pair::read(&files.certificate, &files.key, &provider, now))
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsServerError::Pair)?;
        let current = Current::new(pairs, &provider, &tickets)?;
        Ok(Self {
            files,
            provider,
            tickets,
            current: RwLock::new(current),
        })
    }

    /// Reads the pairs again, and has new connections use those that are good.
    #[must_use]
    pub fn reload(&self) -> Reloaded {
        let now = SystemTime::now();
        let mut faults = Vec::new();
        let old = self.pairs();
        let read = |(files, old): (&PairFiles, &Pair)| {
            Pair::read(&files.certificate, &files.key, &self.provider, now).unwrap_or_else(
                |fault| {
                    faults.push(TlsServerError::Pair(fault));
                    old.clone()
                },
            )
        };
        let pairs: Vec<_> = self.files.iter().zip(&old).map(read).collect();
        let changed = pairs != old;
        if changed {
            match Current::new(pairs, &self.provider, &self.tickets) {
                Ok(fresh) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                }
                Err(fault) => faults.push(fault),
            }
        }
        Reloaded { changed, faults }
    }

    /// The TLS of a connection that has been accepted.
    ///
    /// # Errors
    ///
    /// What rustls says of its own configuration.
    pub fn session(&self) -> Result<TlsSession, rustls::Error> {
        let config = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&current.config)
        };
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(TlsSession::server(connection))
    }

    /// The pairs that are used now.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.pairs.clone()
    }

    /// The files that all this is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.files.iter();
        pairs.flat_map(|pair| [&*pair.certificate, &*pair.key])
    }
}

/// Why TLS cannot be served.
#[derive(Debug)]
pub enum TlsServerError {
    /// A pair cannot be used.
    Pair(PairError),
    /// What rustls says of its own configuration.
    Rustls(rustls::Error),
}

impl TlsServerError {
    /// Whether it may be that a renewal is under way, which swaps files one by one.
    #[must_use]
    pub fn may_settle(&self) -> bool {
        matches!(self, Self::Pair(error) if error.may_settle())
    }
}

impl std::fmt::Display for TlsServerError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pair(error) => error.fmt(to),
            Self::Rustls(error) => error.fmt(to),
        }
    }
}

impl std::error::Error for TlsServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pair(error) => Some(error),
            Self::Rustls(error) => Some(error),
        }
    }
}

impl Current {
    fn new(
        pairs: Vec<Pair>,
        provider: &Arc<CryptoProvider>,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsServerError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsServerError::Rustls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName(pairs.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = Arc::clone(tickets);
        // Tickets are stateless; a store of sessions would grow with the clients.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            pairs,
        })
    }
}
