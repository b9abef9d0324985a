//! Bytes -> [`Request`], or the status that refuses them.
//!
//! Judged by RFC 9110 and RFC 9112, strictly: what two parsers could read in two
//! ways is refused. The outcome depends on the bytes alone, never on how they were
//! split into packets.

use std::net::SocketAddr;

use httparse::EMPTY_HEADER;
use tiny_http::{HTTPVersion, Header, Method, Request, TestRequest};

use super::fields::{self, Framing};
use super::target;

/// Longest request target, in bytes; a longer one is a 414.
pub const TARGET_BYTES: usize = 8192;
/// Most header fields; more are a 431.
pub const FIELDS: usize = 100;
/// Largest `Content-Length` that is read and dropped; past it the connection closes.
pub const BODY_BYTES: u64 = 65536;

/// Why a request is refused before any function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status that answers it.
    pub status: u16,
    /// One word for the log.
    pub reason: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

/// What becomes of the connection after the answer (RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, as HTTP/1.1 has it by default.
    Keep,
    /// It stays, and the answer says so, because HTTP/1.0 asked.
    KeepSaid,
    /// It closes, and the answer says so.
    Close,
}

/// A whole request head that could be read.
pub struct Head {
    /// Bytes that it took, leading empty line and final empty line included.
    pub length: usize,
    /// What to hand to the function, or the answer that needs none of it.
    pub request: Result<Request, Refusal>,
    /// Whether the method is HEAD, whose answer has no body.
    pub is_head: bool,
    /// Bytes of the body that follows; `u64::MAX` where a transfer coding hides it.
    pub body: u64,
    /// What becomes of the connection.
    pub persistence: Persistence,
}

/// The outcome of reading the start of a buffer.
pub enum Outcome {
    /// Good so far, and not at its end.
    Partial,
    /// A whole head.
    Complete(Head),
    /// Not HTTP that this server reads; answer, then close.
    Refused(Refusal),
}

/// Whether what is refused is a HEAD request, whose answer has no body (RFC 9110, section 9.3.2).
pub(crate) fn is_head(bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(b"\r\n")
        .unwrap_or(bytes)
        .starts_with(b"HEAD ")
}

/// How far a head has been looked through, so that no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    at: usize,
    /// Where the current line began.
    line: usize,
    /// Where the request line begins, and ends (its CR); the end is 0 until it is seen.
    start: usize,
    request_line_end: usize,
    /// Where the request target begins, and how many spaces came before `at`.
    target: usize,
    spaces: u8,
}

impl Scan {
    /// Looks for the empty line that ends the head. `Ok(Some(length))` when it is there.
    fn find_end(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, Refusal> {
        loop {
            self.skip_ordinary(bytes, limit)?;
            if self.at >= bytes.len() {
                return Ok(None);
            }
            if self.at >= limit {
                return Err(Refusal::new(431, "head_too_large"));
            }
            match bytes[self.at] {
                b'\r' => match bytes.get(self.at + 1) {
                    None => return Ok(None),
                    Some(b'\n') => {
                        if self.at + 2 > limit {
                            return Err(Refusal::new(431, "head_too_large"));
                        }
                        if self.end_line()? {
                            return Ok(Some(self.at));
                        }
                        continue;
                    }
                    Some(_) => return Err(Refusal::bad("bare_cr")),
                },
                b'\n' => return Err(Refusal::bad("bare_lf")),
                b'\t' => {}
                b' ' => {
                    self.spaces = self.spaces.saturating_add(1);
                    if self.spaces == 1 {
                        self.target = self.at + 1;
                    }
                }
                _ => return Err(Refusal::bad("control_byte")),
            }
            self.at += 1;
        }
    }

    /// Goes on to the next byte that ends the line, may not be in it or, in the request
    /// line, parts it.
    fn skip_ordinary(&mut self, bytes: &[u8], limit: usize) -> Result<(), Refusal> {
        let in_request_line = self.request_line_end == 0;
        let least = if in_request_line { b'!' } else { b' ' };
        let end = bytes.len().min(limit);
        let run = ordinary(bytes.get(self.at..end).unwrap_or_default(), least);
        self.at += run;
        let in_target = in_request_line && self.spaces == 1 && run > 0;
        if in_target && self.at - self.target > TARGET_BYTES {
            return Err(Refusal::new(414, "target_too_long"));
        }
        Ok(())
    }

    /// Takes the CRLF at `at`. `Ok(true)` where it ends the head.
    fn end_line(&mut self) -> Result<bool, Refusal> {
        let empty = self.at == self.line;
        if self.request_line_end == 0 {
            match (empty, self.at) {
                // RFC 9112, section 2.2: one empty line before the request line is ignored.
                (true, 0) => self.start = 2,
                (true, _) => return Err(Refusal::bad("empty_lines")),
                (false, at) => self.request_line_end = at,
            }
        } else if empty {
            self.at += 2;
            return Ok(true);
        }
        self.at += 2;
        self.line = self.at;
        Ok(false)
    }
}

/// How many bytes from the start on are `least` or more, and not DEL; `least` is under 128.
fn ordinary(bytes: &[u8], least: u8) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A subtraction borrows into the high bit of each byte that is smaller. A borrow
        // may reach the next byte too, so only the first one found is sure.
        let smaller = word.wrapping_sub(EACH * u64::from(least)) & !word;
        let past_del = word ^ (EACH * 0x7f);
        let del = past_del.wrapping_sub(EACH) & !past_del;
        let found = (smaller | del) & HIGH;
        if found != 0 {
            return 8 * number + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < least || *byte == 0x7f;
    bytes.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// Reads one request head from the start of `bytes`.
///
/// `scan` is what the last call on the same head left, or the default for a new one;
/// `limit` is the longest head in bytes; `peer` becomes the request's remote address.
#[must_use]
pub fn read(bytes: &[u8], scan: &mut Scan, limit: usize, peer: SocketAddr) -> Outcome {
    match scan.find_end(bytes, limit) {
        Ok(None) => Outcome::Partial,
        Ok(Some(length)) => match parse(&bytes[..length], scan, peer) {
            Ok(head) => Outcome::Complete(head),
            Err(refusal) => Outcome::Refused(refusal),
        },
        Err(refusal) => Outcome::Refused(refusal),
    }
}

fn parse(bytes: &[u8], scan: &Scan, peer: SocketAddr) -> Result<Head, Refusal> {
    let line = RequestLine::parse(bytes, scan)?;
    // Clearing a hundred slots takes longer than reading what a request mostly has.
    let lines = &bytes[scan.request_line_end + 2..];
    let (mut few, mut many);
    few = [EMPTY_HEADER; FEW_FIELDS];
    let fields = match parse_fields(lines, &mut few) {
        Err(refusal) if refusal == TOO_MANY => {
            many = [EMPTY_HEADER; FIELDS];
            parse_fields(lines, &mut many)
        }
        parsed => parsed,
    }?;
    let framing = Framing::read(fields, line.old)?;
    fields::check_host(fields, line.old)?;

    // RFC 9110, section 9.3.1: GET and HEAD have no use for a body. A proxy that asks by
    // them may copy the client's Content-Length and send nothing; after a close it cannot
    // be that its next request is taken for the body, or waits behind it.
    let reading = matches!(line.method, Some(Method::Get | Method::Head));
    let mut head = Head {
        length: bytes.len(),
        request: Err(Refusal::new(501, "unknown_method")),
        is_head: line.method == Some(Method::Head),
        body: framing.body,
        persistence: if reading && framing.body > 0 {
            Persistence::Close
        } else {
            framing.persistence
        },
    };
    if let Some(method) = line.method {
        head.request = if framing.unknown_expectation {
            Err(Refusal::new(417, "unknown_expectation"))
        } else {
            Ok(request(method, &line.target, line.old, fields, peer))
        };
    }
    Ok(head)
}

const FEW_FIELDS: usize = 16;
const TOO_MANY: Refusal = Refusal::new(431, "too_many_fields");

fn parse_fields<'b, 'h>(
    lines: &'b [u8],
    slots: &'h mut [httparse::Header<'b>],
) -> Result<&'h [httparse::Header<'b>], Refusal> {
    match httparse::parse_headers(lines, slots) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(fields),
        Err(httparse::Error::TooManyHeaders) => Err(TOO_MANY),
        Ok(httparse::Status::Partial) | Err(_) => Err(Refusal::bad("malformed_field")),
    }
}

