//! Lines that are likely no secret: settings, markup, placeholders. Shows no content.

use std::fmt;

use zeroize::Zeroizing;

use crate::guessable::{Guessable, guessable};

/// What a line looks like. Displays as cause and remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `NAME=value`, as in a file of variables.
    Assignment,
    /// What git(1) leaves in a file when a merge fails.
    MergeMarker,
    /// A line of JSON.
    Json,
    /// A line of YAML, or a header field.
    Yaml,
    /// A value in quotes.
    Quoted,
    /// The first or last line of a PEM file (RFC 7468).
    Pem,
}

impl fmt::Display for Form {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Assignment => "it looks like an assignment, NAME=value; write the value alone",
            Self::MergeMarker => {
                "it looks like a merge marker of git; resolve the merge, and leave the secrets"
            }
            Self::Json => "it looks like JSON; write the secret alone, without quotes and braces",
            Self::Yaml => {
                "it looks like YAML or a header field; write the secret alone, without name \
                 and dash"
            }
            Self::Quoted => "it is in quotes, which would be part of the secret; remove them",
            Self::Pem => "it looks like a PEM file; name the file that holds the secret",
        })
    }
}

/// Variables whose empty assignment is one too, though base64 may end with `=`.
const OWN_NAMES: [&str; 3] = [
    "SHARED_SECRET",
    "SHARED_SECRET_PREVIOUS",
    "SHARED_SECRET_FILE",
];

/// What `text`, printable ASCII, looks like, if it does not look like a secret.
#[must_use]
pub(super) fn form(text: &str) -> Option<Form> {
    let starts_with_any = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if starts_with_any(&["<<<<<<<", "|||||||", "=======", ">>>>>>>"]) {
        Some(Form::MergeMarker)
    } else if starts_with_any(&["-----BEGIN ", "-----END "]) {
        Some(Form::Pem)
    } else if is_json(text) {
        Some(Form::Json)
    } else if is_quoted(text) {
        Some(Form::Quoted)
    } else if is_yaml(text) {
        Some(Form::Yaml)
    } else if is_assignment(text) {
        Some(Form::Assignment)
    } else {
        None
    }
}

fn is_json(text: &str) -> bool {
    let value = text.trim_end_matches([',', ' ']);
    let is_wrapped = |open, close| value.starts_with(open) && value.ends_with(close);
    let is_markup = |byte: u8| b"{}[]".contains(&byte);
    value.bytes().all(is_markup)
        || is_wrapped('{', '}')
        || is_wrapped('[', ']')
        || ["{\"", "{ ", "[\"", "[{", "[ "]
            .iter()
            .any(|start| value.starts_with(start))
        || (value.starts_with('"') && value.contains("\":"))
}

fn is_quoted(text: &str) -> bool {
    let value = text.trim_end_matches([',', ';', ' ']);
    value.len() > 1
        && ['"', '\'', '`']
            .iter()
            .any(|&quote| value.starts_with(quote) && value.ends_with(quote))
}

fn is_yaml(text: &str) -> bool {
    let is_document = ["---", "..."].contains(&text) || text.starts_with("%YAML");
    let is_item = text.starts_with("- ") || text.starts_with("--- ");
    let is_member = text.split_once(':').is_some_and(|(name, value)| {
        is_name(name, b"_-.") && (value.is_empty() || value.starts_with(' '))
    });
    is_document || is_item || is_member
}

fn is_assignment(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    let Some((name, value)) = text.split_once('=') else {
        return false;
    };
    let name = name.trim_end();
    let has_value = !value.trim_matches(['=', ' ']).is_empty();
    let starts_with_digit = name.starts_with(|first: char| first.is_ascii_digit());
    is_name(name, b"_") && !starts_with_digit && (has_value || OWN_NAMES.contains(&name))
}

/// Whether `text` is made of letters, digits and `others` alone, and not empty.
fn is_name(text: &str, others: &[u8]) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

/// Why `text`, printable ASCII, is a secret that others may guess, or a mistake.
#[must_use]
pub(super) fn doubt(text: &str) -> Option<&'static str> {
    if is_placeholder(text) {
        Some("it is a well-known placeholder, which others try first")
    } else if is_template(text) {
        Some("it looks like a template that was not filled in")
    } else if text.contains(' ') {
        Some("it holds a space; a comment needs a line of its own that begins with #")
    } else {
        guessable(text).map(Guessable::why)
    }
}

