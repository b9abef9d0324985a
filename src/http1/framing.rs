//! The header fields that the loop settles itself: framing, persistence, Host, Expect.

use super::error::RequestError;
use super::fields::{Field, list};
use super::target::is_host;
use super::token::is_token_byte;
use super::version::Version;

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
#[inline]
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

/// How long the body is that follows a request's head (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No field speaks of one.
    None,
    /// `Content-Length`, in bytes; `u64::MAX` for what is larger too.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl BodyLength {
    /// In bytes; `u64::MAX` where a transfer coding hides it.
    #[must_use]
    pub fn at_most(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Sized(length) => length,
            Self::Chunked => u64::MAX,
        }
    }
}

/// What the fields of one request come to that the loop settles itself.
pub(crate) struct Framing<'b> {
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) expects_continue: bool,
    pub(crate) unknown_expectation: bool,
    /// `Connection: upgrade` with exactly one protocol in `Upgrade`, websocket (RFC 6455).
    pub(crate) asks_for_websocket: bool,
}

impl<'b> Framing<'b> {
    pub(crate) fn read(fields: &[Field<'b>], version: Version) -> Result<Self, RequestError> {
        let mut length = None;
        let mut codings = None::<Codings>;
        let (mut hosts, mut host) = (0, None);
        let (mut close, mut keep_alive, mut upgrade) = (false, false, false);
        let (mut protocols, mut websocket) = (0, false);
        let (mut expects_continue, mut unknown_expectation) = (false, false);
        for field in fields {
            let (name, value) = (field.name, field.value);
            // The length of a name tells nearly all of them apart.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    hosts += 1;
                    host = Some(value);
                }
                // RFC 9110, section 10.1.1: HTTP/1.0 has no Expect.
                6 if name.eq_ignore_ascii_case("expect") && version == Version::Http11 => {
                    for expectation in list(value) {
                        let known = expectation.eq_ignore_ascii_case(b"100-continue");
                        expects_continue |= known;
                        unknown_expectation |= !known;
                    }
                }
                7 if name.eq_ignore_ascii_case("upgrade") => {
                    for protocol in list(value) {
                        protocols += 1;
                        websocket |= protocol.eq_ignore_ascii_case(b"websocket");
                    }
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for option in list(value) {
                        close |= option.eq_ignore_ascii_case(b"close");
                        keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                        upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(content_length(value, length)?);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    codings.get_or_insert_default().add(value);
                }
                _ => {}
            }
        }
        let body = match (codings, length) {
            (None, None) => BodyLength::None,
            (None, Some(digits)) => BodyLength::Sized(number(digits)),
            (Some(_), Some(_)) => return Err(RequestError::bad("length_and_transfer_coding")),
            (Some(codings), None) => {
                codings.check(version)?;
                BodyLength::Chunked
            }
        };
        // RFC 9112, section 3.2: exactly one Host in HTTP/1.1, at most one in HTTP/1.0.
        match host {
            None if version == Version::Http11 => return Err(RequestError::bad("missing_host")),
            Some(_) if hosts > 1 => return Err(RequestError::bad("repeated_host")),
            Some(host) if !is_host(host) => return Err(RequestError::bad("malformed_host")),
            _ => {}
        }
        Ok(Self {
            body,
            keep_alive: match (close, version, keep_alive) {
                (true, ..) | (false, Version::Http10, false) => KeepAlive::Close,
                (false, Version::Http10, true) => KeepAlive::KeepSaid,
                (false, Version::Http11, _) => KeepAlive::Keep,
            },
            host,
            expects_continue,
            unknown_expectation,
            asks_for_websocket: upgrade && websocket && protocols == 1,
        })
    }
}

/// RFC 9110, section 8.6, and RFC 9112, section 6.3: digits, and every repetition
/// equal. Returns the digits without leading zeros, as many as there are.
pub(crate) fn content_length<'a>(
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
pub(crate) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// The transfer codings of all `Transfer-Encoding` fields, in order (RFC 9112, section 6.1).
#[derive(Default)]
pub(crate) struct Codings {
    chunked: usize,
    others: bool,
    last_is_chunked: bool,
    malformed: bool,
}

impl Codings {
    pub(crate) fn add(&mut self, value: &[u8]) {
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

    pub(crate) fn check(&self, version: Version) -> Result<(), RequestError> {
        if version == Version::Http10 {
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
