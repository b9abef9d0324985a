//! Alerts: what the other side says before it gives up (RFC 8446, section 6).

use std::fmt;

use rustls::AlertDescription;

use super::spelled::underscored;

/// Displays as what the other side does, with the name and the number of the alert.
pub(super) struct Alert(pub(super) AlertDescription);

impl fmt::Display for Alert {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u8::from(self.0);
        match (meaning(self.0), name(self.0)) {
            (Some(meaning), Some(name)) => {
                write!(to, "the other side {meaning} (TLS alert {name}, {number})")
            }
            _ => write!(
                to,
                "the other side breaks off TLS with an alert that is not known here (TLS alert \
                 {number})"
            ),
        }
    }
}

/// The name that IANA's registry of TLS alerts has.
fn name(alert: AlertDescription) -> Option<String> {
    use AlertDescription as Alert;
    match alert {
        Alert::UnrecognisedName => Some("unrecognized_name".into()),
        Alert::EncryptedClientHelloRequired => Some("ech_required".into()),
        Alert::Unknown(_) => None,
        other => Some(underscored(other)),
    }
}

/// What follows "the other side".
fn meaning(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    Some(match alert {
        Alert::CloseNotify => "closes the connection",
        Alert::BadCertificate | Alert::CertificateUnknown => "does not accept the certificate",
        Alert::UnsupportedCertificate => "does not accept a certificate of this kind",
        Alert::CertificateRevoked => "does not accept the certificate, because it has been revoked",
        Alert::CertificateExpired => {
            "does not accept the certificate, because by its clock it has ended or is not valid yet"
        }
        Alert::UnknownCA => {
            "does not accept the certificate, because it does not trust the authority that issued \
             it"
        }
        Alert::AccessDenied => {
            "does not accept the certificate: it is valid, and its holder is not let in"
        }
        Alert::BadCertificateStatusResponse
        | Alert::BadCertificateHashValue
        | Alert::CertificateUnobtainable => {
            "does not accept the certificate, because it cannot find out whether it is good"
        }
        Alert::CertificateRequired | Alert::NoCertificate => "wants a certificate",
        Alert::NoApplicationProtocol => "speaks no HTTP/1.1 there",
        Alert::UnrecognisedName => "has no certificate for this name",
        Alert::ProtocolVersion => "speaks no version of TLS that this side speaks (1.2 and 1.3)",
        Alert::HandshakeFailure => {
            "finds no version of TLS and no cipher that both sides have, or wants a certificate \
             that it did not get"
        }
        Alert::InsufficientSecurity => "wants stronger ciphers than this side has",
        Alert::ExportRestriction => "wants weaker ciphers than this side has",
        Alert::InappropriateFallback => "speaks a newer version of TLS than it was asked for",
        Alert::EncryptedClientHelloRequired => {
            "wants the name encrypted (ECH), which this program does not do"
        }
        Alert::UnknownPSKIdentity => "does not know the key that was agreed on before",
        Alert::DecryptError => "finds a signature or a key in the handshake that does not fit",
        Alert::BadRecordMac | Alert::DecryptionFailed => {
            "cannot decrypt what it received, which may have been changed on the way"
        }
        Alert::RecordOverflow => "received more in one piece than TLS allows",
        Alert::DecompressionFailure => "cannot unpack what it received",
        Alert::UnexpectedMessage => "received a message of TLS that it did not wait for",
        Alert::IllegalParameter | Alert::DecodeError => {
            "cannot read a message of TLS that it received"
        }
        Alert::MissingExtension | Alert::UnsupportedExtension => {
            "received more or fewer extensions of TLS than it wants"
        }
        Alert::NoRenegotiation => "does not begin TLS anew on a connection",
        Alert::InternalError => "failed for a reason of its own, which its log may tell",
        Alert::UserCanceled => "was told to break off",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alert_has_a_meaning_and_the_name_and_number_of_the_registry() {
        let mut known = 0;
        for number in 0..=u8::MAX {
            let alert = AlertDescription::from(number);
            let said = Alert(alert).to_string();
            assert!(said.starts_with("the other side "), "{said}");
            let code = format!("{alert:?}");
            let is_known = !matches!(alert, AlertDescription::Unknown(_));
            assert_eq!(meaning(alert).is_some(), is_known, "{code}: {said}");
            if is_known {
                known += 1;
                let name = name(alert).expect("known");
                assert!(said.ends_with(&format!("(TLS alert {name}, {number})")));
                assert!(!said.contains(&code), "{code}: {said}");
            } else {
                assert!(said.ends_with(&format!("(TLS alert {number})")), "{said}");
            }
        }
        assert_eq!(known, 35);
        for (number, name) in [
            (48, "unknown_ca"),
            (46, "certificate_unknown"),
            (112, "unrecognized_name"),
            (115, "unknown_psk_identity"),
            (121, "ech_required"),
        ] {
            let said = Alert(AlertDescription::from(number)).to_string();
            assert!(said.contains(&format!(" {name}, ")), "{said}");
        }
    }
}
