//! What the client of a connection is given.

use origin_guard::http1::body::{ChunkedDecoder, Piece};
use origin_guard::http1::response::{Asked, ResponseBody, ResponseOutcome, read_response};
use origin_guard::http1::scan::Scan;

const LIMIT: usize = 1 << 20;

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection ends behind it.
    pub(crate) closes: bool,
    pub(crate) body: Vec<u8>,
    /// Whether it is not whole.
    pub(crate) breaks_off: bool,
}

/// The final answers in `bytes`; `is_head` tells of each request whether it is a HEAD, and
/// those behind the last are none.
pub(crate) fn answers(bytes: &[u8], is_head: impl Fn(usize) -> bool) -> Vec<Answer> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let asked = Asked {
            is_head: is_head(all.len()),
            upgrades: false,
        };
        let outcome = read_response(rest, &mut Scan::default(), LIMIT, asked, |head| {
            let answer = Answer {
                status: head.status,
                closes: !head.keeps,
                body: Vec::new(),
                breaks_off: false,
            };
            (answer, head.length, head.body)
        });
        let ResponseOutcome::Complete((mut answer, length, framing)) = outcome else {
            panic!("{outcome:?}", outcome = rest.escape_ascii().to_string());
        };
        let rest = &rest[length..];
        let (body, taken) = body(rest, framing);
        answer.body = body;
        at += length + taken.unwrap_or(rest.len());
        answer.breaks_off = taken.is_none();
        answer.closes |= answer.breaks_off;
        if answer.status >= 200 {
            all.push(answer);
        }
    }
    all
}

/// The body, and how many bytes it takes; `None` where it is not whole.
fn body(bytes: &[u8], framing: ResponseBody) -> (Vec<u8>, Option<usize>) {
    match framing {
        ResponseBody::None => (Vec::new(), Some(0)),
        ResponseBody::UntilClose => (bytes.into(), Some(bytes.len())),
        ResponseBody::Sized(length) => {
            let length = usize::try_from(length).expect("a length");
            let there = bytes.len().min(length);
            (bytes[..there].into(), (there == length).then_some(length))
        }
        ResponseBody::Chunked => {
            let (mut decoder, mut at, mut body) = (ChunkedDecoder::default(), 0, Vec::new());
            loop {
                let (used, piece) = decoder.next(&bytes[at..]).expect("chunks");
                at += used;
                match piece {
                    Piece::Data(data) => body.extend(data),
                    Piece::NeedMore => return (body, None),
                    Piece::End => return (body, Some(at)),
                }
            }
        }
    }
}
