//! Certificates and lists of revoked ones (RFC 5280) that cannot be used.

use std::fmt;

use rustls::{CertRevocationListError, CertificateError, OtherError};

use super::spelled::spaced;

/// What is wrong with a certificate. Displays as what follows "the certificate" or "it".
pub(crate) struct Flaw<'a>(pub(crate) &'a CertificateError);

impl fmt::Display for Flaw<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateError as Why;
        to.write_str(match self.0 {
            Why::UnknownIssuer => "was issued by an authority that is not trusted here",
            Why::Expired | Why::ExpiredContext { .. } => "has ended",
            Why::NotValidYet | Why::NotValidYetContext { .. } => "is not valid yet",
            Why::NotValidForName | Why::NotValidForNameContext { .. } => "is for another name",
            Why::Revoked => "has been revoked",
            Why::UnknownRevocationStatus => {
                "has an authority whose list of revoked ones is not there"
            }
            Why::ExpiredRevocationList | Why::ExpiredRevocationListContext { .. } => {
                "has an authority whose list of revoked ones has ended"
            }
            Why::BadSignature => "has a signature that does not fit",
            Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => {
                "is not made for this use (extendedKeyUsage)"
            }
            Why::UnhandledCriticalExtension => "has a critical extension that is not known here",
            Why::BadEncoding => "is malformed",
            Why::InvalidOcspResponse => {
                "came with a word of its authority (OCSP) that is malformed"
            }
            // This program asks whether one of the names is let in, and nothing else.
            Why::ApplicationVerificationFailure => {
                "is for none of the names that are let in (TLS_CLIENT_NAMES)"
            }
            Why::Other(OtherError(error)) => return of_webpki(&error.to_string(), to),
            // The kinds of signatures that are not supported, of which one name is deprecated.
            _ => "has a signature of a kind that is not supported here",
        })
    }
}

/// The certificate of an authority is shown as a server's own.
pub(crate) fn is_authority_itself(why: &CertificateError) -> bool {
    matches!(why, CertificateError::Other(OtherError(error)) if error.to_string() == OF_AUTHORITY)
}

const OF_AUTHORITY: &str = "CaUsedAsEndEntity";

/// webpki has a name alone for each of its errors.
fn of_webpki(name: &str, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    to.write_str(match name {
        OF_AUTHORITY => {
            "is one of an authority (basicConstraints=CA:TRUE), and its owner has to show one \
             that is none (CA:FALSE)"
        }
        "EndEntityUsedAsCa" => {
            "was issued with a certificate that is no authority's (basicConstraints=CA:FALSE)"
        }
        "NameConstraintViolation" => "has a name that its authority may not certify",
        "PathLenConstraintViolated" => "has more authorities above it than they allow",
        "UnsupportedCertVersion" => "is not of version 3 of X.509",
        "EmptyEkuExtension" => "is made for no use at all (extendedKeyUsage is empty)",
        "SignatureAlgorithmMismatch" => "names two kinds of signature",
        "CertDistrusted" => "is distrusted by name",
        "ExtensionValueInvalid" | "MalformedExtensions" => "has a malformed extension",
        "MalformedDnsIdentifier" | "UnsupportedNameType" => "has a name that is malformed",
        "MalformedNameConstraint" | "InvalidNetworkMaskConstraint" => {
            "has an authority with a malformed rule for names (nameConstraints)"
        }
        "InvalidSerialNumber" => "has a malformed serial number",
        "MaximumNameConstraintComparisonsExceeded"
        | "MaximumPathBuildCallsExceeded"
        | "MaximumPathDepthExceeded"
        | "MaximumSignatureChecksExceeded" => {
            "came with so many others that no way to an authority is found; send the chain alone"
        }
        other => return write!(to, "cannot be verified: {}", spaced(Bare(other))),
    })
}

/// A name that is text already.
struct Bare<'a>(&'a str);

impl fmt::Debug for Bare<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.0)
    }
}

/// What is wrong with a list of revoked certificates. Displays as what follows "it".
pub(super) struct ListFlaw<'a>(pub(super) &'a CertRevocationListError);

