//! What rustls says of the other side, in words that take no knowledge of rustls; TLS's own
//! names and numbers stand beside them.

mod alert;
mod certificate;
mod pem;
mod spelled;

use std::fmt;

use rustls::server::VerifierBuilderError;
use rustls::{Error, InvalidMessage, PeerIncompatible};

use alert::Alert;
use certificate::ListFlaw;
pub(crate) use certificate::{Flaw, is_authority_itself};
pub use pem::PemFault;
use spelled::{spaced, underscored};

/// Displays as why TLS has failed, or why it cannot be spoken.
pub(super) struct Words<'a>(pub(super) &'a Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self.0 {
            Error::InvalidCertificate(why) => return write!(to, "the certificate {}", Flaw(why)),
            Error::InvalidCertRevocationList(why) => {
                return write!(to, "the list of revoked certificates {}", ListFlaw(why));
            }
            Error::AlertReceived(alert) => return Alert(*alert).fmt(to),
            Error::PeerIncompatible(why) => return of_incompatible(why, to),
            Error::PeerMisbehaved(why) => {
                return write!(
                    to,
                    "the other side breaks the rules of TLS: {}",
                    spaced(why)
                );
            }
            Error::InvalidMessage(why) => return of_malformed(why, to),
            Error::InappropriateMessage { got_type, .. } => {
                return unexpected("record", &underscored(got_type), u8::from(*got_type), to);
            }
            Error::InappropriateHandshakeMessage { got_type, .. } => {
                return unexpected("message", &underscored(got_type), u8::from(*got_type), to);
            }
            Error::NoCertificatesPresented => "the other side shows no certificate",
            Error::UnsupportedNameType => "the name is of a kind that TLS cannot ask for",
            Error::DecryptError => {
                "what the other side sent cannot be decrypted; it may have been changed on the way"
            }
            Error::EncryptError => "there is more to send in one piece than TLS allows",
            Error::PeerSentOversizedRecord => {
                "the other side sent more in one piece than TLS allows"
            }
            Error::NoApplicationProtocol => {
                "the other side speaks no HTTP/1.1 inside of TLS (ALPN)"
            }
            Error::HandshakeNotComplete => "TLS is not agreed on yet",
            Error::FailedToGetCurrentTime => "this machine's clock stands before 1970; set it",
            Error::FailedToGetRandomBytes => "this machine gives no random bytes",
            Error::BadMaxFragmentSize => "the size of records is out of bounds",
            Error::InconsistentKeys(_) => "the key does not go with the certificate",
            Error::InvalidEncryptedClientHello(why) => {
                return write!(to, "the name cannot be encrypted (ECH): {}", spaced(why));
            }
            // Sentences of the crates that hold the keys.
            Error::General(text) => text,
            Error::Other(error) => return error.fmt(to),
            _ => "TLS has failed",
        })
    }
}

/// Why no verifier of clients can be made. Displays as a sentence.
pub(super) struct OfVerifier<'a>(pub(super) &'a VerifierBuilderError);

impl fmt::Display for OfVerifier<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            VerifierBuilderError::InvalidCrl(why) => write!(to, "it {}", ListFlaw(why)),
            // The caller looks for these.
            _ => to.write_str("there is no certificate of an authority"),
        }
    }
}

fn unexpected(what: &str, name: &str, number: u8, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        to,
        "the other side sent a {what} of TLS that was not due ({name}, {number})"
    )
}

fn of_malformed(why: &InvalidMessage, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        // The first byte of a record is none that TLS has.
        InvalidMessage::InvalidContentType => to.write_str("what the other side sends is not TLS"),
        InvalidMessage::DuplicateExtension(number) => write!(
            to,
            "the other side sent a malformed message of TLS: it has the extension {number} twice"
        ),
        InvalidMessage::MessageTooLarge
        | InvalidMessage::HandshakePayloadTooLarge
        | InvalidMessage::CertificatePayloadTooLarge => {
            to.write_str("the other side sent a message of TLS that is too long")
        }
        other => write!(
            to,
            "the other side sent a malformed message of TLS: {}",
            spaced(other)
        ),
    }
}

