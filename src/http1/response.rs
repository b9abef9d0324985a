//! Bytes -> [`ResponseHead`]: a backend's answer, read as strictly as a request.

use std::fmt;

use super::error::RequestError;
use super::fields::{Field, FieldsError, list, with_fields};
use super::framing::{Codings, content_length, number};
use super::scan::Scan;
use super::version::Version;

/// Why a backend's answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseError {
    /// One word for the log.
    pub reason: &'static str,
}

impl ResponseError {
    const fn new(reason: &'static str) -> Self {
        Self { reason }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the backend's answer is faulty: {}", self.reason)
    }
}

impl std::error::Error for ResponseError {}

/// Requests and answers share the faults of lines, fields and framing.
impl From<RequestError> for ResponseError {
    fn from(error: RequestError) -> Self {
        Self::new(error.reason)
    }
}

/// What the request was that is answered; an answer cannot be read without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// HEAD, whose answer has no body (RFC 9110, section 9.3.2).
    pub is_head: bool,
    /// It asked for websocket, so that a 101 may answer it.
    pub upgrades: bool,
}

/// The body that follows an answer's head (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// The answer has none, whatever its fields say.
    None,
    /// `Content-Length`, in bytes, under 2^63.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// All that comes until the backend closes.
    UntilClose,
}

/// A whole response head, borrowed from the buffer (`'b`) and the slots of its fields (`'h`).
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// Bytes that it took, final empty line included.
    pub length: usize,
    /// The version.
    pub version: Version,
    /// From 100 to 999; under 200 another head follows, but for 101.
    pub status: u16,
    /// The reason phrase, which may be empty.
    pub reason: &'b [u8],
    /// All fields that came, in order.
    pub fields: &'h [Field<'b>],
    /// The body that follows.
    pub body: ResponseBody,
    /// What `Content-Length` says, also where no body follows (HEAD, 304).
    pub content_length: Option<u64>,
    /// Whether the backend's connection may carry another request after the body.
    pub keeps: bool,
}

/// The outcome of reading the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponseOutcome<R> {
    /// Good so far, and not at its end.
    Partial,
    /// No answer that can be forwarded; the connection is not to be used again.
    Malformed(ResponseError),
    /// A whole head, and what was made of it.
    Complete(R),
}

/// Reads one response head from the start of `bytes`, and gives it to `then`. Interim ones
/// (1xx) are heads like others.
///
/// `scan` is what the last call on the same head left, or the default for a new one;
/// `limit` is the longest head in bytes. The outcome depends on the bytes alone, never on
/// how they were split.
pub fn read_response<R>(
    bytes: &[u8],
    scan: &mut Scan,
    limit: usize,
    asked: Asked,
    then: impl FnOnce(&ResponseHead<'_, '_>) -> R,
) -> ResponseOutcome<R> {
    let parsed = match scan.find_end(bytes, limit) {
        Ok(None) => return ResponseOutcome::Partial,
        Ok(Some(length)) => parse(&bytes[..length], scan, asked, then),
        // A scan looks for a request's target; here it is the reason phrase that is long.
        Err(error) if error.status != 400 => Err(ResponseError::new("head_too_large")),
        Err(error) => Err(error.into()),
    };
    match parsed {
        Ok(made) => ResponseOutcome::Complete(made),
        Err(error) => ResponseOutcome::Malformed(error),
    }
}

fn parse<R>(
    bytes: &[u8],
    scan: &Scan,
    asked: Asked,
    then: impl FnOnce(&ResponseHead<'_, '_>) -> R,
) -> Result<R, ResponseError> {
    if scan.start != 0 {
        return Err(ResponseError::new("empty_lines"));
    }
    let line = StatusLine::parse(&bytes[..scan.request_line_end])?;
    let lines = &bytes[scan.request_line_end + 2..];
    let made = with_fields(lines, |fields| {
        let framing = Framing::read(fields, &line, asked)?;
        Ok(then(&ResponseHead {
            length: bytes.len(),
            version: line.version,
            status: line.status,
            reason: line.reason,
            fields,
            body: framing.body,
            content_length: framing.content_length,
            keeps: framing.keeps,
        }))
    });
    match made {
        Ok(made) => made,
        Err(FieldsError::TooMany) => Err(ResponseError::new("too_many_fields")),
        Err(FieldsError::Malformed) => Err(ResponseError::new("malformed_field")),
    }
}

struct StatusLine<'b> {
    version: Version,
    status: u16,
    reason: &'b [u8],
}

impl<'b> StatusLine<'b> {
    /// RFC 9112, section 4. The space before an empty reason may be missing, as it is with
    /// many servers; nothing can be read in two ways by that.
    fn parse(line: &'b [u8]) -> Result<Self, ResponseError> {
        const MALFORMED: ResponseError = ResponseError::new("malformed_status_line");
        let (version, rest) = line.split_first_chunk::<9>().ok_or(MALFORMED)?;
        let version = match version {
            b"HTTP/1.0 " => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9', b' '] => Version::Http11,
            _ => return Err(MALFORMED),
        };
        let (status, reason) = rest.split_first_chunk::<3>().ok_or(MALFORMED)?;
        if !matches!(status, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']) {
            return Err(MALFORMED);
        }
        let status = status
            .iter()
            .fold(0, |sum, digit| 10 * sum + u16::from(digit - b'0'));
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] => reason,
            _ => return Err(MALFORMED),
        };
        Ok(Self {
            version,
            status,
            reason,
        })
    }
}

