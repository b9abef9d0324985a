//! The chunked transfer coding (RFC 9112, section 7.1): a strict decoder, and an encoder.
//!
//! What comes out does not depend on how the bytes were split into packets.

use std::fmt;

use super::fields::with_fields;

/// Longest line with a chunk's size and its extensions, in bytes. Extensions are dropped;
/// signatures of 85 bytes are the longest in common use.
const CHUNK_LINE_BYTES: usize = 1024;
/// Longest trailer section, in bytes.
const TRAILER_BYTES: usize = 16 * 1024;
/// Most digits of a chunk's size: 64 bits.
const SIZE_DIGITS: u8 = 16;

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// One word for the log.
    pub reason: &'static str,
}

impl fmt::Display for BodyError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the chunked body is faulty: {}", self.reason)
    }
}

impl std::error::Error for BodyError {}

const fn fault(reason: &'static str) -> BodyError {
    BodyError { reason }
}

/// What the decoder made of the start of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'i> {
    /// Bytes of the body; never empty.
    Data(&'i [u8]),
    /// The input is used up.
    NeedMore,
    /// The whole message is read.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size,
    /// In the extensions behind it.
    Extensions,
    /// After the CR of a chunk's line.
    SizeLf,
    /// In a chunk's data.
    Data,
    /// After it.
    DataCr,
    DataLf,
    /// In the trailer section, at the start of a line or in one.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

/// Takes a chunked body apart.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// The size that is read, then what is left of the chunk.
    left: u64,
    digits: u8,
    /// Bytes of the current chunk's line.
    line: usize,
    /// Field lines, each with its CRLF.
    trailers: Vec<u8>,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            line: 0,
            trailers: Vec::new(),
        }
    }
}

impl ChunkedDecoder {
    /// Decodes the start of `input`. Returns how many bytes of it are done with, the data
    /// included, and what they came to.
    ///
    /// # Errors
    ///
    /// Where the coding is not exactly RFC 9112's: a size without digits or past 64 bits,
    /// anything but `;` behind it, a bare CR or LF, a control byte, a line or a trailer
    /// section that is too long, a malformed trailer. The message cannot be read on.
    pub fn next<'i>(&mut self, input: &'i [u8]) -> Result<(usize, Piece<'i>), BodyError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data => {
                    let rest = &input[at..];
                    let there = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    let taken = self.left.min(there);
                    self.left -= taken;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
                    return Ok((at + taken, Piece::Data(&rest[..taken])));
                }
                State::Done => return Ok((at, Piece::End)),
                _ => self.step(byte)?,
            }
            at += 1;
        }
        let is_done = self.state == State::Done;
        Ok((at, if is_done { Piece::End } else { Piece::NeedMore }))
    }

    /// Whether the whole message is read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The field lines of the trailer section, each with its CRLF; empty where there are
    /// none, and until the message is read.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        if self.is_done() { &self.trailers } else { &[] }
    }

    /// Takes a byte that is not data.
    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        self.state = match self.state {
            State::Size => self.size(byte)?,
            State::Extensions => {
                self.line += 1;
                match byte {
                    _ if self.line > CHUNK_LINE_BYTES => return Err(fault("chunk_line_too_long")),
                    b'\r' => State::SizeLf,
                    _ if is_text(byte) => State::Extensions,
                    _ => return Err(fault("malformed_chunk_extension")),
                }
            }
            State::SizeLf => {
                expect(byte, b'\n', "bare_cr_in_chunk")?;
                match self.left {
                    0 => State::TrailerStart,
                    _ => State::Data,
                }
            }
            State::DataCr => {
                expect(byte, b'\r', "missing_chunk_end")?;
                State::DataLf
            }
            State::DataLf => {
                expect(byte, b'\n', "missing_chunk_end")?;
                (self.digits, self.line) = (0, 0);
                State::Size
            }
            State::TrailerStart if byte == b'\r' => State::EndLf,
            State::TrailerStart | State::Trailer => {
                match byte {
                    _ if self.trailers.len() >= TRAILER_BYTES => {
                        return Err(fault("trailers_too_large"));
                    }
                    b'\r' => {}
                    _ if is_text(byte) => {}
                    _ => return Err(fault("malformed_trailer")),
                }
                self.trailers.push(byte);
                if byte == b'\r' {
                    State::TrailerLf
                } else {
                    State::Trailer
                }
            }
            State::TrailerLf => {
                expect(byte, b'\n', "bare_cr_in_trailer")?;
                self.trailers.push(byte);
                State::TrailerStart
            }
            State::EndLf => {
                expect(byte, b'\n', "bare_cr_in_trailer")?;
                self.check_trailers()?;
                State::Done
            }
            State::Data | State::Done => unreachable!("taken by the caller"),
        };
        Ok(())
    }

    fn size(&mut self, byte: u8) -> Result<State, BodyError> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return match byte {
                _ if self.digits == 0 => Err(fault("malformed_chunk_size")),
                b'\r' => Ok(State::SizeLf),
                b';' => {
                    self.line = usize::from(self.digits) + 1;
                    Ok(State::Extensions)
                }
                _ => Err(fault("malformed_chunk_size")),
            };
        };
        if self.digits == SIZE_DIGITS {
            return Err(fault("chunk_too_large"));
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn check_trailers(&mut self) -> Result<(), BodyError> {
        if self.trailers.is_empty() {
            return Ok(());
        }
        self.trailers.extend_from_slice(b"\r\n");
        let read = with_fields(&self.trailers, |_| ());
        self.trailers.truncate(self.trailers.len() - 2);
        read.map_err(|_| fault("malformed_trailer"))
    }
}

