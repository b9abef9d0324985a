//! Words of commands that are shown to be copied into a shell.

use std::borrow::Cow;

/// A word as a shell reads it: in quotes where it holds what a shell gives a meaning.
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:,_-+@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}
