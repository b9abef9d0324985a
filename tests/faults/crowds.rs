//! Many peers at once, most of them of no use.

use std::io::Write;

use crate::peers::{HALF_HEAD, assert_ends, assert_granted, raise_file_limit, read_granted};
use crate::support::{Answer, Guard, SECRET, granted_request};

const CROWD: usize = 2000;

#[test]
fn thousands_of_silent_peers_and_half_heads_do_not_keep_others_from_an_answer() {
    raise_file_limit();
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("HEAD_TIMEOUT", "60")]);
    let mut silent: Vec<_> = (0..CROWD).map(|_| guard.connect()).collect();
    let mut half: Vec<_> = (0..CROWD).map(|_| guard.connect()).collect();
    for stream in &mut half {
        stream.write_all(HALF_HEAD).expect("sent");
    }
    for _ in 0..200 {
        guard.assert_serves();
    }
    // Each of them is still welcome.
    for stream in &mut silent {
        assert_granted(stream);
    }
    for stream in &mut half {
        stream
            .write_all(b"X-Shared-Secret: wrong\r\n\r\n")
            .expect("sent");
        let answer = Answer::read(stream, false).expect("an answer");
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

#[test]
fn silent_peers_are_closed_silently_and_half_heads_get_408() {
    raise_file_limit();
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("HEAD_TIMEOUT", "0.5")]);
    let mut silent: Vec<_> = (0..CROWD).map(|_| guard.connect()).collect();
    let mut half = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut stream = guard.connect();
        stream.write_all(HALF_HEAD).expect("sent");
        half.push(stream);
    }
    guard.assert_serves();
    silent.iter_mut().for_each(assert_ends);
    for stream in &mut half {
        let answer = Answer::read(stream, false).expect("an answer");
        assert_eq!(answer.status, 408, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_ends(stream);
    }
    guard.assert_serves();
}

fn burst_after_idleness(workers: &str) {
    raise_file_limit();
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("WORKERS", workers)]);
    for _ in 0..10 {
        // The end of this one leaves every thread idle.
        guard.assert_serves();
        let mut streams: Vec<_> = (0..500).map(|_| guard.connect()).collect();
        for stream in &mut streams {
            stream
                .write_all(granted_request().as_bytes())
                .expect("sent");
        }
        for stream in &mut streams {
            read_granted(stream);
        }
        // All of them are open still.
        for stream in streams.iter_mut().rev() {
            assert_granted(stream);
        }
    }
}

#[test]
fn a_burst_after_idleness_is_answered_by_one_worker() {
    burst_after_idleness("1");
}

#[test]
fn a_burst_after_idleness_is_answered_by_two_workers() {
    burst_after_idleness("2");
}

#[test]
fn a_burst_after_idleness_is_answered_by_eight_workers() {
    burst_after_idleness("8");
}