/// What the fields of one answer come to.
struct Framing {
    body: ResponseBody,
    content_length: Option<u64>,
    keeps: bool,
}

impl Framing {
    fn read(
        fields: &[Field<'_>],
        line: &StatusLine<'_>,
        asked: Asked,
    ) -> Result<Self, ResponseError> {
        let mut length = None;
        let mut codings = None::<Codings>;
        let (mut close, mut keep_alive, mut upgrade) = (false, false, false);
        let (mut protocols, mut websocket) = (0, false);
        for field in fields {
            let (name, value) = (field.name, field.value);
            match name.len() {
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
        let content_length = length.map(number);
        if content_length.is_some_and(|length| i64::try_from(length).is_err()) {
            return Err(ResponseError::new("length_too_large"));
        }
        let framed = match (&codings, content_length) {
            (Some(_), Some(_)) => return Err(ResponseError::new("length_and_transfer_coding")),
            (Some(codings), None) => {
                codings.check(line.version)?;
                ResponseBody::Chunked
            }
            (None, Some(length)) => ResponseBody::Sized(length),
            (None, None) => ResponseBody::UntilClose,
        };
        if line.status == 101 {
            if !asked.upgrades {
                return Err(ResponseError::new("unasked_upgrade"));
            }
            if !(upgrade && websocket && protocols == 1) {
                return Err(ResponseError::new("upgrade_to_another_protocol"));
            }
        }
        let never_has_a_body = matches!(line.status, 100..=199 | 204);
        let body = if asked.is_head || never_has_a_body || line.status == 304 {
            ResponseBody::None
        } else {
            framed
        };
        let lies = never_has_a_body
            && !matches!(framed, ResponseBody::UntilClose | ResponseBody::Sized(0));
        let persists = match line.version {
            Version::Http10 => keep_alive && !close,
            Version::Http11 => !close,
        };
        Ok(Self {
            body,
            content_length,
            // What speaks of a body that cannot be may send one.
            keeps: persists && !lies && line.status != 101 && body != ResponseBody::UntilClose,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: Asked = Asked {
        is_head: false,
        upgrades: false,
    };
    const HEAD: Asked = Asked {
        is_head: true,
        upgrades: false,
    };
    const UPGRADE: Asked = Asked {
        is_head: false,
        upgrades: true,
    };

    type Seen = ResponseOutcome<(u16, ResponseBody, bool)>;

    fn read(bytes: &[u8], asked: Asked) -> Seen {
        read_response(bytes, &mut Scan::default(), 1000, asked, |head| {
            assert_eq!(head.length, bytes.len());
            (head.status, head.body, head.keeps)
        })
    }

    fn good(bytes: &str, asked: Asked, status: u16, body: ResponseBody, keeps: bool) {
        let wanted = ResponseOutcome::Complete((status, body, keeps));
        assert_eq!(read(bytes.as_bytes(), asked), wanted, "{bytes:?}");
    }

    #[test]
    fn bodies_are_framed_as_the_rfc_has_it() {
        use ResponseBody::{Chunked, None, Sized, UntilClose};
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let open = "HTTP/1.1 200 OK\r\n\r\n";
        good(length, GET, 200, Sized(5), true);
        good(chunked, GET, 200, Chunked, true);
        good(open, GET, 200, UntilClose, false);
        for bytes in [length, chunked, open] {
            good(bytes, HEAD, 200, None, true);
            good(&bytes.replace("200", "304"), GET, 304, None, true);
            good(&bytes.replace("200", "103"), GET, 103, None, bytes == open);
            good(&bytes.replace("200", "204"), GET, 204, None, bytes == open);
        }
        let empty = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
        good(empty, GET, 204, None, true);
        good("HTTP/1.1 999 \r\n\r\n", GET, 999, UntilClose, false);
        good("HTTP/1.1 200\r\n\r\n", GET, 200, UntilClose, false);
        good("HTTP/1.7 200 é\t!\r\n\r\n", GET, 200, UntilClose, false);
    }

    #[test]
    fn connections_persist_as_the_rfc_has_it() {
        use ResponseBody::Sized;
        for (version, connection, keeps) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: foo, CLOSE\r\n", false),
            (
                "1.1",
                "Connection: keep-alive\r\nConnection: close\r\n",
                false,
            ),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let bytes = format!("HTTP/{version} 200 OK\r\nContent-Length: 5\r\n{connection}\r\n");
            good(&bytes, GET, 200, Sized(5), keeps);
        }
    }

    #[test]
    fn a_101_is_what_was_asked_for_or_none() {
        let head = |fields: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        let right = head("Connection: Upgrade\r\nUpgrade: WebSocket\r\n");
        good(&right, UPGRADE, 101, ResponseBody::None, false);
        let reason = |bytes: &str, asked| match read(bytes.as_bytes(), asked) {
            ResponseOutcome::Malformed(error) => error.reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&right, GET), "unasked_upgrade");
        for fields in [
            "",
            "Connection: Upgrade\r\n",
            "Upgrade: websocket\r\n",
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket/13\r\n",
        ] {
            let bytes = head(fields);
            assert_eq!(
                reason(&bytes, UPGRADE),
                "upgrade_to_another_protocol",
                "{fields}"
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let field = |field: &str| format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
        for (bytes, reason) in [
            ("HTTP/1.1 200 OK\n\n".to_owned(), "bare_lf"),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n".to_owned(), "bare_lf"),
            ("HTTP/1.1 200 OK\rA: b\r\n\r\n".to_owned(), "bare_cr"),
            ("HTTP/1.1 200 O\0K\r\n\r\n".to_owned(), "control_byte"),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), "empty_lines"),
            ("HTTP/2 200 OK\r\n\r\n".to_owned(), "malformed_status_line"),
            (
                "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
                "malformed_status_line",
            ),
            (
                "http/1.1 200 OK\r\n\r\n".to_owned(),
                "malformed_status_line",
            ),
            ("ICY 200 OK\r\n\r\n".to_owned(), "malformed_status_line"),
            (
                "HTTP/1.1  200 OK\r\n\r\n".to_owned(),
                "malformed_status_line",
            ),
            ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), "malformed_status_line"),
            ("HTTP/1.1 2000\r\n\r\n".to_owned(), "malformed_status_line"),
            (
                "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
                "malformed_status_line",
            ),
            (
                "HTTP/1.1 +20 OK\r\n\r\n".to_owned(),
                "malformed_status_line",
            ),
            (
                "HTTP/1.1 200\tOK\r\n\r\n".to_owned(),
                "malformed_status_line",
            ),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "malformed_status_line"),
            (field("nonsense"), "malformed_field"),
            (field("A : b"), "malformed_field"),
            (field("A: b\r\n c"), "malformed_field"),
            (
                field("Content-Length: 5\r\nContent-Length: 6"),
                "unequal_content_length",
            ),
            (field("Content-Length: 5, 6"), "unequal_content_length"),
            (field("Content-Length: -5"), "malformed_content_length"),
            (
                field("Content-Length: 9223372036854775808"),
                "length_too_large",
            ),
            (
                field("Content-Length: 5\r\nTransfer-Encoding: chunked"),
                "length_and_transfer_coding",
            ),
            (
                field("Transfer-Encoding: identity"),
                "faulty_transfer_coding",
            ),
            (
                field("Transfer-Encoding: chunked, chunked"),
                "faulty_transfer_coding",
            ),
            (
                field("Transfer-Encoding: gzip, chunked"),
                "unknown_transfer_coding",
            ),
            (
                field("Transfer-Encoding: chunked").replace("1.1", "1.0"),
                "transfer_coding_in_http_1_0",
            ),
            (field(&"A: b\r\n".repeat(200)), "head_too_large"),
            (
                format!("HTTP/1.1 200 {}", "a".repeat(1000)),
                "head_too_large",
            ),
            ("a".repeat(1001), "head_too_large"),
        ] {
            for asked in [GET, HEAD] {
                let outcome = read(bytes.as_bytes(), asked);
                let wanted = ResponseOutcome::Malformed(ResponseError::new(reason));
                assert_eq!(outcome, wanted, "{bytes:?}");
            }
        }
    }

    /// Bytes that look like an answer more often than chance would have it.
    fn responselike() -> impl Strategy<Value = Vec<u8>> {
        let parts = prop::sample::select(vec![
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"HTTP/1.0 ",
            b"HTTP/1.1 ",
            b"204",
            b"101",
            b" ",
            b"\r\n",
            b"\r",
            b"\n",
            b"Content-Length: ",
            b"5",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Upgrade: websocket\r\nConnection: upgrade\r\n",
            b"A: b",
            b"\0",
            b"\xff",
        ]);
        prop::collection::vec(parts, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_read_alike_however_they_are_split(
            bytes in responselike(), is_head: bool, upgrades: bool,
        ) {
            let asked = Asked { is_head, upgrades };
            let read = |bytes: &[u8], scan: &mut Scan| {
                read_response(bytes, scan, 100, asked, |head| format!("{head:?}"))
            };
            let whole = read(&bytes, &mut Scan::default());
            let mut scan = Scan::default();
            let mut outcomes = (0..=bytes.len()).map(|end| read(&bytes[..end], &mut scan));
            let split = outcomes.find(|outcome| *outcome != ResponseOutcome::Partial);
            prop_assert_eq!(split.unwrap_or(ResponseOutcome::Partial), whole);
        }
    }
}