/// In lower case, without signs, and without digits at the end.
const PLACEHOLDERS: &[&str] = &[
    "admin",
    "apikey",
    "changeit",
    "changeme",
    "changethis",
    "default",
    "dummy",
    "example",
    "examplesecret",
    "fixme",
    "foo",
    "foobar",
    "hunter",
    "insertsecrethere",
    "insertyoursecrethere",
    "key",
    "letmein",
    "mypassword",
    "mysecret",
    "mysecretkey",
    "mysharedsecret",
    "none",
    "null",
    "passwd",
    "password",
    "passw0rd",
    "placeholder",
    "qwerty",
    "replaceme",
    "replacethis",
    "replacewithyoursecret",
    "secret",
    "secretkey",
    "sharedsecret",
    "supersecret",
    "tbd",
    "test",
    "testing",
    "testsecret",
    "todo",
    "token",
    "topsecret",
    "undefined",
    "verysecret",
    "yourpassword",
    "yoursecret",
    "yoursecrethere",
    "yoursecretkey",
    "yoursharedsecret",
    "yoursharedsecrethere",
];

fn is_placeholder(text: &str) -> bool {
    let folded: Zeroizing<String> = Zeroizing::new(
        text.bytes()
            .filter(u8::is_ascii_alphanumeric)
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect(),
    );
    let without_number = folded.trim_end_matches(|last: char| last.is_ascii_digit());
    PLACEHOLDERS.contains(&folded.as_str()) || PLACEHOLDERS.contains(&without_number)
}

fn is_template(text: &str) -> bool {
    let is_wrapped =
        |open, close| text.len() > 2 && text.starts_with(open) && text.ends_with(close);
    let is_variable = text
        .strip_prefix('$')
        .is_some_and(|name| is_name(name, b"_"));
    ["${", "$(", "{{"].iter().any(|sign| text.contains(sign))
        || is_wrapped('<', '>')
        || is_wrapped('%', '%')
        || is_variable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_markup_are_told_from_secrets() {
        for (text, found) in [
            ("SHARED_SECRET=abcdef", Form::Assignment),
            ("export A=b", Form::Assignment),
            ("a = b", Form::Assignment),
            ("a==b", Form::Assignment),
            ("SHARED_SECRET=", Form::Assignment),
            ("SHARED_SECRET=\"abc\"", Form::Assignment),
            ("<<<<<<< HEAD", Form::MergeMarker),
            ("=======", Form::MergeMarker),
            (">>>>>>> branch", Form::MergeMarker),
            ("||||||| base", Form::MergeMarker),
            ("{", Form::Json),
            ("}", Form::Json),
            ("[", Form::Json),
            ("]},", Form::Json),
            ("{\"secret\":\"abc\"}", Form::Json),
            ("\"secret\": \"abc\",", Form::Json),
            ("[default]", Form::Json),
            ("---", Form::Yaml),
            ("- abc", Form::Yaml),
            ("secret: abc", Form::Yaml),
            ("X-Shared-Secret: abc", Form::Yaml),
            ("secrets:", Form::Yaml),
            ("\"abc\"", Form::Quoted),
            ("'abc',", Form::Quoted),
            ("`abc`", Form::Quoted),
            ("-----BEGIN PRIVATE KEY-----", Form::Pem),
        ] {
            assert_eq!(form(text), Some(found), "{text}");
        }
        for secret in [
            "c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
            "c2VjcmV0LXNlY3JldC1zZWNyZQ==",
            "//+/c2VjcmV0=",
            "abc:def",
            "a\"b'c",
            "{x8&\"2",
            "-abc",
            "9a=b",
            "a+b=c",
            "x=",
            "correct-horse-battery-staple-0123",
        ] {
            assert_eq!(form(secret), None, "{secret}");
        }
    }

    #[test]
    fn placeholders_templates_and_remarks_earn_a_doubt() {
        for text in [
            "changeme",
            "Change-Me",
            "CHANGE_ME_123",
            "secret",
            "Passw0rd",
            "password1",
            "xxxxxxxxxxxxxxxxxxxx",
            "your_shared_secret_here",
            "${SHARED_SECRET}",
            "{{ .Values.secret }}",
            "<your-secret>",
            "$SECRET",
            "new-secret-0123456 # since Friday",
        ] {
            assert!(doubt(text).is_some(), "{text}");
        }
        for text in [
            "Kq7-vTz2mWd9-LxRb4nHs8-cPj3yFg6u",
            "c2VjcmV0LXNlY3JldC1zZWNyZQ==",
        ] {
            assert_eq!(doubt(text), None, "{text}");
        }
    }
}