/// What the two sides do not have in common.
fn of_incompatible(why: &PeerIncompatible, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    use PeerIncompatible as Why;
    to.write_str(match why {
        Why::NoCipherSuitesInCommon => "the two sides have no cipher in common",
        Why::NoKxGroupsInCommon | Why::NamedGroupsExtensionRequired => {
            "the two sides have no way of exchanging keys in common (supported_groups)"
        }
        Why::NoSignatureSchemesInCommon
        | Why::NoCertificateRequestSignatureSchemesInCommon
        | Why::SignatureAlgorithmsExtensionRequired => {
            "the other side accepts no signature that the key of the certificate can make \
             (signature_algorithms)"
        }
        Why::ServerDoesNotSupportTls12Or13
        | Why::ServerTlsVersionIsDisabledByOurConfig
        | Why::Tls12NotOffered
        | Why::Tls12NotOfferedOrEnabled
        | Why::SupportedVersionsExtensionRequired => {
            "the other side speaks neither TLS 1.2 nor TLS 1.3"
        }
        Why::ServerRejectedEncryptedClientHello(_) => {
            "the other side does not take an encrypted name (ECH)"
        }
        other => {
            return write!(
                to,
                "the other side does not speak TLS as it is needed here: {}",
                spaced(other)
            );
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use rustls::{
        CertRevocationListError, CertificateError, ContentType, EncryptedClientHelloError,
        HandshakeType, InconsistentKeys, OtherError, PeerMisbehaved,
    };

    use super::*;

    /// No name that code has is in the text that tells of `error`.
    #[track_caller]
    pub(super) fn assert_plain(error: &dyn fmt::Debug, said: &str) {
        let is_capital_inside = |word: &str| {
            let mut letters = word.bytes();
            letters.next().is_some_and(|byte| byte.is_ascii_uppercase())
                && word.bytes().any(|byte| byte.is_ascii_lowercase())
                && letters.any(|byte| byte.is_ascii_uppercase())
        };
        let words = said.split(|character: char| !character.is_ascii_alphanumeric());
        let camel: Vec<_> = words.filter(|word| is_capital_inside(word)).collect();
        assert!(camel.is_empty(), "{error:?}: {said}: {camel:?}");
        for sign in ["::", "{", "[", "\"", "\n", "(\""] {
            assert!(!said.contains(sign), "{error:?}: {said}");
        }
        assert!(said.split(' ').count() > 1, "{error:?}: {said}");
    }

    fn malformed() -> Vec<InvalidMessage> {
        use InvalidMessage as Why;
        vec![
            Why::CertificatePayloadTooLarge,
            Why::HandshakePayloadTooLarge,
            Why::InvalidCcs,
            Why::InvalidContentType,
            Why::InvalidCertificateStatusType,
            Why::InvalidCertRequest,
            Why::InvalidDhParams,
            Why::InvalidEmptyPayload,
            Why::InvalidKeyUpdate,
            Why::InvalidServerName,
            Why::MessageTooLarge,
            Why::MessageTooShort,
            Why::MissingData("ServerName"),
            Why::MissingKeyExchange,
            Why::NoSignatureSchemes,
            Why::TrailingData("ServerName"),
            Why::UnexpectedMessage("ServerName"),
            Why::UnknownProtocolVersion,
            Why::UnsupportedCompression,
            Why::UnsupportedCurveType,
            Why::EmptyTicketValue,
            Why::IllegalEmptyList("ServerName"),
            Why::IllegalEmptyValue,
            Why::DuplicateExtension(16),
            Why::PreSharedKeyIsNotFinalExtension,
            Why::UnknownHelloRetryRequestExtension,
            Why::UnknownCertificateExtension,
        ]
    }

    fn incompatible() -> Vec<PeerIncompatible> {
        use PeerIncompatible as Why;
        vec![
            Why::EcPointsExtensionRequired,
            Why::ExtendedMasterSecretExtensionRequired,
            Why::IncorrectCertificateTypeExtension,
            Why::KeyShareExtensionRequired,
            Why::NamedGroupsExtensionRequired,
            Why::NoCertificateRequestSignatureSchemesInCommon,
            Why::NoCipherSuitesInCommon,
            Why::NoEcPointFormatsInCommon,
            Why::NoKxGroupsInCommon,
            Why::NoSignatureSchemesInCommon,
            Why::NullCompressionRequired,
            Why::ServerDoesNotSupportTls12Or13,
            Why::ServerSentHelloRetryRequestWithUnknownExtension,
            Why::ServerTlsVersionIsDisabledByOurConfig,
            Why::SignatureAlgorithmsExtensionRequired,
            Why::SupportedVersionsExtensionRequired,
            Why::Tls12NotOffered,
            Why::Tls12NotOfferedOrEnabled,
            Why::Tls13RequiredForQuic,
            Why::UncompressedEcPointsRequired,
            Why::UnsolicitedCertificateTypeExtension,
            Why::ServerRejectedEncryptedClientHello(None),
        ]
    }

    #[test]
    fn each_error_is_told_in_words() {
        let mut all = vec![
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedTls12UsingTls13VersionExtension),
            Error::PeerMisbehaved(PeerMisbehaved::IllegalHelloRetryRequestWithInvalidEch),
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Error::InvalidCertRevocationList(CertRevocationListError::ParseError),
            Error::General("the key is too short".into()),
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
            Error::InconsistentKeys(InconsistentKeys::Unknown),
            Error::InvalidEncryptedClientHello(EncryptedClientHelloError::NoCompatibleConfig),
            Error::Other(OtherError(Arc::new(fmt::Error))),
        ];
        all.extend(malformed().into_iter().map(Error::InvalidMessage));
        all.extend(incompatible().into_iter().map(Error::PeerIncompatible));
        for number in 0..=u8::MAX {
            all.push(Error::AlertReceived(number.into()));
            all.push(Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: number.into(),
            });
            all.push(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::ClientHello],
                got_type: number.into(),
            });
        }
        for error in &all {
            assert_plain(error, &Words(error).to_string());
        }
        let got_type = HandshakeType::ClientHello;
        let error = Error::InappropriateHandshakeMessage {
            expect_types: Vec::new(),
            got_type,
        };
        let said = Words(&error).to_string();
        assert!(said.ends_with("(client_hello, 1)"), "{said}");
    }

    #[test]
    fn why_no_client_can_be_verified_is_told_in_words() {
        let delta = CertRevocationListError::UnsupportedDeltaCrl;
        for error in [
            VerifierBuilderError::NoRootAnchors,
            VerifierBuilderError::InvalidCrl(delta),
        ] {
            assert_plain(&error, &OfVerifier(&error).to_string());
        }
    }
}
