//! Bytes -> [`RequestHead`], or the status that refuses them.
//!
//! Judged by RFC 9110 and RFC 9112, strictly: what two parsers could read in two
//! ways is refused. The outcome depends on the bytes alone, never on how they were
//! split into packets.

use std::borrow::Cow;

use tiny_http::{HTTPVersion, Header, Request, TestRequest};

use super::error::RequestError;
use super::fields::{Field, FieldsError, with_fields};
use super::framing::{self, BodyLength, Framing, KeepAlive, MAX_DISCARDED_BODY};
use super::method::Method;
use super::scan::Scan;
use super::target::Target;
use super::version::Version;
use crate::net::Peer;

/// A whole request head, borrowed from the buffer (`'b`) and the slots of its fields (`'h`).
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// Bytes that it took, leading empty line and final empty line included.
    pub length: usize,
    /// The method.
    pub method: Method<'b>,
    /// The target.
    pub target: Target<'b>,
    /// The version.
    pub version: Version,
    /// The authority that is asked: an absolute-form's (RFC 9112, section 3.2.2), else the
    /// value of Host. HTTP/1.0 may leave it out.
    pub host: Option<&'b [u8]>,
    /// All fields that came, in order.
    pub fields: &'h [Field<'b>],
    /// The body that follows.
    pub body: BodyLength,
    /// What becomes of the connection once the body is read.
    pub keep_alive: KeepAlive,
    /// Whether the client waits for a 100 before it sends its body.
    pub expects_continue: bool,
    /// A GET of HTTP/1.1 without body that asks for exactly the protocol websocket.
    pub upgrades_to_websocket: bool,
    /// What answers this request in place of any function. Unlike [`Outcome::Refused`] it
    /// leaves the connection what [`Self::keep_alive_without_body`] says.
    pub refusal: Option<RequestError>,
}

/// The outcome of reading the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// Good so far, and not at its end.
    Partial,
    /// Not HTTP that this server reads; answer, then close.
    Refused(RequestError),
    /// A whole head, and what was made of it.
    Complete(R),
}

/// Whether what is refused is a HEAD request, whose answer has no body (RFC 9110, section 9.3.2).
pub(crate) fn is_head(bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(b"\r\n")
        .unwrap_or(bytes)
        .starts_with(b"HEAD ")
}

/// Reads one request head from the start of `bytes`, and gives it to `then`.
///
/// `scan` is what the last call on the same head left, or the default for a new one;
/// `limit` is the longest head in bytes.
pub fn read<R>(
    bytes: &[u8],
    scan: &mut Scan,
    limit: usize,
    then: impl FnOnce(&RequestHead<'_, '_>) -> R,
) -> Outcome<R> {
    match scan.find_end(bytes, limit) {
        Ok(None) => Outcome::Partial,
        Ok(Some(length)) => match parse(&bytes[..length], scan, then) {
            Ok(made) => Outcome::Complete(made),
            Err(error) => Outcome::Refused(error),
        },
        Err(error) => Outcome::Refused(error),
    }
}

fn parse<R>(
    bytes: &[u8],
    scan: &Scan,
    then: impl FnOnce(&RequestHead<'_, '_>) -> R,
) -> Result<R, RequestError> {
    let line = RequestLine::parse(bytes, scan)?;
    let lines = &bytes[scan.request_line_end + 2..];
    let made = with_fields(lines, |fields| {
        let head = head(line, fields, bytes.len())?;
        Ok(then(&head))
    });
    match made {
        Ok(made) => made,
        Err(FieldsError::TooMany) => Err(RequestError::new(431, "too_many_fields")),
        Err(FieldsError::Malformed) => Err(RequestError::bad("malformed_field")),
    }
}

fn head<'h, 'b>(
    line: RequestLine<'b>,
    fields: &'h [Field<'b>],
    length: usize,
) -> Result<RequestHead<'h, 'b>, RequestError> {
    let framing = Framing::read(fields, line.version)?;
    Ok(RequestHead {
        length,
        upgrades_to_websocket: framing.asks_for_websocket
            && line.method.is_get()
            && line.version == Version::Http11
            && framing.body.at_most() == 0,
        host: line.target.authority.or(framing.host),
        method: line.method,
        target: line.target,
        version: line.version,
        fields,
        body: framing.body,
        keep_alive: framing.keep_alive,
        expects_continue: framing.expects_continue && framing.body.at_most() > 0,
        refusal: framing
            .unknown_expectation
            .then_some(RequestError::new(417, "unknown_expectation")),
    })
}

