//! Numbers as people and protocols write them.

use std::str::FromStr;

/// A whole number in digits alone; a sign, which `parse` takes, is refused.
pub(crate) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}
