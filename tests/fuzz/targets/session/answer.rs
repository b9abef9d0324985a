//! Answers: how far one goes, and what the client is given.

use std::fmt;

use origin_guard::http1::body::{ChunkedDecoder, Piece};
use origin_guard::http1::response::{Asked, ResponseBody, ResponseOutcome, read_response};
use origin_guard::http1::scan::Scan;

const LIMIT: usize = 2 * 65536;

/// How far an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes.
    Ends(usize),
    /// It opens a tunnel.
    Tunnel,
    /// It goes on, or is not an answer.
    Open,
}

/// One answer as a client understands it.
pub struct Given {
    pub status: u16,
    /// But for the date.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub extent: Extent,
}

impl Given {
    /// Whether it is the program's own answer in place of a backend's.
    pub fn is_bad_gateway(&self) -> bool {
        let is_own =
            |(name, value): &(String, Vec<u8>)| name == "Server" && value == b"origin-guard";
        self.status == 502 && self.fields.iter().any(is_own)
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.status)?;
        for (name, value) in &self.fields {
            write!(to, " {name}: {}", value.escape_ascii())?;
        }
        write!(to, " {:?} {}", self.extent, self.body.escape_ascii())
    }
}

/// Where the first answer in `bytes` ends, interim ones included.
pub fn extent(bytes: &[u8], is_head: bool, upgrades: bool) -> Extent {
    let mut at = 0;
    loop {
        match one(&bytes[at..], Asked { is_head, upgrades }) {
            Ok(Some(given)) => match given.extent {
                Extent::Ends(length) if is_interim(&given) => at += length,
                Extent::Ends(length) => return Extent::Ends(at + length),
                other => return other,
            },
            Ok(None) | Err(_) => return Extent::Open,
        }
    }
}

pub fn is_interim(given: &Given) -> bool {
    given.status < 200 && given.status != 101
}

/// The answer that `bytes` begin with; `None` where its head is not whole.
///
/// # Errors
///
/// Why it is no answer, or its body no body.
pub fn one(bytes: &[u8], asked: Asked) -> Result<Option<Given>, &'static str> {
    let outcome = read_response(bytes, &mut Scan::default(), LIMIT, asked, |head| {
        let is_date = |name: &str| name.eq_ignore_ascii_case("date");
        let fields = head.fields.iter().filter(|field| !is_date(field.name));
        let given = Given {
            status: head.status,
            fields: fields
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect(),
            body: Vec::new(),
            extent: Extent::Open,
        };
        (given, head.length, head.body)
    });
    let (mut given, length, body) = match outcome {
        ResponseOutcome::Partial => return Ok(None),
        ResponseOutcome::Malformed(error) => return Err(error.reason),
        ResponseOutcome::Complete(complete) => complete,
    };
    if given.status == 101 {
        given.extent = Extent::Tunnel;
        return Ok(Some(given));
    }
    let rest = &bytes[length..];
    match body {
        ResponseBody::None => given.extent = Extent::Ends(length),
        ResponseBody::Sized(size) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            given.body = rest[..rest.len().min(size)].to_vec();
            if size <= rest.len() {
                given.extent = Extent::Ends(length + size);
            }
        }
        ResponseBody::Chunked => {
            let (mut decoder, mut at) = (ChunkedDecoder::default(), 0);
            loop {
                let (used, piece) = decoder.next(&rest[at..]).map_err(|error| error.reason)?;
                at += used;
                match piece {
                    Piece::Data(data) => given.body.extend_from_slice(data),
                    Piece::NeedMore => break,
                    Piece::End => {
                        given.body.extend_from_slice(decoder.trailers());
                        given.extent = Extent::Ends(length + at);
                        break;
                    }
                }
            }
        }
        ResponseBody::UntilClose => given.body = rest.to_vec(),
    }
    Ok(Some(given))
}
