//! What is wrong with a file that should be PEM (RFC 7468).

use std::fmt;

use rustls::pki_types::pem;

/// Displays as what follows "the file". It holds nothing of the file: a line that should be
/// a label may be a whole key, where the line breaks are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PemFault(&'static str);

impl From<&pem::Error> for PemFault {
    fn from(error: &pem::Error) -> Self {
        use pem::Error as Why;
        Self(match error {
            Why::MissingSectionEnd { .. } => {
                "has a -----BEGIN ...----- without its -----END ...----- on a line of its own: it \
                 is cut off, or its line breaks are lost"
            }
            Why::IllegalSectionStart { .. } => {
                "has a line that begins with -----BEGIN and does not end with -----: its line \
                 breaks are lost"
            }
            Why::Base64Decode(_) => "holds what is not base64 between -----BEGIN and -----END",
            Why::NoItemsFound => "holds nothing of the kind",
            Why::SectionTooLarge => "is too large",
            Why::Io(_) => "cannot be read to its end",
            _ => "is not PEM",
        })
    }
}

impl fmt::Display for PemFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.0)
    }
}

impl std::error::Error for PemFault {}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn nothing_of_the_file_is_said() {
        const KEY: &str = "c2VjcmV0IGtleQ==";
        for (text, said) in [
            (
                format!("-----BEGIN PRIVATE KEY----- {KEY} -----END PRIVATE KEY-----"),
                "lost",
            ),
            (
                format!("-----BEGIN PRIVATE KEY-----\\n{KEY}\\n-----END PRIVATE KEY-----\\n"),
                "lost",
            ),
            (format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n"), "cut off"),
            (
                format!("-----BEGIN PRIVATE KEY-----\n{KEY}!\n-----END PRIVATE KEY-----\n"),
                "not base64",
            ),
            (KEY.to_owned(), "nothing of the kind"),
        ] {
            let error = PrivateKeyDer::from_pem_slice(text.as_bytes()).expect_err("a fault");
            let fault = PemFault::from(&error);
            assert!(fault.to_string().contains(said), "{text}: {fault}");
            let shown = format!("{fault} {fault:?}");
            for held in [KEY, "99, 50, 86", "115, 101, 99"] {
                assert!(!shown.contains(held), "{shown}");
            }
        }
    }
}
