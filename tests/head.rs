//! Properties of the head parser: what it makes of bytes does not depend on how they
//! are split, and no bytes make it panic. The corpus is replayed here, so that the
//! fuzz target's seeds are covered without a fuzzer.

mod support;

use origin_guard::http1::request::{Outcome, RequestHead, read};
use origin_guard::http1::scan::Scan;
use origin_guard::net::UNIX_PEER;
use proptest::prelude::*;
use support::corpus;

const LIMIT: usize = 65536;

/// What can be seen of an outcome; `None` is "not at its end".
type Seen = Option<Result<(usize, String), (u16, &'static str)>>;

fn seen(bytes: &[u8], scan: &mut Scan) -> Seen {
    let seen = |head: &RequestHead<'_, '_>| {
        let request = head.to_request(UNIX_PEER);
        assert_eq!(request.method().as_str(), head.method.as_str());
        (head.length, format!("{head:?}"))
    };
    match read(bytes, scan, LIMIT, seen) {
        Outcome::Partial => None,
        Outcome::Refused(error) => Some(Err((error.status, error.reason))),
        Outcome::Complete(head) => Some(Ok(head)),
    }
}

fn whole(bytes: &[u8]) -> Seen {
    seen(bytes, &mut Scan::default())
}

/// Reads `bytes` as they come in at `splits`, as a connection does.
fn split(bytes: &[u8], splits: impl Iterator<Item = usize>) -> Seen {
    let mut scan = Scan::default();
    for end in splits.chain([bytes.len()]) {
        let outcome = seen(&bytes[..end], &mut scan);
        if outcome.is_some() {
            return outcome;
        }
    }
    None
}

#[test]
fn the_corpus_split_anywhere_reads_as_whole() {
    for entry in corpus::entries() {
        let whole = whole(&entry.input);
        // Each end takes as long as the input is.
        let most = if entry.input.len() > 10_000 {
            200
        } else {
            2000
        };
        let ends = 0..entry.input.len().min(most);
        // A long input is decided at the limit.
        let limit = (LIMIT - 40..LIMIT + 40).filter(|end| *end < entry.input.len());
        for end in ends.clone().chain(limit) {
            assert_eq!(
                split(&entry.input, [end].into_iter()),
                whole,
                "{} at {end}",
                entry.name
            );
        }
        assert_eq!(split(&entry.input, ends), whole, "{} in bytes", entry.name);
    }
}

/// Bytes that look like a request more often than chance would have it.
fn requestlike() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::sample::select(vec![
        &b"GET "[..],
        b"POST ",
        b"/protected",
        b"*",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r",
        b"\n",
        b"Host: x",
        b"Content-Length: ",
        b"5",
        b"Transfer-Encoding: ",
        b"chunked",
        b", ",
        b" ",
        b"\t",
        b": ",
        b"Connection: close",
        b"Expect: 100-continue",
        b"http://a:b",
        b"%41",
        b"%",
        b"\0",
        b"\xff",
    ]);
    let part = prop_oneof![4 => parts.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..8)];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = whole(&bytes);
    }

    #[test]
    fn what_looks_like_a_request_reads_alike_however_it_is_split(bytes in requestlike()) {
        prop_assert_eq!(split(&bytes, 0..bytes.len()), whole(&bytes));
    }

    #[test]
    fn what_is_read_lies_within_the_bytes(bytes in requestlike()) {
        if let Some(Ok((length, ..))) = whole(&bytes) {
            prop_assert!(length <= bytes.len());
            prop_assert!(bytes[..length].ends_with(b"\r\n\r\n"));
        }
    }
}
