//! The request target (RFC 9112, section 3.2) and the authority (RFC 3986, section 3.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// A request target, byte for byte as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// Path and query in origin-form, or `*`. Any byte may stand in it but control bytes,
    /// the space and `#`; nothing is decoded.
    pub path_and_query: Cow<'b, [u8]>,
    /// The authority of an absolute-form.
    pub authority: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// `None` for any other form; `*` is for OPTIONS alone. The scan has refused control
    /// bytes and spaces already.
    pub(crate) fn parse(target: &'b [u8], is_options: bool) -> Option<Self> {
        // A fragment is the client's own (RFC 9110, section 4.2.5): what reads on past
        // it reads another path than what stops there.
        if target.contains(&b'#') {
            return None;
        }
        match target {
            [b'/', ..] => Some(Self {
                path_and_query: Cow::Borrowed(target),
                authority: None,
            }),
            b"*" => is_options.then_some(Self {
                path_and_query: Cow::Borrowed(target),
                authority: None,
            }),
            _ => Self::absolute(target, is_options),
        }
    }

    fn absolute(target: &'b [u8], is_options: bool) -> Option<Self> {
        let colon = target.iter().position(|&byte| byte == b':')?;
        let (scheme, rest) = target.split_at(colon);
        let rest = rest.strip_prefix(b"://")?;
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return None;
        }
        let end = rest.iter().position(|byte| b"/?".contains(byte));
        let (authority, path_and_query) = rest.split_at(end.unwrap_or(rest.len()));
        if authority.is_empty() || !is_host(authority) {
            return None;
        }
        let path_and_query = match path_and_query {
            [b'/', ..] => Cow::Borrowed(path_and_query),
            // RFC 9112, section 3.2.4.
            [] if is_options => Cow::Borrowed(&b"*"[..]),
            _ => Cow::Owned([b"/", path_and_query].concat()),
        };
        Some(Self {
            path_and_query,
            authority: Some(authority),
        })
    }

    /// The path: the bytes before any `?`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let mut parts = self.path_and_query.split(|&byte| byte == b'?');
        parts.next().unwrap_or_default()
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
    (!host.is_empty() || value.is_empty()) && is_port(port) && is_registered_name(host)
}

fn is_port(port: &[u8]) -> bool {
    let zeros = port.iter().take_while(|&&byte| byte == b'0').count();
    port.len() - zeros <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// Which bytes stand for themselves in a registered name: `unreserved` and `sub-delims`
/// of RFC 3986, section 2.
static IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether every byte stands for itself or is part of a percent-encoded octet.
fn is_registered_name(bytes: &[u8]) -> bool {
    let stands_for_itself = |byte: &u8| IN_NAME[usize::from(*byte)];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !stands_for_itself(byte)) {
        let [b'%', first, second, after @ ..] = &rest[at..] else {
            return false;
        };
        if !first.is_ascii_hexdigit() || !second.is_ascii_hexdigit() {
            return false;
        }
        rest = after;
    }
    true
}
