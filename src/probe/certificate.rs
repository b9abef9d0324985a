//! A certificate that cannot be verified: why, and what to do.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::CertificateError;

use crate::net::tls::TlsError;

/// Displays what is wrong with it. The names in it are an origin's own words.
pub(super) struct Certificate<'a>(pub(super) &'a CertificateError);

impl fmt::Display for Certificate<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateError::ExpiredContext { not_after, .. } => {
                let end = SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs());
                write!(to, "it ended {}", httpdate::fmt_http_date(end))
            }
            CertificateError::Expired => to.write_str("it has ended"),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                to.write_str("it is not valid yet")
            }
            CertificateError::NotValidForName => {
                to.write_str("it is for another name than the URL's")
            }
            why @ CertificateError::NotValidForNameContext { .. } => {
                TlsError::from(why.clone()).fmt(to)
            }
            CertificateError::UnknownIssuer => to.write_str("its issuer is not trusted"),
            other => write!(to, "it cannot be verified: {other}"),
        }
    }
}

/// What to do about it.
pub(super) fn remedy(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::ExpiredContext { .. } | CertificateError::Expired => "renew it",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "look at both clocks"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "write the name that it is for, or have one issued for this name (where a name leads \
             to a CDN, --resolve ADDRESS asks the origin itself)"
        }
        CertificateError::UnknownIssuer => {
            "serve the whole chain, or name the file of its authority by --ca-file or ORIGIN_CA"
        }
        _ => "have another one issued; openssl s_client -connect HOST:PORT shows this one",
    }
}
