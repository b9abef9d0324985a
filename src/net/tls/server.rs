//! The server's side of TLS: which versions, which certificates, and their renewal.

use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, ProducesTickets, UnbufferedServerConnection};

use super::TlsSession;
use super::certificates::{ByName, Pair, PairError};
use super::client_certificates::{ClientFiles, ClientFilesError, ClientVerifier, End};
use super::words::Words;

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

/// Whether a listener's clients have to present a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// They are not asked for one.
    NotAsked,
    /// They have to, where `TLS_CLIENT_CA` says whose.
    Asked,
}

/// What TLS listeners answer with. It is read again while they serve.
pub struct TlsServer {
    files: Vec<PairFiles>,
    client_files: Option<ClientFiles>,
    provider: Arc<CryptoProvider>,
    /// It outlives the certificates, so that clients resume across a renewal.
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Current>,
    /// How often it has changed which clients are let in.
    admissions: AtomicU64,
}

struct Current {
    config: Arc<ServerConfig>,
    /// That of listeners which ask for a client's certificate.
    asking: Option<Arc<ServerConfig>>,
    pairs: Vec<Pair>,
    clients: Option<Arc<ClientVerifier>>,
}

/// What reading the files again has come to.
#[derive(Debug)]
pub struct Reloaded {
    /// Whether any certificate or list is another one now.
    pub changed: bool,
    /// What is wrong with which file. What was there in its place stays.
    pub faults: Vec<TlsServerError>,
}

impl TlsServer {
    /// Reads the pairs of certificate and key, and whose certificates are asked of clients.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn read(
        files: Vec<PairFiles>,
        client_files: Option<ClientFiles>,
    ) -> Result<Self, TlsServerError> {
        let provider = Arc::new(ring::default_provider());
        let tickets = ring::Ticketer::new().map_err(TlsServerError::Rustls)?;
        let now = SystemTime::now();
        let pairs = files
            .iter()
            .map(|files| Pair::read(&files.certificate, &files.key, &provider, now))
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsServerError::Pair)?;
        let clients = client_files
            .as_ref()
            .map(|files| ClientVerifier::read(files, &provider).map(Arc::new))
            .transpose()
            .map_err(TlsServerError::Clients)?;
        let current = Current::new(pairs, clients, &provider, &tickets)?;
        Ok(Self {
            files,
            client_files,
            provider,
            tickets,
            current: RwLock::new(current),
            admissions: AtomicU64::new(0),
        })
    }

    /// Reads the files again, and has new connections use those that are good.
    #[must_use]
    pub fn reload(&self) -> Reloaded {
        let now = SystemTime::now();
        let mut faults = Vec::new();
        let (old_pairs, old_clients) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.pairs.clone(), current.clients.clone())
        };
        let pairs: Vec<_> = (self.files.iter().zip(&old_pairs))
            .map(|(files, old)| {
                let read = Pair::read(&files.certificate, &files.key, &self.provider, now);
                read.unwrap_or_else(|fault| {
                    faults.push(TlsServerError::Pair(fault));
                    old.clone()
                })
            })
            .collect();
        let mut clients = old_clients.clone();
        if let Some(files) = &self.client_files {
            match ClientVerifier::read(files, &self.provider) {
                Ok(fresh) if clients.as_deref() == Some(&fresh) => {}
                Ok(fresh) => clients = Some(Arc::new(fresh)),
                Err(fault) => faults.push(TlsServerError::Clients(fault)),
            }
        }
        let same_clients = match (&clients, &old_clients) {
            (Some(clients), Some(old)) => Arc::ptr_eq(clients, old),
            _ => true,
        };
        let changed = pairs != old_pairs || !same_clients;
        if changed {
            match Current::new(pairs, clients, &self.provider, &self.tickets) {
                Ok(fresh) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                    self.admissions.fetch_add(u64::from(!same_clients), Release);
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
    pub fn session(&self, certificate: ClientCertificate) -> Result<TlsSession, rustls::Error> {
        // Before the configuration is taken, so that a change in between is seen.
        let admissions = self.admissions.load(Acquire);
        let config = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            match (&current.asking, certificate) {
                (Some(asking), ClientCertificate::Asked) => Arc::clone(asking),
                _ => Arc::clone(&current.config),
            }
        };
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(TlsSession::server(connection, admissions))
    }

    /// Verifies the client's certificate again, where it has changed since which clients
    /// are let in.
    ///
    /// # Errors
    ///
    /// Why the client is not let in any more.
    pub fn verify_again(&self, session: &mut TlsSession) -> Result<(), rustls::Error> {
        let admissions = self.admissions.load(Acquire);
        if session.admissions == admissions {
            return Ok(());
        }
        let clients = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.clients.clone()
        };
        if let (Some(clients), Some(chain)) = (clients, session.state().peer_certificates()) {
            clients.verify(chain)?;
        }
        session.admissions = admissions;
        Ok(())
    }

    /// The pairs that are used now.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.pairs.clone()
    }

    /// When the authorities of clients and the lists of revoked ones end.
    #[must_use]
    pub fn client_ends(&self) -> Vec<End> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let clients = current.clients.as_ref();
        clients.map_or_else(Vec::new, |clients| clients.ends().to_vec())
    }

    /// Whether one of the certificates is for `name`, which is in lower case, or for the address
    /// that it is.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.pairs.iter().any(|pair| pair.is_for(name))
    }

    /// The files of the pairs.
    #[must_use]
    pub fn pair_files(&self) -> &[PairFiles] {
        &self.files
    }

    /// The files that all this is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.files.iter();
        let pairs = pairs.flat_map(|pair| [&*pair.certificate, &*pair.key]);
        pairs.chain(self.client_files.iter().flat_map(ClientFiles::paths))
    }
}

