//! Many peers that are slow, and one that does not read at all.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::scripted::{Peer, client, get, granted, guard_for, noise, ok, pair};
use crate::support::Guard;

fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("raised");
}

/// What the guard has held at most, in kB.
fn peak_memory(guard: &Guard) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.pid())).expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.expect("a peak").trim().parse().expect("a number")
}

/// Answers `/large` with what nobody's buffers hold, as far as the guard takes it, and
/// all else at once.
fn serve(mut peer: Peer) {
    loop {
        let head = peer.head();
        if head.line.contains(" /large ") {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
            let block = vec![b'x'; 64 * 1024];
            while peer.stream.write_all(&block).is_ok() {}
            return;
        }
        if head.line.starts_with("POST") {
            // It takes what comes.
            peer.rest();
            return;
        }
        peer.send(ok("good"));
    }
}

const READERS: usize = 600;
const WRITERS: usize = 400;

#[test]
fn a_thousand_slow_readers_and_writers_leave_others_their_answers() {
    raise_file_limit();
    // A machine under load may take longer than the defaults.
    let (backend, guard) = pair(&[
        ("HEAD_TIMEOUT", "600"),
        ("BODY_TIMEOUT", "600"),
        ("WRITE_TIMEOUT", "600"),
        ("BACKEND_TIMEOUT", "600"),
    ]);
    backend.serve(serve);
    let mut readers: Vec<_> = (0..READERS).map(|_| client(&guard)).collect();
    for reader in &mut readers {
        reader.send(get("/large"));
        assert_eq!(reader.head().status(), 200);
    }
    let mut writers: Vec<_> = (0..WRITERS).map(|_| client(&guard)).collect();
    for writer in &mut writers {
        writer.send(granted("POST / HTTP/1.1", "Content-Length: 1000000\r\n"));
    }
    let mut good = client(&guard);
    for round in 0..5 {
        for reader in &mut readers {
            reader.take(1);
        }
        for writer in &mut writers {
            writer.send("x");
        }
        for _ in 0..100 {
            good.send(get("/good"));
            good.answered_with("good");
        }
        let mut fresh = client(&guard);
        fresh.send(get("/good"));
        fresh.answered_with("good");
        assert!(
            peak_memory(&guard) < 200_000,
            "round {round}: {} kB",
            peak_memory(&guard)
        );
    }
}

#[test]
fn a_client_that_does_not_read_holds_its_own_buffers_only() {
    let (backend, guard) = pair(&[]);
    let mut good = client(&guard);
    good.send(get("/good"));
    let (mut good_peer, _) = backend.accept_head();
    good_peer.send(ok("good"));
    good.answered_with("good");
    let before = peak_memory(&guard);
    let mut stuck = client(&guard);
    stuck.send(granted("GET /large HTTP/1.1", ""));
    good_peer.head();
    let mut peer = good_peer;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
    peer.stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .expect("set");
    let block = noise(64 * 1024);
    let mut taken = 0;
    let end = loop {
        match peer.stream.write(&block) {
            Ok(count) => taken += count,
            Err(error) => break error,
        }
        assert!(taken < 100_000_000, "nothing holds the backend up");
    };
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    let grown = peak_memory(&guard) - before;
    assert!(grown < 2_000, "{grown} kB for one client");
    drop(stuck);
    let mut good = client(&guard);
    good.send(get("/good"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("good"));
    good.answered_with("good");
}

/// The same the other way: a backend that does not read an upload.
#[test]
fn a_backend_that_does_not_read_holds_the_client_up() {
    let backend = crate::scripted::Backend::new();
    let guard = guard_for(&backend.url(), &[]);
    let before = peak_memory(&guard);
    let mut client = client(&guard);
    client.send(granted("POST / HTTP/1.1", "Content-Length: 200000000\r\n"));
    let (_peer, _) = backend.accept_head();
    client
        .stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .expect("set");
    let block = noise(64 * 1024);
    let mut taken = 0;
    while let Ok(count) = client.stream.write(&block) {
        taken += count;
        assert!(taken < 100_000_000, "nothing holds the client up");
    }
    let grown = peak_memory(&guard) - before;
    assert!(grown < 2_000, "{grown} kB for one client");
}