impl fmt::Display for ListFlaw<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertRevocationListError as Why;
        to.write_str(match self.0 {
            Why::BadSignature => "has a signature that does not fit",
            Why::InvalidCrlNumber => "has a malformed number (cRLNumber)",
            Why::InvalidRevokedCertSerialNumber => "holds a malformed serial number",
            Why::IssuerInvalidForCrl => {
                "was signed by an authority that may not sign lists (keyUsage without cRLSign)"
            }
            Why::ParseError => "is malformed",
            Why::UnsupportedCrlVersion => "is not of version 2 of X.509",
            Why::UnsupportedCriticalExtension => "has a critical extension that is not known here",
            Why::UnsupportedDeltaCrl => "holds changes alone (a delta), and a whole one is needed",
            Why::UnsupportedIndirectCrl => {
                "is of another authority than the one that issued the certificates (indirect)"
            }
            Why::UnsupportedRevocationReason => "gives a reason that is not known here",
            Why::Other(OtherError(error)) => {
                let name = spaced(Bare(&error.to_string()));
                return write!(to, "cannot be used: {name}");
            }
            // The kinds of signatures that are not supported, of which one name is deprecated.
            _ => "has a signature of a kind that is not supported here",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::{ServerName, UnixTime};

    use super::super::tests::assert_plain;
    use super::*;

    /// An error of webpki, which shows its name alone.
    #[derive(Debug)]
    struct Named(&'static str);

    impl fmt::Display for Named {
        fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str(self.0)
        }
    }

    impl std::error::Error for Named {}

    fn other(name: &'static str) -> OtherError {
        OtherError(Arc::new(Named(name)))
    }

    /// Those of `webpki::Error` that rustls has no error of its own for.
    const WEBPKI: [&str; 30] = [
        "CaUsedAsEndEntity",
        "CertDistrusted",
        "EmptyEkuExtension",
        "EndEntityUsedAsCa",
        "ExtensionValueInvalid",
        "InvalidCrlNumber",
        "InvalidNetworkMaskConstraint",
        "InvalidSerialNumber",
        "MalformedDnsIdentifier",
        "MalformedExtensions",
        "MalformedNameConstraint",
        "MaximumNameConstraintComparisonsExceeded",
        "MaximumPathBuildCallsExceeded",
        "MaximumPathDepthExceeded",
        "MaximumSignatureChecksExceeded",
        "NameConstraintViolation",
        "PathLenConstraintViolated",
        "SignatureAlgorithmMismatch",
        "UnsupportedCertVersion",
        "UnsupportedCriticalExtension",
        "UnsupportedCrlIssuingDistributionPoint",
        "UnsupportedCrlVersion",
        "UnsupportedDeltaCrl",
        "UnsupportedIndirectCrl",
        "UnsupportedNameType",
        "UnsupportedRevocationReason",
        "UnsupportedRevocationReasonsPartitioning",
        "RequiredEkuNotFound",
        "UnknownIssuer",
        "BadDer",
    ];

    #[test]
    fn each_flaw_of_a_certificate_is_told_in_words() {
        use CertificateError as Why;
        let (time, at) = (UnixTime::now(), UnixTime::now());
        #[expect(deprecated, reason = "rustls may give it still")]
        let all = [
            Why::BadEncoding,
            Why::Expired,
            Why::ExpiredContext {
                time,
                not_after: at,
            },
            Why::NotValidYet,
            Why::NotValidYetContext {
                time,
                not_before: at,
            },
            Why::Revoked,
            Why::UnhandledCriticalExtension,
            Why::UnknownIssuer,
            Why::UnknownRevocationStatus,
            Why::ExpiredRevocationList,
            Why::ExpiredRevocationListContext {
                time,
                next_update: at,
            },
            Why::BadSignature,
            Why::UnsupportedSignatureAlgorithm,
            Why::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![1],
                supported_algorithms: Vec::new(),
            },
            Why::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![1],
                public_key_algorithm_id: vec![1],
            },
            Why::NotValidForName,
            Why::NotValidForNameContext {
                expected: ServerName::try_from("a.example").expect("a name"),
                presented: vec!["DnsName(\"b.example\")".into()],
            },
            Why::InvalidPurpose,
            Why::InvalidPurposeContext {
                required: rustls::ExtendedKeyPurpose::ServerAuth,
                presented: Vec::new(),
            },
            Why::InvalidOcspResponse,
            Why::ApplicationVerificationFailure,
        ];
        let of_webpki = WEBPKI.map(|name| Why::Other(other(name)));
        for why in all.iter().chain(&of_webpki) {
            assert_plain(why, &Flaw(why).to_string());
        }
        let named = Flaw(&Why::ApplicationVerificationFailure).to_string();
        assert!(named.contains("TLS_CLIENT_NAMES"), "{named}");
        assert!(is_authority_itself(&Why::Other(other("CaUsedAsEndEntity"))));
        assert!(!is_authority_itself(&Why::Other(other("UnknownIssuer"))));
    }

    #[test]
    fn each_flaw_of_a_list_is_told_in_words() {
        use CertRevocationListError as Why;
        #[expect(deprecated, reason = "rustls may give it still")]
        let all = [
            Why::BadSignature,
            Why::UnsupportedSignatureAlgorithm,
            Why::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![1],
                supported_algorithms: Vec::new(),
            },
            Why::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![1],
                public_key_algorithm_id: vec![1],
            },
            Why::InvalidCrlNumber,
            Why::InvalidRevokedCertSerialNumber,
            Why::IssuerInvalidForCrl,
            Why::Other(other("UnsupportedRevocationReasonsPartitioning")),
            Why::ParseError,
            Why::UnsupportedCrlVersion,
            Why::UnsupportedCriticalExtension,
            Why::UnsupportedDeltaCrl,
            Why::UnsupportedIndirectCrl,
            Why::UnsupportedRevocationReason,
        ];
        for why in &all {
            assert_plain(why, &ListFlaw(why).to_string());
        }
    }
}
