//! Which clients a listener lets in by their certificates.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::certificates::{Facts, PairError, read_file, system_time};
use super::words::OfVerifier;
use crate::shell;
use crate::shown_path::ShownPath;

/// Whose certificates are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// `TLS_CLIENT_CA`: who issues them.
    pub authorities: PathBuf,
    /// `TLS_CLIENT_NAMES`: DNS names and URIs, of which a certificate holds one; every
    /// certificate is good where there are none.
    pub names: Vec<String>,
    /// `TLS_CLIENT_CRL`: which ones have been revoked.
    pub revocations: Vec<PathBuf>,
}

impl ClientFiles {
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let first = [&*self.authorities].into_iter();
        first.chain(self.revocations.iter().map(|path| &**path))
    }
}

/// Why no client can be verified.
#[derive(Debug)]
pub enum ClientFilesError {
    /// The file of authorities cannot be read, or is not PEM.
    File(PairError),
    /// A file of revocations cannot be read, or is not PEM.
    ListFile(PairError),
    /// The file of authorities holds none.
    NoAuthority(PathBuf),
    /// The file of revocations holds none.
    NoList(PathBuf),
    /// What rustls says of all of them.
    Rejected(VerifierBuilderError),
}

impl ClientFilesError {
    /// Whether `TLS_CLIENT_CRL` is at fault.
    #[must_use]
    pub fn is_of_list(&self) -> bool {
        matches!(
            self,
            Self::ListFile(_)
                | Self::NoList(_)
                | Self::Rejected(VerifierBuilderError::InvalidCrl(_))
        )
    }

    /// The file at fault, where it is one alone.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(error) | Self::ListFile(error) => Some(error.path()),
            Self::NoAuthority(path) | Self::NoList(path) => Some(path),
            Self::Rejected(_) => None,
        }
    }
}

impl fmt::Display for ClientFilesError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) | Self::ListFile(error) => error.fmt(to),
            Self::NoAuthority(path) => write!(
                to,
                "{} holds no certificate of an authority; write it in PEM",
                ShownPath(path)
            ),
            Self::NoList(path) => write!(
                to,
                "{} holds no list of revoked certificates; write it in PEM: openssl crl -inform \
                 DER -in {path} -out {path}.pem",
                ShownPath(path),
                path = shell::word(&path.to_string_lossy())
            ),
            Self::Rejected(error) => write!(
                to,
                "a list of revoked certificates (TLS_CLIENT_CRL) cannot be used: {}; fetch it \
                 again, in PEM",
                OfVerifier(error)
            ),
        }
    }
}

impl std::error::Error for ClientFilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) | Self::ListFile(error) => Some(error),
            Self::Rejected(error) => Some(error),
            Self::NoAuthority(_) | Self::NoList(_) => None,
        }
    }
}

/// Verifies what clients present: the chain, the revocations of all of it, and the name.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
    /// What the files held.
    read: Vec<Vec<u8>>,
    ends: Vec<End>,
}

/// When an authority's certificate or a list of revoked ones ends.
#[derive(Clone, Debug)]
pub struct End {
    /// The file.
    pub path: PathBuf,
    /// Whether it is a list, without which every client is denied.
    pub is_list: bool,
    /// Whether it is a certificate that may issue no others (RFC 5280, section 4.2.1.9).
    pub is_leaf: bool,
    /// When it ends.
    pub at: SystemTime,
}

/// Two are the same where they let the same clients in.
impl PartialEq for ClientVerifier {
    fn eq(&self, other: &Self) -> bool {
        self.read == other.read && self.names == other.names
    }
}

impl ClientVerifier {
    pub(super) fn read(
        files: &ClientFiles,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, ClientFilesError> {
        let mut read = Vec::new();
        let mut ends = Vec::new();
        let mut roots = RootCertStore::empty();
        let text = read_file(&files.authorities).map_err(ClientFilesError::File)?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| {
                ClientFilesError::File(PairError::NotPem(
                    files.authorities.clone(),
                    (&error).into(),
                ))
            })?;
            read.push(certificate.to_vec());
            // One that cannot be understood is refused in the next line.
            ends.extend(Facts::of(&certificate).map(|facts| End {
                path: files.authorities.clone(),
                is_list: false,
                is_leaf: !facts.is_authority,
                at: facts.not_after,
            }));
            roots
                .add(certificate)
                .map_err(|error| PairError::NoAuthority(files.authorities.clone(), error))
                .map_err(ClientFilesError::File)?;
        }
        if roots.is_empty() {
            return Err(ClientFilesError::NoAuthority(files.authorities.clone()));
        }
        let mut lists = Vec::new();
        for path in &files.revocations {
            let text = read_file(path).map_err(ClientFilesError::ListFile)?;
            let before = lists.len();
            for list in CertificateRevocationListDer::pem_slice_iter(&text) {
                let list = list.map_err(|error| {
                    ClientFilesError::ListFile(PairError::NotPem(path.clone(), (&error).into()))
                })?;
                read.push(list.to_vec());
                ends.extend(next_update(&list).map(|at| End {
                    path: path.clone(),
                    is_list: true,
                    is_leaf: false,
                    at,
                }));
                lists.push(list);
            }
            if lists.len() == before {
                return Err(ClientFilesError::NoList(path.clone()));
            }
        }
        // A status that no list tells, and a list that has ended, deny.
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let chain = builder
            .with_crls(lists)
            .enforce_revocation_expiration()
            .build()
            .map_err(ClientFilesError::Rejected)?;
        Ok(Self {
            chain,
            names: files.names.clone(),
            read,
            ends,
        })
    }

    /// When what it goes by ends.
    pub(super) fn ends(&self) -> &[End] {
        &self.ends
    }

    /// Whether it would let a client in that has presented `chain`.
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (own, others) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verify_client_cert(own, others, UnixTime::now())
            .map(drop)
    }

    fn verify_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let certificate = Certificate::from_der(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let names = certificate
            .tbs_certificate()
            .get_extension::<SubjectAltName>();
        let is_good = |name: &GeneralName| match name {
            GeneralName::DnsName(name) => {
                let wanted = |wanted: &String| wanted.eq_ignore_ascii_case(name.as_str());
                self.names.iter().any(wanted)
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                self.names.iter().any(|wanted| wanted == uri.as_str())
            }
            _ => false,
        };
        match names {
            Ok(Some((_, names))) if names.0.iter().any(is_good) => Ok(()),
            _ => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }
}

/// When a list says that there will be a newer one (RFC 5280, section 5.1.2.5).
fn next_update(list: &CertificateRevocationListDer<'_>) -> Option<SystemTime> {
    let list: CertificateList = CertificateList::from_der(list).ok()?;
    list.tbs_cert_list.next_update.map(system_time)
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        self.verify_name(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
