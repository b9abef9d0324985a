//! Properties of the head parser: what it makes of bytes does not depend on how they
//! are split, and no bytes make it panic. The corpus is replayed here, so that the
//! fuzz target's seeds are covered without a fuzzer.

mod support;

use origin_guard::http1::request::{Outcome, read};
use origin_guard::http1::scan::{Scan, TARGET_BYTES};
use origin_guard::net::UNIX_PEER;
use proptest::prelude::*;
use support::corpus;

const LIMIT: usize = 16384;

/// What can be seen of an outcome; `None` is "not at its end".
type Seen = Option<Result<(usize, u64, String), u16>>;

fn seen(outcome: &Outcome) -> Seen {
    match outcome {
        Outcome::Partial => None,
        Outcome::Refused(refusal) => Some(Err(refusal.status)),
        Outcome::Complete(head) => {
            let request = match &head.request {
                Ok(request) => {
                    let fields: Vec<_> =
                        request.headers().iter().map(ToString::to_string).collect();
                    format!("{} {} {fields:?}", request.method(), request.url())
                }
                Err(refusal) => refusal.reason.to_owned(),
            };
            let rest = format!("{request} {:?} {}", head.keep_alive, head.is_head);
            Some(Ok((head.length, head.body, rest)))
        }
    }
}

fn whole(bytes: &[u8]) -> Seen {
    seen(&read(bytes, &mut Scan::default(), LIMIT, UNIX_PEER))
}

/// Reads `bytes` as they come in at `splits`, as a connection does.
fn split(bytes: &[u8], splits: impl Iterator<Item = usize>) -> Seen {
    let mut scan = Scan::default();
    for end in splits.chain([bytes.len()]) {
        let outcome = seen(&read(&bytes[..end], &mut scan, LIMIT, UNIX_PEER));
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
        let ends = 0..entry.input.len().min(2000);
        // A long input is decided at one of the limits.
        let around = |limit: usize| limit - 40..limit + 40;
        let limits = around(TARGET_BYTES).chain(around(LIMIT));
        let limits = limits.filter(|end| (2000..entry.input.len()).contains(end));
        for end in ends.clone().chain(limits) {
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
