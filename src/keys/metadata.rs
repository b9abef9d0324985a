//! Metadata: a JSON object that the operator stores with a key, and the gateway sends.

use std::fmt::Write as _;

use super::error::{FieldError, LONGEST_METADATA};

/// A JSON object without white space and in printable ASCII, as a header can hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(Box<str>);

impl Metadata {
    /// From JSON that is valid; `None` where the object is empty.
    ///
    /// # Errors
    ///
    /// If it is not an object, or longer than 4096 bytes.
    pub fn of_valid_json(json: &str) -> Result<Option<Self>, FieldError> {
        if !json.trim_ascii_start().starts_with('{') {
            return Err(FieldError::NotAnObject);
        }
        let compact = compact(json);
        if compact.len() > LONGEST_METADATA {
            return Err(FieldError::MetadataLength(compact.len()));
        }
        Ok((compact != "{}").then(|| Self(compact.into())))
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Leaves out white space between tokens, and escapes what is not printable ASCII (RFC
/// 8259, section 7; a surrogate pair past the basic plane). Numbers, the order of members
/// and all else stay as they are. In valid JSON such characters stand only in strings.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        match character {
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        if matches!(character, ' '..='~') {
            compact.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(compact, "\\u{unit:04x}").expect("a String takes every write");
            }
        }
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_compact_and_ascii_and_means_the_same() {
        for (json, sent) in [
            (
                "{ \"a\" : [ 1 , 2.50 ] ,\n\t\"b\":{} }",
                r#"{"a":[1,2.50],"b":{}}"#,
            ),
            (r#"{"a b":" c \" d \\"}"#, r#"{"a b":" c \" d \\"}"#),
            (
                "{\"\u{e4}\":\"\u{20ac}\u{1f511}\u{7f}\"}",
                r#"{"\u00e4":"\u20ac\ud83d\udd11\u007f"}"#,
            ),
            (
                r#"{"big":123456789012345678901234567890}"#,
                r#"{"big":123456789012345678901234567890}"#,
            ),
        ] {
            let metadata = Metadata::of_valid_json(json)
                .expect("an object")
                .expect("not empty");
            assert_eq!(metadata.as_str(), sent);
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(value(json), value(sent));
        }
        assert_eq!(Metadata::of_valid_json(" { \n} "), Ok(None));
    }

    #[test]
    fn must_be_an_object_that_a_header_can_hold() {
        for bad in ["[]", "1", "\"{}\"", "null"] {
            assert!(Metadata::of_valid_json(bad).is_err(), "{bad}");
        }
        let of_length = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert!(Metadata::of_valid_json(&of_length(4096)).is_ok());
        assert!(Metadata::of_valid_json(&of_length(4097)).is_err());
    }
}
