//! What rustls says of the other side, in words that take no knowledge of TLS.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error};

/// Displays as why TLS has failed.
pub(super) struct Words<'a>(pub(super) &'a Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InvalidCertificate(why) => match of_certificate(why) {
                Some(words) => to.write_str(words),
                None => write!(to, "the certificate cannot be verified: {why}"),
            },
            Error::AlertReceived(alert) => of_alert(*alert, to),
            other => other.fmt(to),
        }
    }
}

fn of_certificate(why: &CertificateError) -> Option<&'static str> {
    Some(match why {
        CertificateError::UnknownIssuer => {
            "the certificate was issued by an authority that is not trusted here"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has ended"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::Revoked => "the certificate has been revoked",
        _ => return None,
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
