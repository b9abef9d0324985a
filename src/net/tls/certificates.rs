//! Certificates and their keys as they are read from PEM files, and which of them
//! answers a client that asks for a name (RFC 6066, section 3).

use std::fmt;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::{Certificate, Version};
use zeroize::Zeroizing;

use super::names::listed;
use super::words::{PemFault, Words};
use crate::private_file::{self, OpenError, PrivateFile};
use crate::rfc3339;
use crate::shell;
use crate::shown_path::ShownPath;

/// How long before a certificate ends it is time to renew it.
pub const RENEWAL: Duration = Duration::from_secs(14 * 86_400);
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
    /// Who else can read or change the key, where somebody can.
    pub warning: Option<String>,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The DNS names that it is for, in lower case, `*.example.com` is one, and the addresses
    /// of IP.
    pub names: Vec<String>,
    /// Those addresses.
    addresses: Vec<IpAddr>,
    /// Who issued it, as RFC 4514 writes it.
    pub issuer: String,
    /// Whether it is for a DNS name or an address of IP.
    pub is_named: bool,
    /// Whether it may issue others: CA:TRUE; or it is of version 1, which cannot say it, or
    /// issued by itself.
    pub is_authority: bool,
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
    NotPem(PathBuf, PemFault),
    /// A certificate cannot be understood.
    Malformed(PathBuf, x509_cert::der::Error),
    /// Where a certificate should be is a key.
    HoldsKey(PathBuf),
    /// Where a key should be is a certificate.
    HoldsCertificate(PathBuf),
    /// A file holds no key.
    NoKey(PathBuf),
    /// A key cannot be read without a passphrase.
    Encrypted(PathBuf),
    /// The key, which comes first, is another certificate's.
    Mismatch(PathBuf, PathBuf),
    /// The key is of an unknown kind.
    Rejected(PathBuf, rustls::Error),
    /// The certificate cannot be an authority's.
    NoAuthority(PathBuf, rustls::Error),
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
            | Self::HoldsKey(_)
            | Self::HoldsCertificate(_)
            | Self::NoKey(_)
            | Self::Encrypted(_)
            | Self::Mismatch(..)
            | Self::Rejected(..)
            | Self::NoAuthority(..)
            | Self::Broken(..) => true,
            Self::Expired(..) => false,
        }
    }

    /// Whether it is the file of the key that is at fault, which may be the certificate's
    /// too; `key` is where that is.
    #[must_use]
    pub fn is_of_key(&self, certificate: &Path, key: &Path) -> bool {
        match self {
            Self::HoldsCertificate(_)
            | Self::NoKey(_)
            | Self::Encrypted(_)
            | Self::Mismatch(..)
            | Self::Rejected(..) => self.path() == key,
            Self::HoldsKey(_)
            | Self::NoCertificate(_)
            | Self::Malformed(..)
            | Self::NoAuthority(..)
            | Self::Expired(..) => false,
            // The certificate is read first.
            Self::Unreadable(_) | Self::Broken(..) | Self::NotPem(..) => {
                self.path() == key && certificate != key
            }
        }
    }

    /// The file that is at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable(error) => error.path(),
            Self::Broken(path, _)
            | Self::NoCertificate(path)
            | Self::HoldsKey(path)
            | Self::HoldsCertificate(path)
            | Self::NoKey(path)
            | Self::Encrypted(path)
            | Self::NotPem(path, _)
            | Self::Malformed(path, _)
            | Self::Mismatch(path, _)
            | Self::Rejected(path, _)
            | Self::NoAuthority(path, _)
            | Self::Expired(path, _) => path,
        }
    }
}