impl RequestHead<'_, '_> {
    /// The names and values of all fields, in order.
    #[must_use]
    pub fn name_values(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        let fields = self.fields.iter();
        fields.map(|field| (field.name.as_bytes(), field.value))
    }

    /// What becomes of the connection where the request is answered and its body, up to
    /// [`MAX_DISCARDED_BODY`], is read and dropped.
    #[must_use]
    pub fn keep_alive_without_body(&self) -> KeepAlive {
        // RFC 9110, section 9.3.1: GET and HEAD have no use for a body. A proxy that asks
        // by them may copy the client's Content-Length and send nothing; after a close it
        // cannot be that its next request is taken for the body, or waits behind it.
        let is_uncertain = self.method.is_get()
            || self.method.is_head()
            || self.expects_continue
            || self.refusal.is_some();
        match self.body.at_most() {
            0 => self.keep_alive,
            1..=MAX_DISCARDED_BODY if !is_uncertain => self.keep_alive,
            _ => KeepAlive::Close,
        }
    }

    /// Whether the request may be forwarded.
    ///
    /// # Errors
    ///
    /// 400 for a length past 2^63, which backends read in different ways; 405 for TRACE,
    /// whose answer would show the client what the gateway added.
    pub fn check_forwardable(&self) -> Result<(), RequestError> {
        match self.body {
            BodyLength::Sized(length) if i64::try_from(length).is_err() => {
                Err(RequestError::bad("length_too_large"))
            }
            _ if self.method.is_trace() => Err(RequestError::new(405, "trace")),
            _ => Ok(()),
        }
    }

    /// The same request for a plain function that answers by itself: ASCII, and without
    /// framing.
    ///
    /// Framing is settled by now, and [`TestRequest`] panics on framing that lies, so none
    /// of it is handed on.
    #[must_use]
    pub fn to_request(&self, peer: Peer) -> Request {
        let method = self.method.as_str().parse();
        let path = ascii(&self.target.path_and_query);
        let mut request = TestRequest::new()
            .with_method(method.expect("a token is ASCII"))
            .with_path(std::str::from_utf8(&path).expect("made ASCII"))
            .with_http_version(HTTPVersion(1, u8::from(self.version == Version::Http11)))
            .with_remote_addr(peer);
        for field in self.fields {
            if framing::is_framing(field.name) {
                continue;
            }
            let value = match self.host {
                Some(host) if field.name.eq_ignore_ascii_case("host") => host,
                _ => field.value,
            };
            let header = Header::from_bytes(field.name, value)
                .or_else(|()| Header::from_bytes(field.name, &*ascii(value)));
            if let Ok(header) = header {
                request = request.with_header(header);
            }
        }
        request.into()
    }
}

/// The texts of `tiny_http` are ASCII. A byte past it (obs-text, RFC 9110, section 5.5)
/// becomes DEL, which neither a target nor a field value can hold.
fn ascii(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return text.into();
    }
    text.iter().map(|byte| (*byte).min(0x7f)).collect()
}

struct RequestLine<'b> {
    method: Method<'b>,
    target: Target<'b>,
    version: Version,
}

impl<'b> RequestLine<'b> {
    fn parse(bytes: &'b [u8], scan: &Scan) -> Result<Self, RequestError> {
        let line = &bytes[scan.start..scan.request_line_end];
        let last_space = line.iter().rposition(|&byte| byte == b' ');
        let (2, Some(end)) = (scan.spaces, last_space) else {
            return Err(RequestError::bad("malformed_request_line"));
        };
        let (method, version) = (&bytes[scan.start..scan.target - 1], &line[end + 1..]);
        let target = &bytes[scan.target..scan.start + end];
        let method = Method::parse(method).ok_or(RequestError::bad("malformed_method"))?;
        let version = match version {
            b"HTTP/1.0" => Version::Http10,
            // RFC 9110, section 2.5: a higher minor version is read as the one known.
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => Version::Http11,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(RequestError::new(505, "unknown_version"));
            }
            _ => return Err(RequestError::bad("malformed_version")),
        };
        if method.is_connect() {
            // What follows would be a tunnel's bytes, in whatever form the target is.
            return Err(RequestError::new(501, "connect"));
        }
        let target = Target::parse(target, method.is_options())
            .ok_or(RequestError::bad("malformed_target"))?;
        Ok(Self {
            method,
            target,
            version,
        })
    }
}