/// Framing is settled by now, and [`TestRequest`] panics on framing that lies, so none
/// of it is handed on.
fn request(
    method: Method,
    target: &target::Target<'_>,
    old: bool,
    fields: &[httparse::Header<'_>],
    peer: SocketAddr,
) -> Request {
    let mut request = TestRequest::new()
        .with_method(method)
        .with_path(&target.path)
        .with_http_version(HTTPVersion(1, u8::from(!old)))
        .with_remote_addr(peer);
    for field in fields {
        if fields::is_framing(field.name) {
            continue;
        }
        let value = match target.authority {
            // RFC 9112, section 3.2.2: the authority in the target replaces Host.
            Some(authority) if field.name.eq_ignore_ascii_case("host") => authority.as_bytes(),
            _ => field.value,
        };
        if let Ok(header) = Header::from_bytes(field.name, ascii(value)) {
            request = request.with_header(header);
        }
    }
    request.into()
}

/// The values of `tiny_http` are ASCII. A byte past it (obs-text, RFC 9110, section 5.5)
/// becomes DEL, which no field value can hold, so that it equals no secret.
fn ascii(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if !value.is_ascii() {
        for byte in value.iter_mut().filter(|byte| !byte.is_ascii()) {
            *byte = 0x7f;
        }
    }
    value
}

struct RequestLine<'a> {
    /// `None` for a method that is well-formed and unknown.
    method: Option<Method>,
    target: target::Target<'a>,
    /// HTTP/1.0.
    old: bool,
}

impl<'a> RequestLine<'a> {
    fn parse(bytes: &'a [u8], scan: &Scan) -> Result<Self, Refusal> {
        let line = &bytes[scan.start..scan.request_line_end];
        let last_space = line.iter().rposition(|&byte| byte == b' ');
        let (2, Some(end)) = (scan.spaces, last_space) else {
            return Err(Refusal::bad("malformed_request_line"));
        };
        let (method, version) = (&bytes[scan.start..scan.target - 1], &line[end + 1..]);
        let target = &bytes[scan.target..scan.start + end];
        let known = known_method(method);
        let is_token = || !method.is_empty() && method.iter().copied().all(fields::is_token_byte);
        if known.is_none() && !is_token() {
            return Err(Refusal::bad("malformed_method"));
        }
        let old = match version {
            b"HTTP/1.0" => true,
            // RFC 9110, section 2.5: a higher minor version is read as the one known.
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => false,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(Refusal::new(505, "unknown_version"));
            }
            _ => return Err(Refusal::bad("malformed_version")),
        };
        let options = known == Some(Method::Options);
        let target =
            target::Target::parse(target, options).ok_or(Refusal::bad("malformed_target"))?;
        Ok(Self {
            method: known,
            target,
            old,
        })
    }
}

fn known_method(method: &[u8]) -> Option<Method> {
    Some(match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"CONNECT" => Method::Connect,
        b"OPTIONS" => Method::Options,
        b"TRACE" => Method::Trace,
        b"PATCH" => Method::Patch,
        _ => return None,
    })
}
