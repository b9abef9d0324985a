//! What one input stands for.
//!
//! The first four bytes say how things are split and whether TLS is tried; then come what the client sends and what
//! the backend answers, each answer on its own, with two NULs between them. In what the
//! client sends a byte 1 stands for the field with the right secret. The first byte of an
//! answer says what the backend does beside it.

/// The right secret.
pub const SECRET: &str = "s3cret";
const SECRET_FIELD: &[u8] = b"X-Shared-Secret: s3cret\r\n";
/// What a record of a TLS handshake begins with (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// One of so many inputs is played inside TLS as well: most of that time is the handshake's,
/// which is the same for all.
const TLS_ONE_IN: u8 = 8;
/// Most pieces that anything is sent in.
const MOST_PIECES: usize = 12;

/// When the client says that it has nothing more to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Never.
    Open,
    /// Once all that it has sent has had its effect.
    Later,
    /// With its last byte.
    AtOnce,
}

/// What the backend says to one request.
pub struct Answer {
    pub bytes: Vec<u8>,
    /// It closes its connection behind the answer.
    pub closes: bool,
    /// It answers as soon as it has the head.
    pub early: bool,
}

pub struct Input {
    pub client: Vec<u8>,
    pub end: End,
    pub answers: Vec<Answer>,
    /// It is played inside TLS as well.
    pub in_tls: bool,
    /// Bytes that the client, and the backend, send at once.
    pub client_piece: usize,
    pub backend_piece: usize,
}

impl Input {
    /// `None` where the bytes stand for nothing.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[end, client_piece, backend_piece, tls], rest) = bytes.split_first_chunk::<4>()?;
        let mut parts = split(rest).into_iter();
        let client = parts.next()?;
        let answers = parts
            .filter_map(|part| {
                let (&does, bytes) = part.split_first()?;
                Some(Answer {
                    bytes: bytes.to_vec(),
                    closes: does & 1 == 1,
                    early: does & 2 == 2,
                })
            })
            .collect();
        let client = with_secrets(client);
        Some(Self {
            end: match end % 3 {
                0 => End::Open,
                1 => End::Later,
                _ => End::AtOnce,
            },
            // What begins like TLS means something else without it.
            in_tls: tls % TLS_ONE_IN == 1 && !client.starts_with(&[HANDSHAKE]),
            client_piece: piece(client_piece, client.len()),
            backend_piece: piece(backend_piece, rest.len()),
            client,
            answers,
        })
    }
}

fn piece(wanted: u8, length: usize) -> usize {
    (1 + usize::from(wanted)).max(length.div_ceil(MOST_PIECES))
}

fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes.windows(2).position(|two| two == [0, 0]) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + 2..];
    }
    parts.push(bytes);
    parts
}

fn with_secrets(bytes: &[u8]) -> Vec<u8> {
    let mut client = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == 1 {
            client.extend_from_slice(SECRET_FIELD);
        } else {
            client.push(byte);
        }
    }
    client
}
