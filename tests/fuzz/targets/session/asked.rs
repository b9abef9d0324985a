//! What a client's bytes ask for, one request after the other, and which of the requests
//! may reach the backend.

use origin_guard::http1::body::{ChunkedDecoder, Piece};
use origin_guard::http1::framing::BodyLength;
use origin_guard::http1::request::{Outcome, RequestHead, read};
use origin_guard::http1::scan::Scan;

use crate::input::SECRET;

/// Longest head, the program's own.
const LIMIT: usize = 65536;
/// A path that needs no secret.
pub const PUBLIC_PATH: &str = "/p";

/// One request of the client.
#[derive(Debug)]
pub struct Asked {
    pub method: String,
    pub target: Vec<u8>,
    pub host: Option<Vec<u8>>,
    /// What has come of the body that the backend is to have.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// Whether the backend may see it.
    pub granted: bool,
    /// Whether it may be sent twice.
    pub idempotent: bool,
    pub upgrades: bool,
    /// Whether it needs no secret, and so arrives without its body.
    is_public: bool,
    /// Where what follows it begins.
    pub end: usize,
}

/// The requests that `bytes` hold, up to the first that cannot be read, and whether that
/// one is a HEAD.
pub fn asked(bytes: &[u8]) -> (Vec<Asked>, bool) {
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let outcome = read(rest, &mut Scan::default(), LIMIT, |head| {
            (one(head), head.length, head.body)
        });
        let Outcome::Complete((mut request, length, body)) = outcome else {
            return (all, is_head(rest));
        };
        at += length;
        let end = take_body(&bytes[at..], body, &mut request);
        at += end.unwrap_or_default();
        request.end = at;
        all.push(request);
        if end.is_none() {
            return (all, false);
        }
    }
}

fn is_head(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    bytes.starts_with(b"HEAD ")
}

fn one(head: &RequestHead<'_, '_>) -> Asked {
    let is_public = (head.method.is_get() || head.method.is_head())
        && head.target.path() == PUBLIC_PATH.as_bytes();
    let mut secrets = head
        .name_values()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"x-shared-secret"));
    let has_secret = secrets
        .next()
        .is_some_and(|(_, value)| value == SECRET.as_bytes())
        && secrets.next().is_none();
    let is_refused = head.refusal.is_some() || head.check_forwardable().is_err();
    Asked {
        method: head.method.as_str().to_owned(),
        target: head.target.path_and_query.to_vec(),
        host: head.host.map(<[u8]>::to_vec),
        body: Vec::new(),
        is_whole: true,
        granted: !is_refused && (is_public || has_secret),
        idempotent: head.method.is_idempotent(),
        upgrades: head.upgrades_to_websocket && !is_public,
        is_public,
        end: 0,
    }
}

/// Fills in the body. Returns how many bytes of `bytes` it takes; `None` where it does not
/// end there.
fn take_body(bytes: &[u8], body: BodyLength, request: &mut Asked) -> Option<usize> {
    let taken = match body {
        BodyLength::None => Some(0),
        BodyLength::Sized(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            request.body = bytes[..bytes.len().min(length)].to_vec();
            (length <= bytes.len()).then_some(length)
        }
        BodyLength::Chunked => take_chunks(bytes, &mut request.body),
    };
    request.is_whole = taken.is_some();
    if request.is_public {
        // Without its body it is whole.
        request.body.clear();
        request.is_whole = true;
    }
    taken
}

fn take_chunks(bytes: &[u8], body: &mut Vec<u8>) -> Option<usize> {
    let (mut decoder, mut at) = (ChunkedDecoder::default(), 0);
    loop {
        let (used, piece) = decoder.next(&bytes[at..]).ok()?;
        at += used;
        match piece {
            Piece::Data(data) => body.extend_from_slice(data),
            Piece::NeedMore => return None,
            Piece::End => return Some(at),
        }
    }
}
