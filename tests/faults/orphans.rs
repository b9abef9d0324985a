//! Answers that are not taken: once their connection is over they must not heap up in the
//! kernel, outside of all slots.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::peers::{assert_granted, eventually, raise_file_limit};
use crate::support::{self, Answer, Guard, SECRET, granted_request, installed};

const SLOTS: usize = 100;
/// Connections over the limit while those that make room for them are being closed.
const HEADROOM: usize = 64;
const PEERS: usize = 2000;

/// Sockets of the kernel's at `address` that hold unread answers, whether a process has
/// them or not: column `Send-Q` of ss(8).
fn holding(address: SocketAddr) -> usize {
    let output = Command::new("ss")
        .args(["-tanH", "src", &address.to_string()])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter(|line| !line.starts_with("LISTEN"))
        .filter_map(|line| line.split_whitespace().nth(2))
        .filter(|queue| *queue != "0")
        .count()
}

/// Connects, asks for more than the peer's kernel takes, and reads nothing.
fn ask_in_vain(guard: &Guard, requests: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(guard.address).expect("connects");
    let _ = set_socket_recv_buffer_size(&stream, 1);
    stream.set_nonblocking(true).expect("set");
    match stream.write(requests) {
        Ok(_) => {}
        // It may have been evicted by now.
        Err(error) => assert_ne!(error.kind(), ErrorKind::InvalidInput),
    }
    stream
}

fn nothing_is_left_behind(what: &str, requests: &[u8], half_closes: bool) {
    if !installed("ss", "apt-get install iproute2") {
        return;
    }
    raise_file_limit();
    let most = SLOTS.to_string();
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("MAX_CONNECTIONS", &most),
        ("WRITE_TIMEOUT", "60"),
    ]);
    let mut kept = guard.connect();
    assert_granted(&mut kept);
    let mut peers = Vec::with_capacity(PEERS);
    for number in 0..PEERS {
        let stream = ask_in_vain(&guard, requests);
        if half_closes {
            let _ = stream.shutdown(Shutdown::Write);
        }
        peers.push(stream);
        if number % 50 == 0 {
            // The guard keeps up, so that answers come before evictions.
            let mut fresh = guard.connect();
            let sent = fresh.write_all(granted_request().as_bytes());
            let _ = sent.map(|()| Answer::read(&mut fresh, false));
        }
    }
    let holding = holding(guard.address);
    support::say(&format!("{PEERS} peers, {what}: {holding} hold answers"));
    // With those that have been turned away in the last second.
    assert!(holding <= SLOTS + 2 * HEADROOM, "{what}: {holding}");
    drop(peers);
    // The last of them may not have been seen off yet.
    eventually("a good request is let in", || {
        let mut stream = guard.connect();
        let sent = stream.write_all(granted_request().as_bytes());
        let answer = sent.ok().and_then(|()| Answer::read(&mut stream, false));
        answer.is_some_and(|answer| answer.status == 200)
    });
}

fn closing(secret: &str) -> Vec<u8> {
    let request = format!("GET /protected HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: {secret}\r\n");
    let last = format!("{request}Connection: close\r\n\r\n");
    format!("{}{last}", format!("{request}\r\n").repeat(40)).into_bytes()
}

#[test]
fn who_has_the_last_answer_closed_upon_keeps_a_slot_until_it_is_taken() {
    nothing_is_left_behind("closed after a grant", &closing(SECRET), false);
    nothing_is_left_behind("closed after a refusal", &closing("wrong"), false);
}

#[test]
fn who_half_closes_keeps_a_slot_until_the_answers_are_taken() {
    let requests = granted_request().repeat(40);
    nothing_is_left_behind("half-closed", requests.as_bytes(), true);
}

#[test]
fn who_is_evicted_leaves_nothing_in_the_kernel() {
    let denied = "GET / HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: wrong\r\n\r\n".repeat(60);
    nothing_is_left_behind("denied and evicted", denied.as_bytes(), false);
    let granted = granted_request().repeat(40);
    nothing_is_left_behind("granted and evicted", granted.as_bytes(), false);
}

#[test]
fn who_takes_everything_late_gets_everything() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("WRITE_TIMEOUT", "60")]);
    for half_closes in [false, true] {
        let mut stream = guard.connect();
        let _ = set_socket_recv_buffer_size(&stream, 1);
        stream.write_all(&closing(SECRET)).expect("sent");
        if half_closes {
            stream.shutdown(Shutdown::Write).expect("half-closed");
        }
        // Others come and go meanwhile.
        for _ in 0..100 {
            guard.assert_serves();
        }
        for number in 0..41 {
            let answer = Answer::read(&mut stream, false).expect("an answer");
            assert_eq!(answer.status, 200, "answer {number}");
        }
        assert!(Answer::read(&mut stream, false).is_none(), "no end");
    }
}
