//! Bytes -> [`Request`], or the status that refuses them.
//!
//! Judged by RFC 9110 and RFC 9112, strictly: what two parsers could read in two
//! ways is refused. The outcome depends on the bytes alone, never on how they were
//! split into packets.

use std::net::SocketAddr;

use httparse::EMPTY_HEADER;
use tiny_http::{HTTPVersion, Header, Method, Request, TestRequest};

use super::error::RequestError;
use super::framing::{self, Framing, KeepAlive};
use super::scan::Scan;
use super::{target, token};

/// Most header fields; more are a 431.
pub const MAX_FIELDS: usize = 100;
/// A whole request head that could be read.
pub struct Head {
    /// Bytes that it took, leading empty line and final empty line included.
    pub length: usize,
    /// What to hand to the function, or the answer that needs none of it.
    pub request: Result<Request, RequestError>,
    /// Whether the method is HEAD, whose answer has no body.
    pub is_head: bool,
    /// Bytes of the body that follows; `u64::MAX` where a transfer coding hides it.
    pub body: u64,
    /// What becomes of the connection.
    pub keep_alive: KeepAlive,
}

/// The outcome of reading the start of a buffer.
pub enum Outcome {
    /// Good so far, and not at its end.
    Partial,
    /// A whole head.
    Complete(Head),
    /// Not HTTP that this server reads; answer, then close.
    Refused(RequestError),
}

/// Whether what is refused is a HEAD request, whose answer has no body (RFC 9110, section 9.3.2).
pub(crate) fn is_head(bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(b"\r\n")
        .unwrap_or(bytes)
        .starts_with(b"HEAD ")
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

fn parse(bytes: &[u8], scan: &Scan, peer: SocketAddr) -> Result<Head, RequestError> {
    let line = RequestLine::parse(bytes, scan)?;
    // Clearing a hundred slots takes longer than reading what a request mostly has.
    let lines = &bytes[scan.request_line_end + 2..];
    let (mut few, mut many);
    few = [EMPTY_HEADER; FEW_FIELDS];
    let fields = match parse_fields(lines, &mut few) {
        Err(refusal) if refusal == TOO_MANY => {
            many = [EMPTY_HEADER; MAX_FIELDS];
            parse_fields(lines, &mut many)
        }
        parsed => parsed,
    }?;
    let framing = Framing::read(fields, line.old)?;
    framing::check_host(fields, line.old)?;

    // RFC 9110, section 9.3.1: GET and HEAD have no use for a body. A proxy that asks by
    // them may copy the client's Content-Length and send nothing; after a close it cannot
    // be that its next request is taken for the body, or waits behind it.
    let reading = matches!(line.method, Some(Method::Get | Method::Head));
    let mut head = Head {
        length: bytes.len(),
        request: Err(RequestError::new(501, "unknown_method")),
        is_head: line.method == Some(Method::Head),
        body: framing.body,
        keep_alive: if reading && framing.body > 0 {
            KeepAlive::Close
        } else {
            framing.keep_alive
        },
    };
    if let Some(method) = line.method {
        head.request = if framing.unknown_expectation {
            Err(RequestError::new(417, "unknown_expectation"))
        } else {
            Ok(request(method, &line.target, line.old, fields, peer))
        };
    }
    Ok(head)
}

const FEW_FIELDS: usize = 16;
const TOO_MANY: RequestError = RequestError::new(431, "too_many_fields");

fn parse_fields<'b, 'h>(
    lines: &'b [u8],
    slots: &'h mut [httparse::Header<'b>],
) -> Result<&'h [httparse::Header<'b>], RequestError> {
    match httparse::parse_headers(lines, slots) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(fields),
        Err(httparse::Error::TooManyHeaders) => Err(TOO_MANY),
        Ok(httparse::Status::Partial) | Err(_) => Err(RequestError::bad("malformed_field")),
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
        if framing::is_framing(field.name) {
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
    fn parse(bytes: &'a [u8], scan: &Scan) -> Result<Self, RequestError> {
        let line = &bytes[scan.start..scan.request_line_end];
        let last_space = line.iter().rposition(|&byte| byte == b' ');
        let (2, Some(end)) = (scan.spaces, last_space) else {
            return Err(RequestError::bad("malformed_request_line"));
        };
        let (method, version) = (&bytes[scan.start..scan.target - 1], &line[end + 1..]);
        let target = &bytes[scan.target..scan.start + end];
        let known = known_method(method);
        let is_token = || !method.is_empty() && method.iter().copied().all(token::is_token_byte);
        if known.is_none() && !is_token() {
            return Err(RequestError::bad("malformed_method"));
        }
        let old = match version {
            b"HTTP/1.0" => true,
            // RFC 9110, section 2.5: a higher minor version is read as the one known.
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => false,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(RequestError::new(505, "unknown_version"));
            }
            _ => return Err(RequestError::bad("malformed_version")),
        };
        let options = known == Some(Method::Options);
        let target =
            target::Target::parse(target, options).ok_or(RequestError::bad("malformed_target"))?;
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
