//! The client's side of TLS: whom it believes, and whom it says that it is. There is no
//! way to switch verification off.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::ErrorKind;

use super::TlsSession;
use super::certificates::{Facts, PairError, no_certificate, read_file, read_key};
use super::server::PairFiles;
use super::words::{PemFault, Words};
use crate::private_file::{self, OpenError};
use crate::shown_path::ShownPath;

/// The one protocol that is spoken inside (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// What connections to a server are made with. Sessions are resumed.
pub struct TlsClient {
    config: Arc<ClientConfig>,
    own: Option<OwnCertificate>,
}

/// The certificate that servers are shown.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    /// What it says of itself.
    pub facts: Facts,
    /// Who else can read or change its key, where somebody can.
    pub warning: Option<String>,
}

/// Why no connection can be made.
#[derive(Debug)]
pub enum TlsClientError {
    /// The system has no roots, or none that can be read.
    NoRoots(String),
    /// The file that `SSL_CERT_FILE` names is none that is read.
    SystemFile(OpenError),
    /// The file of roots holds none.
    NoRootsIn(PathBuf),
    /// The file of roots cannot be read, or is not PEM.
    Roots(PairError),
    /// A file of the certificate that servers are shown cannot be used.
    File(PairError),
    /// What rustls says of it.
    Rustls(rustls::Error),
}

impl TlsClientError {
    /// The file that is at fault, if it is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::NoRootsIn(path) => Some(path),
            Self::Roots(error) | Self::File(error) => Some(error.path()),
            Self::NoRoots(_) | Self::SystemFile(_) | Self::Rustls(_) => None,
        }
    }
}

impl fmt::Display for TlsClientError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoots(why) => write!(
                to,
                "the system has no certificates of authorities ({why}); install \
                 ca-certificates, set SSL_CERT_FILE, or set ORIGIN_CA"
            ),
            Self::NoRootsIn(path) => write!(
                to,
                "{} holds no certificate of an authority; write it in PEM",
                ShownPath(path)
            ),
            Self::SystemFile(error) => write!(to, "SSL_CERT_FILE: {error}"),
            Self::Roots(error) | Self::File(error) => error.fmt(to),
            Self::Rustls(error) => write!(
                to,
                "{}; look at ORIGIN_CA, ORIGIN_CLIENT_CERT and ORIGIN_CLIENT_KEY",
                Words(error)
            ),
        }
    }
}

impl std::error::Error for TlsClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SystemFile(error) => Some(error),
            Self::Roots(error) | Self::File(error) => Some(error),
            Self::Rustls(error) => Some(error),
            Self::NoRoots(_) | Self::NoRootsIn(_) => None,
        }
    }
}

impl TlsClient {
    /// Believes the authorities in the file `authority`, else the system's, and shows a
    /// certificate of its `own` where there is one.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn new(authority: Option<&Path>, own: Option<&PairFiles>) -> Result<Self, TlsClientError> {
        let roots = match authority {
            Some(path) => roots_in(path)?,
            None => roots_of_the_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsClientError::Rustls)?
            .with_root_certificates(roots);
        let (mut config, own) = match own {
            None => (builder.with_no_client_auth(), None),
            Some(files) => {
                let (chain, key, own) = read_own(files).map_err(TlsClientError::File)?;
                let config = builder
                    .with_client_auth_cert(chain, key)
                    .map_err(TlsClientError::Rustls)?;
                (config, Some(own))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            own,
        })
    }

    /// Believes no authority, so that every certificate is refused: what is learnt is that
    /// the other side speaks TLS.
    ///
    /// # Errors
    ///
    /// What rustls says of its own configuration.
    pub fn believing_nobody() -> Result<Self, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty());
        Ok(Self {
            config: Arc::new(builder.with_no_client_auth()),
            own: None,
        })
    }

    /// The same for who has no certificate: none is shown, and no session is resumed in which
    /// one was.
    ///
    /// # Errors
    ///
    /// What rustls says of its own configuration.
    pub fn without_own(&self) -> Result<Self, rustls::Error> {
        let nobody = Self::believing_nobody()?;
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::clone(&nobody.config.client_auth_cert_resolver);
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            own: None,
        })
    }

    /// The certificate that servers are shown, where there is one.
    #[must_use]
    pub fn own(&self) -> Option<&OwnCertificate> {
        self.own.as_ref()
    }

    /// The TLS of a connection that is being made to `name`.
    ///
    /// # Errors
    ///
    /// What rustls says of its own configuration.
    pub fn session(&self, name: &ServerName<'static>) -> Result<TlsSession, rustls::Error> {
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name.clone())?;
        Ok(TlsSession::client(connection))
    }
}

type Chain = Vec<CertificateDer<'static>>;

fn read_own(
    files: &PairFiles,
) -> Result<(Chain, PrivateKeyDer<'static>, OwnCertificate), PairError> {
    let path = || files.certificate.clone();
    let text = read_file(&files.certificate)?;
    let chain = certificates(&files.certificate, &text)?;
    let first = chain.first().ok_or_else(|| no_certificate(path(), &text))?;
    let facts = Facts::of(first).map_err(|error| PairError::Malformed(path(), error))?;
    let (key, warning) = read_key(&files.key)?;
    Ok((chain, key, OwnCertificate { facts, warning }))
}

fn certificates(path: &Path, text: &[u8]) -> Result<Chain, PairError> {
    CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| PairError::NotPem(path.to_owned(), (&error).into()))
}

fn roots_in(path: &Path) -> Result<RootCertStore, TlsClientError> {
    let mut roots = RootCertStore::empty();
    let text = read_file(path).map_err(TlsClientError::Roots)?;
    for certificate in certificates(path, &text).map_err(TlsClientError::Roots)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            TlsClientError::Roots(PairError::NoAuthority(path.to_owned(), error))
        })?;
    }
    if roots.is_empty() {
        return Err(TlsClientError::NoRootsIn(path.to_owned()));
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, TlsClientError> {
    // It would be opened as it is, which waits where it is a FIFO, and never ends where it is
    // a device.
    if let Some(path) = std::env::var_os("SSL_CERT_FILE")
        && let Err(error) = private_file::open_public(Path::new(&path))
        && !error.is_from_the_system()
    {
        return Err(TlsClientError::SystemFile(error));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One that cannot be read does not speak for the others.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| match &error.kind {
            ErrorKind::Pem(fault) => format!("a file of them {}", PemFault::from(fault)),
            _ => error.to_string(),
        });
        return Err(TlsClientError::NoRoots(why.unwrap_or_else(|| {
            "no file of them is where files of them are".into()
        })));
    }
    Ok(roots)
}
