//! The head parser: no bytes make it panic, and reading them in two pieces comes to
//! what reading them at once does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use origin_guard::net::UNIX_PEER;
use origin_guard::http1::request::{Outcome, read};
use origin_guard::http1::scan::Scan;

const LIMIT: usize = 16384;

fn seen(bytes: &[u8], scan: &mut Scan) -> Option<Result<usize, u16>> {
    match read(bytes, scan, LIMIT, UNIX_PEER) {
        Outcome::Partial => None,
        Outcome::Refused(refusal) => Some(Err(refusal.status)),
        Outcome::Complete(head) => Some(Ok(head.length)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = seen(bytes, &mut Scan::default());
    let mut scan = Scan::default();
    let first = seen(&bytes[..bytes.len() / 2], &mut scan);
    let split = first.or_else(|| seen(bytes, &mut scan));
    assert_eq!(split, whole);
});
