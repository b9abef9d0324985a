//! A body on its way: read in the framing that it came in, written in the one that it
//! goes out in.

use super::rewrite::{self, OwnFields};
use crate::http1::body::{BodyError, ChunkedDecoder, Piece, chunk_header};

/// How a body ends.
enum Source {
    /// It has ended, or there is none.
    Done,
    /// After so many bytes.
    Sized(u64),
    /// By its chunks.
    Chunked(Box<ChunkedDecoder>),
    /// With the connection.
    UntilClose,
}

/// A body that is read on one connection and written to another.
pub(super) struct BodyPipe {
    source: Source,
    /// Whether it goes out in chunks, else as it is.
    chunked: bool,
    /// Whether trailers go out, too.
    with_trailers: bool,
    /// Bytes of content that have passed.
    passed: u64,
}

impl BodyPipe {
    fn new(source: Source) -> Self {
        Self {
            source,
            chunked: false,
            with_trailers: false,
            passed: 0,
        }
    }

    /// No body.
    #[must_use]
    pub(super) fn none() -> Self {
        Self::new(Source::Done)
    }

    /// So many bytes.
    #[must_use]
    pub(super) fn sized(length: u64) -> Self {
        Self::new(if length == 0 {
            Source::Done
        } else {
            Source::Sized(length)
        })
    }

    /// What comes in chunks.
    #[must_use]
    pub(super) fn chunked() -> Self {
        Self::new(Source::Chunked(Box::default()))
    }

    /// What ends with the connection.
    #[must_use]
    pub(super) fn until_close() -> Self {
        Self::new(Source::UntilClose)
    }

    /// Has it go out in chunks.
    #[must_use]
    pub(super) fn into_chunks(self, with_trailers: bool) -> Self {
        Self {
            chunked: true,
            with_trailers,
            ..self
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    /// Bytes of content that have passed.
    #[must_use]
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Takes what belongs to the body from the start of `input`. Returns how many bytes
    /// that are, and those of them that go out as they are; what goes out otherwise is
    /// appended to `out`, trailers without the fields that are ours.
    ///
    /// # Errors
    ///
    /// Where the chunks are malformed.
    pub(super) fn take<'i>(
        &mut self,
        input: &'i [u8],
        out: &mut Vec<u8>,
        own: &OwnFields,
        secret: Option<&str>,
    ) -> Result<(usize, &'i [u8]), BodyError> {
        let data = match &mut self.source {
            Source::Done => return Ok((0, &[])),
            Source::Chunked(_) => {
                return self
                    .take_chunks(input, out, own, secret)
                    .map(|taken| (taken, &[][..]));
            }
            Source::Sized(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = &input[..input.len().min(length)];
                *left -= data.len() as u64;
                if *left == 0 {
                    self.source = Source::Done;
                }
                data
            }
            Source::UntilClose => input,
        };
        self.passed += data.len() as u64;
        if self.chunked {
            append_chunk(out, data);
            return Ok((data.len(), &[]));
        }
        Ok((data.len(), data))
    }

    fn take_chunks(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        own: &OwnFields,
        secret: Option<&str>,
    ) -> Result<usize, BodyError> {
        let Source::Chunked(decoder) = &mut self.source else {
            return Ok(0);
        };
        let mut taken = 0;
        loop {
            let (consumed, piece) = decoder.next(&input[taken..])?;
            taken += consumed;
            match piece {
                Piece::Data(data) => {
                    self.passed += data.len() as u64;
                    if self.chunked {
                        append_chunk(out, data);
                    } else {
                        out.extend_from_slice(data);
                    }
                }
                Piece::NeedMore => return Ok(taken),
                Piece::End => {
                    if self.chunked {
                        let trailers = if self.with_trailers {
                            decoder.trailers()
                        } else {
                            &[]
                        };
                        rewrite::trailers(out, trailers, own, secret);
                    }
                    self.source = Source::Done;
                    return Ok(taken);
                }
            }
        }
    }

    /// The connection that it came on has ended. `false` where that is not its end.
    pub(super) fn end_of_input(&mut self, out: &mut Vec<u8>) -> bool {
        match self.source {
            Source::Done => true,
            Source::Sized(_) | Source::Chunked(_) => false,
            Source::UntilClose => {
                if self.chunked {
                    out.extend_from_slice(b"0\r\n\r\n");
                }
                self.source = Source::Done;
                true
            }
        }
    }
}

fn append_chunk(out: &mut Vec<u8>, data: &[u8]) {
    // A chunk of no bytes would be the last one.
    if !data.is_empty() {
        out.extend_from_slice(chunk_header(data.len()).as_ref());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}
