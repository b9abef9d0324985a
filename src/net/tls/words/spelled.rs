//! Names that code has, as words: rustls and webpki have a name alone for many of their
//! errors, and TLS has names for its messages.

use std::fmt::Debug;

/// `TooManyKeyUpdateRequests` -> `too_many_key_update_requests`, as TLS writes its own names
/// (RFC 8446, section 3.1). What an error holds beside its name is left out: it may be a
/// stranger's.
pub(super) fn underscored(name: impl Debug) -> String {
    spelled(name, '_')
}

/// `TooManyKeyUpdateRequests` -> `too many key update requests`.
pub(super) fn spaced(name: impl Debug) -> String {
    spelled(name, ' ')
}

fn spelled(name: impl Debug, between: char) -> String {
    let name = format!("{name:?}");
    let end = name.find(|character: char| !character.is_ascii_alphanumeric());
    let name = &name.as_bytes()[..end.unwrap_or(name.len())];
    let mut text = String::with_capacity(name.len() + 8);
    for (at, byte) in name.iter().enumerate() {
        let begins_word = byte.is_ascii_uppercase() && at > 0 && {
            // A run of capitals is one word: `UnknownPSKIdentity`.
            let after = name.get(at + 1);
            !name[at - 1].is_ascii_uppercase() || after.is_some_and(u8::is_ascii_lowercase)
        };
        if begins_word {
            text.push(between);
        }
        text.push(byte.to_ascii_lowercase().into());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "it is here to be left out")]
    enum Named {
        UnknownPSKIdentity,
        CertificateURL,
        SelectedTls12UsingTls13VersionExtension,
        TrailingData(&'static str),
        CertNotValidForName { presented: [&'static str; 1] },
    }

    #[test]
    fn a_name_is_words_and_nothing_that_it_holds() {
        for (name, words) in [
            (Named::UnknownPSKIdentity, "unknown psk identity"),
            (Named::CertificateURL, "certificate url"),
            (
                Named::SelectedTls12UsingTls13VersionExtension,
                "selected tls12 using tls13 version extension",
            ),
            (Named::TrailingData("a key"), "trailing data"),
            (
                Named::CertNotValidForName {
                    presented: ["a\nkey"],
                },
                "cert not valid for name",
            ),
        ] {
            assert_eq!(underscored(&name), words.replace(' ', "_"));
            assert_eq!(spaced(&name), words);
        }
    }
}