impl fmt::Display for PairError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) if error.is_from_the_system() => {
                write!(to, "{error}; {}", error.remedy())
            }
            Self::Unreadable(error) => error.fmt(to),
            Self::Broken(path, error) => write!(
                to,
                "{} cannot be read: {error}; write certificates and keys in PEM",
                ShownPath(path)
            ),
            Self::HoldsKey(path) => write!(
                to,
                "{} holds a key and no certificate; name the file of the certificate, the two \
                 may be swapped",
                ShownPath(path)
            ),
            Self::HoldsCertificate(path) => write!(
                to,
                "{} holds a certificate and no key; name the file of the key, the two may be \
                 swapped",
                ShownPath(path)
            ),
            Self::NoKey(path) => write!(
                to,
                "{} holds no key; write it in PEM: PKCS#8, SEC1 or PKCS#1",
                ShownPath(path)
            ),
            Self::Encrypted(path) => write!(
                to,
                "the key in {} is encrypted, and nobody is there to type its passphrase; write \
                 it without one: (umask 077; openssl pkey -in {path} -out {path}.open), and name \
                 that file",
                ShownPath(path),
                path = shell::word(&path.to_string_lossy())
            ),
            Self::Mismatch(key, certificate) => write!(
                to,
                "the key in {} does not go with its certificate, the first in {}; put the server's own \
                 certificate first in the chain, name both files in the same order, or fetch both \
                 anew",
                ShownPath(key),
                ShownPath(certificate)
            ),
            Self::NoCertificate(path) => write!(
                to,
                "{} holds no certificate; write the chain in PEM, the server's own first",
                ShownPath(path)
            ),
            Self::NotPem(path, error) => write!(
                to,
                "{} {error}; write a certificate chain, and its key in PKCS#8, SEC1 or PKCS#1, \
                 as PEM with all its lines",
                ShownPath(path)
            ),
            Self::Malformed(path, error) => write!(
                to,
                "the certificate in {} cannot be understood: {error}; fetch it again",
                ShownPath(path)
            ),
            Self::Rejected(path, error) => write!(
                to,
                "the key in {} cannot be used: {}; make an ECDSA, RSA or Ed25519 key",
                ShownPath(path),
                Words(error)
            ),
            Self::NoAuthority(path, error) => write!(
                to,
                "a certificate in {} cannot be that of an authority: {}; write those of \
                 authorities alone",
                ShownPath(path),
                Words(error)
            ),
            Self::Expired(path, at) => write!(
                to,
                "the certificate in {} ended at {}; renew it",
                ShownPath(path),
                rfc3339::text(*at)
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
            Self::Rejected(_, error) | Self::NoAuthority(_, error) => Some(error),
            Self::NoCertificate(_)
            | Self::HoldsKey(_)
            | Self::HoldsCertificate(_)
            | Self::NoKey(_)
            | Self::Encrypted(_)
            | Self::Mismatch(..)
            | Self::Expired(..) => None,
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
            .map_err(|error| PairError::NotPem(certificate.to_owned(), (&error).into()))?;
        let Some(own) = chain.first() else {
            let path = certificate.to_owned();
            return Err(no_certificate(path, &text));
        };
        let malformed = |error| PairError::Malformed(certificate.to_owned(), error);
        let facts = Facts::of(own).map_err(malformed)?;
        if facts.not_after <= now {
            return Err(PairError::Expired(certificate.to_owned(), facts.not_after));
        }
        let (private, warning) = read_key(key)?;
        let certified =
            CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    PairError::Mismatch(key.to_owned(), certificate.to_owned())
                }
                error => PairError::Rejected(key.to_owned(), error),
            })?;
        Ok(Self {
            path: certificate.to_owned(),
            key: Arc::new(certified),
            facts,
            warning,
        })
    }

    /// Whether the certificate is for `name`, which is in lower case, or for the address that
    /// it is.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        if let Ok(address) = name.parse() {
            // No DNS name stands for an address (RFC 9110, section 4.3.5).
            return self.facts.addresses.contains(&address);
        }
        let below = name.split_once('.').map_or("", |(_, below)| below);
        let matches = |pattern: &String| match pattern.strip_prefix("*.") {
            Some(parent) => parent == below,
            None => pattern == name,
        };
        self.facts.names.iter().any(matches)
    }
}

