//! The head of a backend's answer for the client, and its trailers.

use super::nominations::Nominations;
use super::own_fields::{Kind, OwnFields};
use super::write::{content_length, field, number};
use crate::http1::edits::AnswerEdits;
use crate::http1::fields::{Field, list, with_fields};
use crate::http1::framing::KeepAlive;
use crate::http1::response::{ResponseBody, ResponseHead};
use crate::http1::version::Version;

/// What the client can take, and what becomes of its connection.
#[derive(Clone, Copy)]
pub struct ClientSide<'a> {
    /// What its request was in.
    pub version: Version,
    /// Whether it asked by HEAD.
    pub is_head: bool,
    /// What becomes of the connection, unless the body's end is its end.
    pub keep_alive: KeepAlive,
    /// The fields that are not simply passed on.
    pub own: &'a OwnFields,
    /// What else is changed.
    pub edits: &'a AnswerEdits,
    /// For an answer that has no `Date` (RFC 9110, section 6.6.1).
    pub date: &'a str,
}

/// How the body goes out to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientBody {
    /// Not at all.
    None,
    /// As it is, so many bytes.
    Sized(u64),
    /// In chunks.
    Chunked,
    /// As it is; the connection closes after it.
    UntilClose,
}

/// What we say of an answer beside its fields.
const OWN_BYTES: usize = 256;

/// Appends the head of the answer for the client to `out`. Nothing is appended for a 100,
/// which is ours to send, nor for any interim answer to HTTP/1.0, which has none.
pub fn response_head(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_, '_>,
    client: &ClientSide<'_>,
) -> ClientBody {
    let is_interim = head.status < 200 && head.status != 101;
    if head.status == 100 || is_interim && client.version == Version::Http10 {
        return ClientBody::None;
    }
    let body = client_body(head, client);
    out.reserve(head.length + OWN_BYTES);
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, head.status);
    out.push(b' ');
    let edits = client.edits;
    if !shows(edits.secret(), "reason-phrase", head.reason) {
        out.extend_from_slice(head.reason);
    }
    out.extend_from_slice(b"\r\n");
    let nominations = Nominations::of(head.fields);
    let mut has_date = false;
    for Field { name, value } in head.fields {
        let known = client.own.find(name.as_bytes());
        let passes = match known.kind {
            _ if is_replaced(name, value, edits) => false,
            Kind::Settled | Kind::Credential => false,
            Kind::Trailer => body == ClientBody::Chunked && head.body == ResponseBody::Chunked,
            _ => !nominations.drop(name),
        };
        // It is told of whether the field passes or not.
        let shows = shows(edits.secret(), name, value);
        if passes && !shows {
            has_date |= name.eq_ignore_ascii_case("date");
            field(out, name.as_bytes(), value);
        }
    }
    if !has_date && head.status >= 200 {
        field(out, b"Date", client.date.as_bytes());
    }
    if !is_interim {
        edited(out, edits);
    }
    framing(out, head, body);
    if !is_interim {
        connection(out, head, client, body);
    }
    out.extend_from_slice(b"\r\n");
    body
}

fn client_body(head: &ResponseHead<'_, '_>, client: &ClientSide<'_>) -> ClientBody {
    match head.body {
        _ if client.is_head => ClientBody::None,
        ResponseBody::None => ClientBody::None,
        ResponseBody::Sized(length) => ClientBody::Sized(length),
        // HTTP/1.0 has no chunks; HTTP/1.1 sees by them whether a body broke off.
        _ if client.version == Version::Http10 => ClientBody::UntilClose,
        ResponseBody::Chunked | ResponseBody::UntilClose => ClientBody::Chunked,
    }
}

fn framing(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>, body: ClientBody) {
    match body {
        ClientBody::Sized(length) => content_length(out, length),
        ClientBody::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        ClientBody::UntilClose => {}
        // RFC 9110, section 8.6: the length that the body of a GET would have; where
        // there never is a body, none.
        ClientBody::None => {
            let length = head.content_length;
            if let Some(length) = length.filter(|_| head.status >= 200 && head.status != 204) {
                content_length(out, length);
            }
        }
    }
}

fn connection(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_, '_>,
    client: &ClientSide<'_>,
    body: ClientBody,
) {
    let text: &[u8] = match client.keep_alive {
        _ if head.status == 101 => b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        _ if body == ClientBody::UntilClose => b"Connection: close\r\n",
        KeepAlive::Keep => return,
        KeepAlive::KeepSaid => b"Connection: keep-alive\r\n",
        KeepAlive::Close => b"Connection: close\r\n",
    };
    out.extend_from_slice(text);
}

/// Whether a field of the backend's gives way to ours.
fn is_replaced(name: &str, value: &[u8], edits: &AnswerEdits) -> bool {
    let begins = |start: &str| {
        name.get(..start.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let is_no_store = || list(value).any(|directive| directive.eq_ignore_ascii_case(b"no-store"));
    edits.cors.is_some() && begins("access-control-")
        || edits.is_private && name.eq_ignore_ascii_case("cache-control") && !is_no_store()
}

/// The fields that an answer gets beside those of the backend.
fn edited(out: &mut Vec<u8>, edits: &AnswerEdits) {
    if edits.is_private {
        field(out, b"Cache-Control", b"private");
    }
    if let Some(cors) = &edits.cors {
        for (name, value) in cors.fields() {
            field(out, name.as_bytes(), value.as_bytes());
        }
    }
}

/// What RFC 9110, section 6.5.1, keeps out of trailers: what frames, routes, authenticates
/// or says how to read or keep the answer.
const NO_TRAILERS: [&str; 16] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "date",
    "expires",
    "location",
    "pragma",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "vary",
    "warning",
    "www-authenticate",
];

/// Whether a field shows the secret, in its value or as its name, whose case does not
/// count; logs it. An origin that sends it back would hand it to the client.
fn shows(secret: Option<&str>, name: &str, value: &[u8]) -> bool {
    let Some(secret) = secret
        .map(str::as_bytes)
        .filter(|secret| !secret.is_empty())
    else {
        return false;
    };
    let in_name = |part: &[u8]| part.eq_ignore_ascii_case(secret);
    let named_so = name.as_bytes().windows(secret.len()).any(in_name);
    let found = named_so || value.windows(secret.len()).any(|part| part == secret);
    if found {
        let shown = if named_so { "(the secret)" } else { name };
        let event = format_args!("secret_in_answer field={shown} dropped=yes");
        crate::log::refusal(None, event);
    }
    found
}

/// Appends the end of a chunked body to `out`: the last chunk, and those of the field lines
/// `raw` that may be trailers.
pub fn trailers(out: &mut Vec<u8>, raw: &[u8], own: &OwnFields, secret: Option<&str>) {
    out.extend_from_slice(b"0\r\n");
    if !raw.is_empty() {
        let lines = [raw, b"\r\n"].concat();
        let print = |fields: &[Field<'_>]| {
            for Field { name, value } in fields {
                let is_ours = own.find(name.as_bytes()).kind != Kind::Plain;
                let is_refused = NO_TRAILERS.iter().any(|no| name.eq_ignore_ascii_case(no));
                let shows = shows(secret, name, value);
                if !is_ours && !is_refused && !shows {
                    field(out, name.as_bytes(), value);
                }
            }
        };
        // The decoder has read the same lines before.
        let read = with_fields(&lines, print);
        debug_assert!(read.is_ok(), "what was decoded is well-formed");
    }
    out.extend_from_slice(b"\r\n");
}
