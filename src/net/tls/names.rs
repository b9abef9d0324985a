//! The names in a certificate, few and on one line.

use std::fmt::{self, Write as _};

use rustls::pki_types::ServerName;

use crate::printable::printable;

/// So many names are shown; a certificate may hold hundreds.
const SHOWN: usize = 5;
/// Longest part of a name that is shown, in characters. A DNS name has 253 at the most.
const LONGEST: usize = 253;
/// What webpki writes around a name, by its kind.
const KINDS: [(&str, &str); 3] = [
    ("DnsName(\"", "\")"),
    ("IpAddress(", ")"),
    ("UniformResourceIdentifier(\"", "\")"),
];

/// Displays as `the certificate is for a.example, b.example and 3 more, and not for
/// c.example`.
pub(super) struct OtherName<'a> {
    pub(super) expected: &'a ServerName<'static>,
    /// As webpki writes them: `DnsName("a.example")`, and a name may hold any byte.
    pub(super) presented: &'a [String],
}

impl fmt::Display for OtherName<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.presented.iter().map(|name| bare(name));
        match self.presented {
            [] => to.write_str("the certificate is for no name at all")?,
            _ => write!(to, "the certificate is for {}", listed(names))?,
        }
        write!(to, ", and not for {}", self.expected.to_str())
    }
}

fn bare(name: &str) -> &str {
    let mut kinds = KINDS.iter();
    let bare = kinds.find_map(|(before, behind)| name.strip_prefix(before)?.strip_suffix(behind));
    bare.unwrap_or(name)
}

/// `a.example, b.example and 3 more`, printable; nothing of no names.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.take(SHOWN).map(|name| {
        let cut: String = name.chars().take(LONGEST).collect();
        printable(&cut)
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if more > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(presented: &[&str]) -> String {
        let expected = ServerName::try_from("origin.example").expect("a name");
        let presented: Vec<_> = presented.iter().map(ToString::to_string).collect();
        let other = OtherName {
            expected: &expected,
            presented: &presented,
        };
        other.to_string()
    }

    #[test]
    fn names_are_few_short_and_on_one_line() {
        assert_eq!(
            said(&["DnsName(\"a.example\")", "IpAddress(192.0.2.1)"]),
            "the certificate is for a.example, 192.0.2.1, and not for origin.example"
        );
        assert_eq!(
            said(&[]),
            "the certificate is for no name at all, and not for origin.example"
        );
        let many: Vec<_> = (0..900)
            .map(|number| format!("DnsName(\"{number}.example\")"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(
            said(&many),
            "the certificate is for 0.example, 1.example, 2.example, 3.example, 4.example and 895 \
             more, and not for origin.example"
        );
        let hostile = said(&[&format!("DnsName(\"a\n\u{1b}[2J{}\")", "x".repeat(9000))]);
        assert!(hostile.contains("a\\n\\u{1b}[2Jxx"), "{hostile}");
        assert!(hostile.len() < 400, "{hostile}");
    }
}