fn expect(byte: u8, wanted: u8, reason: &'static str) -> Result<(), BodyError> {
    (byte == wanted).then_some(()).ok_or(fault(reason))
}

/// What a line may hold: HTAB, and any byte that is not a control (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What stands behind a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The line before a chunk's data.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHeader {
    text: [u8; 18],
    start: usize,
}

impl AsRef<[u8]> for ChunkHeader {
    fn as_ref(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// The line before `length` bytes of data: `1a\r\n`. A chunk of no data would end the body.
#[must_use]
pub fn chunk_header(length: usize) -> ChunkHeader {
    debug_assert!(length > 0, "an empty chunk ends the body");
    let mut text = *b"0000000000000000\r\n";
    let (mut start, mut rest) = (16, length);
    while rest > 0 {
        start -= 1;
        text[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    ChunkHeader { text, start }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, the trailers, and the bytes that the message took.
    type Whole = (Vec<u8>, Vec<u8>, usize);

    /// Decodes `bytes` as they come in pieces of `sizes`, over and over. `Ok(None)` where
    /// they do not reach the end.
    fn decode(bytes: &[u8], sizes: &[usize]) -> Result<Option<Whole>, BodyError> {
        let mut decoder = ChunkedDecoder::default();
        let (mut at, mut end, mut body) = (0, 0, Vec::new());
        let mut sizes = sizes.iter().cycle();
        loop {
            let (used, piece) = decoder.next(&bytes[at..end])?;
            at += used;
            match piece {
                Piece::Data(data) => body.extend_from_slice(data),
                Piece::End => return Ok(Some((body, decoder.trailers().to_vec(), at))),
                Piece::NeedMore => {
                    assert_eq!(at, end, "the input is used up");
                    if end == bytes.len() {
                        return Ok(None);
                    }
                    end = bytes.len().min(end + sizes.next().expect("sizes").max(&1));
                }
            }
        }
    }

    fn encode(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            bytes.extend_from_slice(chunk_header(part.len()).as_ref());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(CHUNK_END);
        }
        bytes.extend_from_slice(LAST_CHUNK);
        bytes
    }

    fn reason(bytes: &[u8]) -> Option<&'static str> {
        decode(bytes, &[usize::MAX >> 1])
            .err()
            .map(|error| error.reason)
    }

    #[test]
    fn reads_what_the_rfc_allows() {
        let long = format!(
            "5;{}\r\nhello\r\n0\r\n\r\n",
            "a".repeat(CHUNK_LINE_BYTES - 3)
        );
        for (bytes, body, trailers) in [
            ("0\r\n\r\n", "", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
            (
                "5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n",
                "hello world",
                "",
            ),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", ""),
            ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", ""),
            ("5;a=\"b;\\\"c\";d\r\nhello\r\n0;e\r\n\r\n", "hello", ""),
            (long.as_str(), "hello", ""),
            ("0\r\nA: b\r\nC:d\r\n\r\n", "", "A: b\r\nC:d\r\n"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ] {
            let whole = (body.into(), trailers.into(), bytes.len());
            assert_eq!(decode(bytes.as_bytes(), &[1]), Ok(Some(whole)), "{bytes:?}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("5;{}\r\nhello\r\n", "a".repeat(CHUNK_LINE_BYTES - 2));
        let large = format!("0\r\n{}\r\n\r\n", "A: b\r\n".repeat(TRAILER_BYTES / 6 + 1));
        for (bytes, wanted) in [
            ("\r\n", "malformed_chunk_size"),
            ("x\r\n", "malformed_chunk_size"),
            ("-1\r\n", "malformed_chunk_size"),
            ("+1\r\n", "malformed_chunk_size"),
            ("0x1\r\n", "malformed_chunk_size"),
            (" 1\r\n", "malformed_chunk_size"),
            ("1 \r\n", "malformed_chunk_size"),
            ("1 ;a\r\n", "malformed_chunk_size"),
            ("1\n", "malformed_chunk_size"),
            (";a\r\n", "malformed_chunk_size"),
            ("00000000000000001\r\n", "chunk_too_large"),
            ("ffffffffffffffff1\r\n", "chunk_too_large"),
            ("1\r1", "bare_cr_in_chunk"),
            ("1;a\n", "malformed_chunk_extension"),
            ("1;a\rb", "bare_cr_in_chunk"),
            ("1;a\0\r\n", "malformed_chunk_extension"),
            (long.as_str(), "chunk_line_too_long"),
            ("1\r\nab", "missing_chunk_end"),
            ("1\r\na\n", "missing_chunk_end"),
            ("1\r\na\rb", "missing_chunk_end"),
            ("0\r\n\n", "malformed_trailer"),
            ("0\r\n\r\r", "bare_cr_in_trailer"),
            ("0\r\nA: b\n\r\n", "malformed_trailer"),
            ("0\r\nA: b\rC", "bare_cr_in_trailer"),
            ("0\r\nA: \0\r\n\r\n", "malformed_trailer"),
            ("0\r\nnonsense\r\n\r\n", "malformed_trailer"),
            ("0\r\nA : b\r\n\r\n", "malformed_trailer"),
            ("0\r\nA: b\r\n c\r\n\r\n", "malformed_trailer"),
            (large.as_str(), "trailers_too_large"),
        ] {
            assert_eq!(reason(bytes.as_bytes()), Some(wanted), "{bytes:?}");
        }
    }

    #[test]
    fn leaves_what_follows_the_message() {
        let bytes = b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
        let whole = decode(bytes, &[usize::MAX >> 1]);
        assert_eq!(whole, Ok(Some((b"a".to_vec(), Vec::new(), 11))));
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.next(LAST_CHUNK), Ok((5, Piece::End)));
        assert!(decoder.is_done());
        assert_eq!(decoder.next(b"GET"), Ok((0, Piece::End)));
    }

    #[test]
    fn writes_sizes_in_hexadecimal() {
        for (length, wanted) in [(1, "1\r\n"), (16, "10\r\n"), (0xabc_def0, "abcdef0\r\n")] {
            assert_eq!(chunk_header(length).as_ref(), wanted.as_bytes());
        }
        let largest = chunk_header(usize::MAX);
        assert_eq!(largest.as_ref(), b"ffffffffffffffff\r\n");
    }

    /// Bytes that look like a chunked body more often than chance would have it.
    fn chunkedlike() -> impl Strategy<Value = Vec<u8>> {
        let parts = prop::sample::select(vec![
            &b"0\r\n"[..],
            b"5\r\n",
            b"hello",
            b"\r\n",
            b"\r",
            b"\n",
            b"1",
            b"f",
            b";",
            b"a=b",
            b"A: b\r\n",
            b" ",
            b"\"",
            b"\0",
            b"\xff",
        ]);
        prop::collection::vec(parts, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_encoded_is_decoded_however_it_is_split(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            sizes in prop::collection::vec(1usize..40, 1..6),
        ) {
            let bytes = encode(&parts);
            let whole = (parts.concat(), Vec::new(), bytes.len());
            prop_assert_eq!(decode(&bytes, &sizes), Ok(Some(whole)));
        }

        #[test]
        fn any_bytes_come_to_the_same_however_they_are_split(
            bytes in chunkedlike(),
            sizes in prop::collection::vec(1usize..9, 1..6),
        ) {
            let whole = decode(&bytes, &[usize::MAX >> 1]);
            prop_assert_eq!(decode(&bytes, &sizes), whole.clone());
            prop_assert_eq!(decode(&bytes, &[1]), whole);
        }
    }
}
