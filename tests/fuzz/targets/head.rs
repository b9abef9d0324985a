//! The head parser: no bytes make it panic, and reading them in two pieces comes to
//! what reading them at once does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use origin_guard::http1::request::{Outcome, RequestHead, read};
use origin_guard::http1::scan::Scan;
use origin_guard::net::UNIX_PEER;

const LIMIT: usize = 65536;

fn seen(bytes: &[u8], scan: &mut Scan) -> Option<Result<usize, u16>> {
    let seen = |head: &RequestHead<'_, '_>| {
        let _ = head.to_request(UNIX_PEER);
        head.length
    };
    match read(bytes, scan, LIMIT, seen) {
        Outcome::Partial => None,
        Outcome::Refused(error) => Some(Err(error.status)),
        Outcome::Complete(length) => Some(Ok(length)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = seen(bytes, &mut Scan::default());
    let mut scan = Scan::default();
    let first = seen(&bytes[..bytes.len() / 2], &mut scan);
    let split = first.or_else(|| seen(bytes, &mut scan));
    assert_eq!(split, whole);
});