/// There is none in the `text` of the file.
pub(super) fn no_certificate(path: PathBuf, text: &[u8]) -> PairError {
    if holds(text, KEY) {
        PairError::HoldsKey(path)
    } else {
        PairError::NoCertificate(path)
    }
}

/// The private key in a file, and who else can read or change it.
pub(super) fn read_key(path: &Path) -> Result<(PrivateKeyDer<'static>, Option<String>), PairError> {
    let (text, warning) = read_opened(path, private_file::open(path))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let path = path.to_owned();
        match error {
            pem::Error::NoItemsFound if holds(&text, ENCRYPTED_KEY) => PairError::Encrypted(path),
            pem::Error::NoItemsFound if holds(&text, CERTIFICATE) => {
                PairError::HoldsCertificate(path)
            }
            pem::Error::NoItemsFound => PairError::NoKey(path),
            // As PKCS#1 and SEC1 say it, and in their way (RFC 1421, section 4.6.1.1).
            _ if holds(&text, b"Proc-Type: 4,ENCRYPTED") => PairError::Encrypted(path),
            error => PairError::NotPem(path, (&error).into()),
        }
    })?;
    Ok((key, warning))
}

/// How PEM begins a certificate, a key in plain text, and one that is not (RFC 7468).
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
const KEY: &[u8] = b"PRIVATE KEY-----";
const ENCRYPTED_KEY: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";

fn holds(text: &[u8], sign: &[u8]) -> bool {
    text.windows(sign.len()).any(|window| window == sign)
}

/// The whole of a file of certificates or of what was revoked.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PairError> {
    read_opened(path, private_file::open_public(path)).map(|(text, _)| text)
}

/// The whole of a file, wiped when dropped, because it may hold a key; and who else can
/// read or change it.
fn read_opened(
    path: &Path,
    opened: Result<PrivateFile, OpenError>,
) -> Result<(Zeroizing<Vec<u8>>, Option<String>), PairError> {
    let opened = opened.map_err(PairError::Unreadable)?;
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
    Ok((text, opened.warning))
}

/// `names="a b" issuer="CN=..." until="..."`.
impl fmt::Display for Facts {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "names={:?} issuer={:?} until={:?}",
            self.names.join(" "),
            self.issuer,
            rfc3339::text(self.not_after)
        )
    }
}

impl Facts {
    /// The first few of its names, for one line: `a.example, b.example and 3 more`.
    #[must_use]
    pub fn names_shown(&self) -> String {
        listed(self.names.iter().map(String::as_str))
    }

    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// Where it is malformed.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, x509_cert::der::Error> {
        let certificate = Certificate::from_der(certificate)?;
        let own = certificate.tbs_certificate();
        let names = match own.get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0,
            _ => Vec::new(),
        };
        let is_name = |name: &GeneralName| {
            matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_))
        };
        let is_authority = match own.get_extension::<BasicConstraints>() {
            Ok(Some((_, constraints))) => constraints.ca,
            _ => own.version() == Version::V1,
        } || own.issuer() == own.subject();
        Ok(Self {
            is_named: names.iter().any(is_name),
            addresses: names.iter().filter_map(address).collect(),
            names: names.iter().filter_map(name).collect(),
            is_authority,
            issuer: own.issuer().to_string(),
            not_before: system_time(own.validity().not_before),
            not_after: system_time(own.validity().not_after),
        })
    }
}

pub(super) fn system_time(time: x509_cert::time::Time) -> SystemTime {
    let since: Duration = time.to_unix_duration();
    SystemTime::UNIX_EPOCH + since
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        name => address(name).map(|address| address.to_string()),
    }
}

/// Four bytes of IPv4 or sixteen of IPv6 (RFC 5280, section 4.2.1.6).
fn address(name: &GeneralName) -> Option<IpAddr> {
    let GeneralName::IpAddress(bytes) = name else {
        return None;
    };
    let bytes = bytes.as_bytes();
    let four = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four().or_else(|_| sixteen()).ok()
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
