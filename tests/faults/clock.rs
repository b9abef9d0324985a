//! The clock of the machine is set, forward and back, while connections are open.

use std::fs;
use std::io::Write as _;

use crate::support::{self, Answer, Guard, SECRET, granted_request};

/// libfaketime, by which one process alone sees another time.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[test]
fn a_clock_that_jumps_ends_no_connection_and_stops_no_deadline() {
    if !std::path::Path::new(LIBRARY).is_file() {
        return support::skip(&format!("needs {LIBRARY}; apt install libfaketime"));
    }
    let clock = std::env::temp_dir().join(format!("origin-guard-clock-{}", std::process::id()));
    let set = |offset: &str| fs::write(&clock, offset).expect("written");
    set("+0");
    let mut command = support::command();
    command
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "127.0.0.1:0")
        .env("HEAD_TIMEOUT", "2")
        .env("LD_PRELOAD", LIBRARY)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        // The monotonic clock is not the one that anybody sets.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let guard = Guard::spawn(&mut command);
    let mut kept = guard.connect();
    let mut date = || {
        kept.write_all(granted_request().as_bytes()).expect("sent");
        let answer = Answer::read(&mut kept, false).expect("an answer");
        assert_eq!(answer.status, 200);
        answer.header("date").expect("a date").to_owned()
    };
    let mut seen = vec![date()];
    for offset in ["+400d", "-400d", "+400d", "-4000d"] {
        set(offset);
        seen.push(date());
        // A deadline that began before the jump still comes, and no sooner.
        let mut half = guard.connect();
        half.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
        set(if offset.starts_with('+') {
            "-10d"
        } else {
            "+10d"
        });
        let answer = Answer::read(&mut half, false).expect("an answer");
        assert_eq!(answer.status, 408);
    }
    let years: Vec<_> = seen.iter().map(|date| &date[12..16]).collect();
    assert_ne!(years[0], years[1], "the clock has jumped: {seen:?}");
    assert_ne!(years[1], years[2], "the clock has jumped: {seen:?}");
    fs::remove_file(&clock).expect("removed");
}
