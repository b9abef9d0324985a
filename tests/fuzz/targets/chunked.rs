//! The chunked coding: no bytes make the decoder panic, what it makes of them does not
//! depend on how they are split, and what is encoded is decoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use origin_guard::http1::body::{
    BodyError, CHUNK_END, ChunkedDecoder, LAST_CHUNK, Piece, chunk_header,
};

/// The body, the trailers, and the bytes that the message took; `None` where it does not end.
type Whole = Option<(Vec<u8>, Vec<u8>, usize)>;

fn decode(bytes: &[u8], piece: usize) -> Result<Whole, BodyError> {
    let mut decoder = ChunkedDecoder::default();
    let (mut at, mut end, mut body) = (0, 0, Vec::new());
    loop {
        let (used, made) = decoder.next(&bytes[at..end])?;
        at += used;
        match made {
            Piece::Data(data) => body.extend_from_slice(data),
            Piece::End => return Ok(Some((body, decoder.trailers().to_vec(), at))),
            Piece::NeedMore => {
                assert_eq!(at, end);
                if end == bytes.len() {
                    return Ok(None);
                }
                end = bytes.len().min(end + piece);
            }
        }
    }
}

fn encode(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in bytes.chunks(piece) {
        out.extend_from_slice(chunk_header(part.len()).as_ref());
        out.extend_from_slice(part);
        out.extend_from_slice(CHUNK_END);
    }
    out.extend_from_slice(LAST_CHUNK);
    out
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(input.0) + 1, input.1);
    let whole = decode(bytes, usize::MAX / 2);
    assert_eq!(decode(bytes, piece), whole);
    assert_eq!(decode(bytes, 1), whole);
    let encoded = encode(bytes, piece);
    let decoded = Ok(Some((bytes.to_vec(), Vec::new(), encoded.len())));
    assert_eq!(decode(&encoded, 1 + piece / 2), decoded);
    if let Ok(Some((body, _, _))) = whole {
        // What is decoded and encoded again is the same body.
        let again = encode(&body, piece);
        assert_eq!(
            decode(&again, piece),
            Ok(Some((body, Vec::new(), again.len())))
        );
    }
});
