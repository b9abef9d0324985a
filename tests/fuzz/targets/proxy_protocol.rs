//! The header of the PROXY protocol: no bytes make it panic, and a part of them comes to
//! what all of them come to, or waits for more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use origin_guard::net::proxy_protocol::{LONGEST, Outcome, read};

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    if let Outcome::Complete(length, _) = whole {
        assert!(length <= bytes.len() && length <= LONGEST);
    }
    for end in 0..bytes.len().min(LONGEST) {
        let part = read(&bytes[..end]);
        assert!(part == Outcome::Partial || part == whole);
    }
});
