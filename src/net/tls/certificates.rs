//! Certificates and their keys as they are read from PEM files, and which of them
//! answers a client that asks for a name (RFC 6066, section 3).

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

use crate::private_file::{self, OpenError};

/// Largest file of certificates or of a key, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// A certificate's chain and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The file of the chain.
    pub path: PathBuf,
    key: Arc<CertifiedKey>,
    /// What the certificate says of itself.
    pub facts: Facts,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The DNS names that it is for, in lower case; `*.example.com` is one.
    pub names: Vec<String>,
    /// Who issued it, as RFC 4514 writes it.
    pub issuer: String,
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it ends to be valid.
    pub not_after: SystemTime,
}

/// Why a pair cannot be used. It never holds any content of a key.
#[derive(Debug)]
pub enum PairError {
    /// A file cannot be read.
    Unreadable(OpenError),
    /// A file breaks off, or is too large.
    Broken(PathBuf, io::Error),
    /// A file holds no certificate.
    NoCertificate(PathBuf),
    /// A file is not the PEM that it should be.
    NotPem(PathBuf, rustls::pki_types::pem::Error),
    /// A certificate cannot be understood.
    Malformed(PathBuf, x509_cert::der::Error),
    /// Key and certificate do not go together, or the key is of an unknown kind.
    Rejected(PathBuf, rustls::Error),
    /// The certificate has ended.
    Expired(PathBuf, SystemTime),
}

impl PairError {
    /// Whether it may be that a renewal is under way, which swaps files one by one.
    pub(super) fn may_settle(&self) -> bool {
        match self {
            Self::Unreadable(error) => error.is_not_found(),
            Self::NoCertificate(_)
            | Self::NotPem(..)
            | Self::Malformed(..)
            | Self::Rejected(..)
            | Self::Broken(..) => true,
            Self::Expired(..) => false,
        }
    }
}

impl fmt::Display for PairError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(to),
            Self::Broken(path, error) => write!(to, "{} cannot be read: {error}", path.display()),
            Self::NoCertificate(path) => write!(
                to,
                "{} holds no certificate; write the chain in PEM, the server's own first",
                path.display()
            ),
            Self::NotPem(path, error) => write!(
                to,
                "{} is not the PEM that is wanted: {error}; write a certificate chain to \
                 TLS_CERT, and its key in PKCS#8, SEC1 or PKCS#1 to TLS_KEY",
                path.display()
            ),
            Self::Malformed(path, error) => write!(
                to,
                "the certificate in {} cannot be understood: {error}",
                path.display()
            ),
            Self::Rejected(path, error) => write!(
                to,
                "the key in {} does not go with its certificate: {error}; name both in the \
                 same order in TLS_CERT and TLS_KEY",
                path.display()
            ),
            Self::Expired(path, at) => write!(
                to,
                "the certificate in {} ended at {}; renew it",
                path.display(),
                httpdate::fmt_http_date(*at)
            ),
        }
    }
}

impl std::error::Error for PairError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Broken(_, error) => Some(error),
            Self::NotPem(_, error) => Some(error),
            Self::Malformed(_, error) => Some(error),
            Self::Rejected(_, error) => Some(error),
            Self::NoCertificate(_) | Self::Expired(..) => None,
        }
    }
}

/// Two are the same where their certificates and their files are: a certificate is for one
/// key alone.
impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.key.cert == other.key.cert
    }
}

impl Pair {
    /// Reads the chain at `certificate`, the server's own certificate first, and its
    /// `key`.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn read(
        certificate: &Path,
        key: &Path,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, PairError> {
        let text = read_file(certificate)?;
        let chain = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| PairError::NotPem(certificate.to_owned(), error))?;
        let Some(own) = chain.first() else {
            return Err(PairError::NoCertificate(certificate.to_owned()));
        };
        let facts =
            Facts::of(own).map_err(|error| PairError::Malformed(certificate.to_owned(), error))?;
        if facts.not_after <= now {
            return Err(PairError::Expired(certificate.to_owned(), facts.not_after));
        }
        let text = read_file(key)?;
        let private = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|error| PairError::NotPem(key.to_owned(), error))?;
        let certified = CertifiedKey::from_der(chain, private, provider)
            .map_err(|error| PairError::Rejected(key.to_owned(), error))?;
        Ok(Self {
            path: certificate.to_owned(),
            key: Arc::new(certified),
            facts,
        })
    }

    /// Whether the certificate is for `name`, which is in lower case.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let below = name.split_once('.').map_or("", |(_, below)| below);
        let matches = |pattern: &String| match pattern.strip_prefix("*.") {
            Some(parent) => parent == below,
            None => pattern == name,
        };
        self.facts.names.iter().any(matches)
    }
}

/// The whole of a file, wiped when dropped: it may hold a key.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PairError> {
    let opened = private_file::open(path).map_err(PairError::Unreadable)?;
    let broken = |error| PairError::Broken(path.to_owned(), error);
    let size = opened.file.metadata().map_err(broken)?.len();
    // Of its final capacity from the start: growing would leave copies behind.
    let capacity = usize::try_from(size.min(LARGEST)).unwrap_or_default() + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(capacity));
    let mut file = opened.file.take(LARGEST + 1);
    file.read_to_end(&mut text).map_err(broken)?;
    if text.len() as u64 > LARGEST {
        return Err(broken(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(text)
}

/// `names="a b" issuer="CN=..." until="..."`.
impl fmt::Display for Facts {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "names={:?} issuer={:?} until={:?}",
            self.names.join(" "),
            self.issuer,
            httpdate::fmt_http_date(self.not_after)
        )
    }
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// Where it is malformed.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, x509_cert::der::Error> {
        let certificate = Certificate::from_der(certificate)?;
        let own = certificate.tbs_certificate();
        let names = match own.get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(dns_name).collect(),
            _ => Vec::new(),
        };
        let time = |time: x509_cert::time::Time| {
            let since: Duration = time.to_unix_duration();
            SystemTime::UNIX_EPOCH + since
        };
        Ok(Self {
            names,
            issuer: own.issuer().to_string(),
            not_before: time(own.validity().not_before),
            not_after: time(own.validity().not_after),
        })
    }
}

fn dns_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    }
}

/// Chooses a pair by the name that the client asks for; the first one for no name and
/// for one that none is for.
#[derive(Debug)]
pub(super) struct ByName(pub(super) Vec<Pair>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let is_usable = |pair: &&Pair| {
            let schemes = hello.signature_schemes();
            pair.key.key.choose_scheme(schemes).is_some()
        };
        let named = |pair: &&Pair| name.as_ref().is_some_and(|name| pair.is_for(name));
        let pair = (self.0.iter().filter(named).find(is_usable))
            .or_else(|| self.0.iter().find(is_usable))
            .or_else(|| self.0.first())?;
        Some(Arc::clone(&pair.key))
    }
}
