//! A certificate that cannot be verified: why, and what to do.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::CertificateError;

use crate::net::tls::{Flaw, TlsError, is_authority_itself};
use crate::rfc3339;

/// Displays what is wrong with it. The names in it are an origin's own words.
pub(super) struct Certificate<'a>(pub(super) &'a CertificateError);

impl fmt::Display for Certificate<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateError::ExpiredContext { not_after, .. } => {
                let end = SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs());
                write!(to, "it ended {}", rfc3339::text(end))
            }
            CertificateError::NotValidForName => {
                to.write_str("it is for another name than the URL's")
            }
            why @ CertificateError::NotValidForNameContext { .. } => {
                TlsError::from(why.clone()).fmt(to)
            }
            CertificateError::UnknownIssuer => to.write_str("its issuer is not trusted"),
            other => write!(to, "it {}", Flaw(other)),
        }
    }
}

/// What to do about it; `by_hand` is the command that shows it.
pub(super) fn remedy(why: &CertificateError, by_hand: &str) -> String {
    let remedy = match why {
        why if is_authority_itself(why) => {
            "make one with -addext basicConstraints=critical,CA:FALSE (openssl req -x509), and \
             name it by --ca-file or ORIGIN_CA, or have an authority issue one"
        }
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
        _ => return format!("have another one issued; this one is shown by: {by_hand}"),
    };
    remedy.to_owned()
}