/// Why TLS cannot be served.
#[derive(Debug)]
pub enum TlsServerError {
    /// A pair cannot be used.
    Pair(PairError),
    /// Clients cannot be verified.
    Clients(ClientFilesError),
    /// What rustls says of its own configuration.
    Rustls(rustls::Error),
}

impl TlsServerError {
    /// Whether it may be that a renewal is under way, which swaps files one by one.
    #[must_use]
    pub fn may_settle(&self) -> bool {
        matches!(self, Self::Pair(error) if error.may_settle())
    }

    /// The variable that names the file at fault, where `pairs` are the files of the pairs.
    #[must_use]
    pub fn variable(&self, pairs: &[PairFiles]) -> &'static str {
        let is_of_key = |error: &PairError| {
            let mut pairs = pairs.iter();
            pairs.any(|pair| error.is_of_key(&pair.certificate, &pair.key))
        };
        match self {
            Self::Clients(error) if error.is_of_list() => "TLS_CLIENT_CRL",
            Self::Clients(_) => "TLS_CLIENT_CA",
            Self::Pair(error) if is_of_key(error) => "TLS_KEY",
            Self::Pair(_) | Self::Rustls(_) => "TLS_CERT",
        }
    }

    /// The file at fault, where it is one alone.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Pair(error) => Some(error.path()),
            Self::Clients(error) => error.path(),
            Self::Rustls(_) => None,
        }
    }
}

impl std::fmt::Display for TlsServerError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pair(error) => error.fmt(to),
            Self::Clients(error) => error.fmt(to),
            Self::Rustls(error) => write!(
                to,
                "{}; make the certificate and its key anew",
                Words(error)
            ),
        }
    }
}

impl std::error::Error for TlsServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pair(error) => Some(error),
            Self::Clients(error) => Some(error),
            Self::Rustls(error) => Some(error),
        }
    }
}

impl Current {
    fn new(
        pairs: Vec<Pair>,
        clients: Option<Arc<ClientVerifier>>,
        provider: &Arc<CryptoProvider>,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsServerError> {
        let by_name = Arc::new(ByName(pairs.clone()));
        let builder = || {
            ServerConfig::builder_with_provider(Arc::clone(provider))
                .with_safe_default_protocol_versions()
                .map_err(TlsServerError::Rustls)
        };
        let mut config = builder()?
            .with_no_client_auth()
            .with_cert_resolver(by_name.clone());
        config.ticketer = Arc::clone(tickets);
        let asking = match &clients {
            None => None,
            Some(clients) => {
                let mut config = builder()?
                    .with_client_cert_verifier(clients.clone())
                    .with_cert_resolver(by_name);
                // rustls does not verify the certificate again when a session is resumed.
                config.send_tls13_tickets = 0;
                Some(settled(config))
            }
        };
        Ok(Self {
            config: settled(config),
            asking,
            pairs,
            clients,
        })
    }
}

fn settled(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Tickets are stateless; a store of sessions would grow with the clients.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}
