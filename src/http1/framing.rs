//! The header fields that the loop settles itself: framing, persistence, Host, Expect.

use super::error::RequestError;
use super::target;
use super::token::is_token_byte;

/// What becomes of the connection after the answer (RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// It stays, as HTTP/1.1 has it by default.
    Keep,
    /// It stays, and the answer says so, because HTTP/1.0 asked.
    KeepSaid,
    /// It closes, and the answer says so.
    Close,
}

/// Largest `Content-Length` that is read and dropped; past it the connection closes.
pub const MAX_DISCARDED_BODY: u64 = 65536;

/// Whether the field frames the message or the connection.
pub(crate) fn is_framing(name: &str) -> bool {
    [
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
    ]
    .iter()
    .any(|framing| name.eq_ignore_ascii_case(framing))
}

/// What the framing fields of one head come to.
pub(crate) struct Framing {
    /// `u64::MAX` where a transfer coding hides it.
    pub(crate) body: u64,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) unknown_expectation: bool,
}

impl Framing {
    pub(crate) fn read(fields: &[httparse::Header<'_>], old: bool) -> Result<Self, RequestError> {
        let mut length = None;
        let mut codings = None::<Codings>;
        let (mut close, mut keep_alive) = (false, false);
        let (mut awaits_continue, mut unknown_expectation) = (false, false);
        for field in fields {
            let (name, value) = (field.name, field.value);
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(content_length(value, length)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                codings.get_or_insert_default().add(value);
            } else if name.eq_ignore_ascii_case("connection") {
                for option in list(value) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("expect") && !old {
                // RFC 9110, section 10.1.1: HTTP/1.0 has no Expect.
                for expectation in list(value) {
                    let known = expectation.eq_ignore_ascii_case(b"100-continue");
                    awaits_continue |= known;
                    unknown_expectation |= !known;
                }
            }
        }
        let close_by_coding = codings.is_some();
        if let Some(codings) = codings {
            if length.is_some() {
                return Err(RequestError::bad("length_and_transfer_coding"));
            }
            codings.check(old)?;
        }
        let body = length.map_or(if close_by_coding { u64::MAX } else { 0 }, number);
        if body > MAX_DISCARDED_BODY || (body > 0 && (awaits_continue || unknown_expectation)) {
            close = true;
        }
        let keep_alive = match (close, old, keep_alive) {
            (true, ..) | (false, true, false) => KeepAlive::Close,
            (false, true, true) => KeepAlive::KeepSaid,
            (false, false, _) => KeepAlive::Keep,
        };
        Ok(Self {
            body,
            keep_alive,
            unknown_expectation,
        })
    }
}

/// RFC 9112, section 3.2: exactly one Host in HTTP/1.1, at most one in HTTP/1.0.
pub(crate) fn check_host(fields: &[httparse::Header<'_>], old: bool) -> Result<(), RequestError> {
    let mut hosts = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next()) {
        (None, _) if old => Ok(()),
        (None, _) => Err(RequestError::bad("missing_host")),
        (Some(_), Some(_)) => Err(RequestError::bad("repeated_host")),
        (Some(host), None) => target::is_host(host.value)
            .then_some(())
            .ok_or(RequestError::bad("malformed_host")),
    }
}

/// RFC 9110, section 8.6, and RFC 9112, section 6.3: digits, and every repetition
/// equal. Returns the digits without leading zeros, as many as there are.
fn content_length<'a>(
    value: &'a [u8],
    mut known: Option<&'a [u8]>,
) -> Result<&'a [u8], RequestError> {
    const MALFORMED: RequestError = RequestError::bad("malformed_content_length");
    for member in value.split(|&byte| byte == b',') {
        let member = member.trim_ascii();
        if member.is_empty() || !member.iter().all(u8::is_ascii_digit) {
            return Err(MALFORMED);
        }
        let zeros = member.iter().take_while(|digit| **digit == b'0').count();
        let length = &member[zeros..];
        if known.is_some_and(|known| known != length) {
            return Err(RequestError::bad("unequal_content_length"));
        }
        known = Some(length);
    }
    known.ok_or(MALFORMED)
}

/// A number past `u64` is a large one.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// The transfer codings of all `Transfer-Encoding` fields, in order (RFC 9112, section 6.1).
#[derive(Default)]
struct Codings {
    chunked: usize,
    others: bool,
    last_is_chunked: bool,
    malformed: bool,
}

impl Codings {
    fn add(&mut self, value: &[u8]) {
        let mut any = false;
        for coding in list(value) {
            any = true;
            self.last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += usize::from(self.last_is_chunked);
            self.others |= !self.last_is_chunked;
            let name = coding
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default();
            let name = name.trim_ascii_end();
            self.malformed |= name.is_empty() || !name.iter().copied().all(is_token_byte);
        }
        self.malformed |= !any;
    }

    fn check(&self, old: bool) -> Result<(), RequestError> {
        if old {
            // RFC 9112, section 6.1: its framing is faulty.
            return Err(RequestError::bad("transfer_coding_in_http_1_0"));
        }
        if self.malformed || !self.last_is_chunked || self.chunked != 1 {
            return Err(RequestError::bad("faulty_transfer_coding"));
        }
        if self.others {
            return Err(RequestError::new(501, "unknown_transfer_coding"));
        }
        Ok(())
    }
}

/// The non-empty members of a comma-separated list (RFC 9110, section 5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
