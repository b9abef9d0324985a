//! The request target (RFC 9112, section 3.2) and the authority (RFC 3986, section 3.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// A request target in origin-form, absolute-form or asterisk-form.
pub(crate) struct Target<'a> {
    /// Path and query, or `*`.
    pub(crate) path: Cow<'a, str>,
    /// The authority of an absolute-form.
    pub(crate) authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `None` for any other form; `*` is for OPTIONS alone.
    pub(crate) fn parse(target: &'a [u8], options: bool) -> Option<Self> {
        let text = std::str::from_utf8(target).ok()?;
        if text == "*" {
            return options.then_some(Self {
                path: text.into(),
                authority: None,
            });
        }
        if text.starts_with('/') {
            return is_path_and_query(target).then_some(Self {
                path: text.into(),
                authority: None,
            });
        }
        let (scheme, rest) = text.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || !is_host(authority) || !is_path_and_query(path.as_bytes()) {
            return None;
        }
        let path = if path.starts_with('/') {
            Cow::Borrowed(path)
        } else {
            Cow::Owned(format!("/{path}"))
        };
        Some(Self {
            path,
            authority: Some(authority),
        })
    }
}

/// `uri-host [ ":" port ]` (RFC 9110, section 7.2), or nothing at all.
pub(crate) fn is_host(value: &str) -> bool {
    if let Some(rest) = value.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        return address.parse::<Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = value.split_once(':').unwrap_or((value, ""));
    // A port without a host names nothing.
    (!host.is_empty() || value.is_empty())
        && is_port(port)
        && is_encoded(host.as_bytes(), |byte| {
            is_unreserved(byte) || is_sub_delim(byte)
        })
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.trim_start_matches('0').len() <= 5)
}

fn is_path_and_query(bytes: &[u8]) -> bool {
    is_encoded(bytes, |byte| {
        is_unreserved(byte) || is_sub_delim(byte) || matches!(byte, b':' | b'@' | b'/' | b'?')
    })
}

/// Whether every byte is `allowed` or part of a percent-encoded octet.
fn is_encoded(bytes: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            (byte, tail) if allowed(byte) => tail,
            _ => return false,
        };
    }
    true
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_sub_delim(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    )
}
