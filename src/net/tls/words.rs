//! What rustls says of the other side, in words that take no knowledge of TLS.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, OtherError};

/// Displays as why TLS has failed.
pub(super) struct Words<'a>(pub(super) &'a Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InvalidCertificate(why) => write!(to, "the certificate {}", Flaw(why)),
            Error::AlertReceived(alert) => of_alert(*alert, to),
            other => other.fmt(to),
        }
    }
}

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
            _ => return of_chain(self.0, to),
        })
    }
}

/// The certificate of an authority is shown as a server's own.
pub(crate) fn is_authority_itself(why: &CertificateError) -> bool {
    name(why).as_deref() == Some("CaUsedAsEndEntity")
}

/// webpki has a name alone for each of its errors.
fn name(why: &CertificateError) -> Option<String> {
    match why {
        CertificateError::Other(OtherError(error)) => Some(error.to_string()),
        _ => None,
    }
}

fn of_chain(why: &CertificateError, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = name(why);
    to.write_str(match name.as_deref() {
        Some("CaUsedAsEndEntity") => {
            "is one of an authority (basicConstraints=CA:TRUE), and a server has to show one that \
             is none (CA:FALSE)"
        }
        Some("EndEntityUsedAsCa") => {
            "was issued with a certificate that is no authority's (basicConstraints=CA:FALSE)"
        }
        Some("NameConstraintViolation") => "has a name that its authority may not certify",
        Some("PathLenConstraintViolated") => "has more authorities above it than they allow",
        Some("UnsupportedCertVersion") => "is not of version 3 of X.509",
        Some(other) => return write!(to, "cannot be verified (webpki: {other})"),
        None => "cannot be verified: its signature is of a kind that is not supported here",
    })
}

/// What the other side says before it gives up (RFC 8446, section 6.2).
fn of_alert(alert: AlertDescription, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => to.write_str("the other side wants a certificate"),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => write!(
            to,
            "the other side does not accept the certificate ({alert:?})"
        ),
        Alert::NoApplicationProtocol => to.write_str("the other side speaks no HTTP/1.1 there"),
        Alert::UnrecognisedName => to.write_str("the other side has no certificate for this name"),
        Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => write!(
            to,
            "the two sides have no version of TLS and no cipher in common ({alert:?})"
        ),
        _ => write!(to, "the other side breaks off TLS ({alert:?})"),
    }
}
