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
            return is_encoded(target, &IN_PATH_AND_QUERY).then_some(Self {
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
        let is_path_and_query = is_encoded(path.as_bytes(), &IN_PATH_AND_QUERY);
        if authority.is_empty() || !is_host(authority.as_bytes()) || !is_path_and_query {
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
pub(crate) fn is_host(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else {
            return false;
        };
        let (address, port) = (&rest[..end], &rest[end + 1..]);
        let address = std::str::from_utf8(address).unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port));
    }
    let colon = value.iter().position(|&byte| byte == b':');
    let (host, port) = colon.map_or((value, &b""[..]), |at| (&value[..at], &value[at + 1..]));
    // A port without a host names nothing.
    (!host.is_empty() || value.is_empty()) && is_port(port) && is_encoded(host, &IN_HOST)
}

fn is_port(port: &[u8]) -> bool {
    let zeros = port.iter().take_while(|&&byte| byte == b'0').count();
    port.iter().all(u8::is_ascii_digit) && port.len() - zeros <= 5
}

/// Which bytes stand for themselves in a registered name, and in a path or a query.
static IN_HOST: [bool; 256] = table(b"");
static IN_PATH_AND_QUERY: [bool; 256] = table(b":@/?");

/// `unreserved` and `sub-delims` of RFC 3986, section 2, and `more`.
const fn table(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let lists: [&[u8]; 3] = [b"-._~", b"!$&'()*+,;=", more];
    let mut list = 0;
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            table[lists[list][at] as usize] = true;
            at += 1;
        }
        list += 1;
    }
    table
}

/// Whether every byte stands for itself or is part of a percent-encoded octet.
fn is_encoded(bytes: &[u8], for_themselves: &[bool; 256]) -> bool {
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        let mut is_digit = || rest.next().is_some_and(u8::is_ascii_hexdigit);
        let is_octet = byte == b'%' && is_digit() && is_digit();
        if !is_octet && !for_themselves[usize::from(byte)] {
            return false;
        }
    }
    true
}
