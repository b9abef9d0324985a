//! Clients that go, and clients that have said all.

use crate::scripted::{WATCHED, broken, client, get, granted, noise, ok, pair};
use crate::support::metrics::wait_for;

#[test]
fn a_client_that_resets_ends_the_exchange() {
    let (backend, guard) = pair(&[]);
    let length = "Content-Length: 1000\r\n";
    for (request, answer) in [
        // While the backend thinks.
        (get("/"), ""),
        // Within its upload.
        (granted("POST / HTTP/1.1", length) + "a", ""),
        // Within the answer.
        (get("/"), "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\na"),
        (
            get("/"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        ),
    ] {
        let mut client = client(&guard);
        client.send(&request);
        let (mut peer, _) = backend.accept_head();
        if request.starts_with("POST") {
            peer.take(1);
        }
        peer.send(answer);
        if !answer.is_empty() {
            client.head();
            client.take(1);
        }
        client.reset();
        peer.ends();
    }
    assert!(backend.accepted().is_none());
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let (backend, guard) = pair(&[]);
    for (request, body) in [
        (get("/"), ""),
        (
            granted("POST / HTTP/1.1", "Content-Length: 2\r\n") + "hi",
            "hi",
        ),
        (
            granted("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "2\r\nhi\r\n0\r\n\r\n",
            "hi",
        ),
    ] {
        let mut client = client(&guard);
        client.send(&request);
        client.half_close();
        let mut peer = backend.accept();
        assert_eq!(peer.request().body, body.as_bytes());
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
        client.answered_with("hello");
        client.ends();
    }
}

#[test]
fn a_client_that_half_closes_behind_several_requests_gets_all_answers() {
    let (backend, guard) = pair(&[]);
    // The guard sees them, and the end, at once.
    let mut client = client(&guard);
    guard.signal(rustix::process::Signal::STOP);
    client.send(get("/1") + &get("/2") + &get("/3"));
    client.half_close();
    guard.signal(rustix::process::Signal::CONT);
    let mut peer = backend.accept();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(peer.head().line, format!("GET {path} HTTP/1.1"));
        peer.send(ok(path));
        client.answered_with(path);
    }
    client.ends();
}

#[test]
fn a_client_that_half_closes_within_its_body_is_told() {
    let (backend, guard) = pair(&[WATCHED]);
    for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = client(&guard);
        client.send(granted("POST / HTTP/1.1", fields));
        let (mut peer, _) = backend.accept_head();
        client.half_close();
        client.answered(400);
        client.ends();
        // The backend must not take the part for the whole.
        peer.ends();
    }
    wait_for(guard.second_address(), &[broken("incomplete_body", 2)]);
}

#[test]
fn a_chunk_that_is_none_ends_the_exchange() {
    let (backend, guard) = pair(&[WATCHED]);
    let faults = ["x\r\n", "1\r\naa\r\n", "1\na\r\n"];
    for fault in faults {
        let mut client = client(&guard);
        client.send(granted("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n");
        let (mut peer, _) = backend.accept_head();
        assert_eq!(peer.take(6), b"1\r\na\r\n");
        client.send(fault);
        let answer = client.answered(400);
        assert_eq!(answer.head.field("connection"), Some("close"));
        let (rest, _) = peer.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
    }
    wait_for(guard.second_address(), &[broken("malformed_body", 3)]);
}

/// What a client still sends behind its last request does not reset the answer to it.
#[test]
fn bytes_behind_a_request_that_closes_do_not_destroy_its_answer() {
    let (backend, guard) = pair(&[]);
    for late in [false, true] {
        let mut client = client(&guard);
        let request = granted("GET / HTTP/1.1", "Connection: close\r\n");
        let behind = get("/never");
        if late {
            client.send(&request);
        } else {
            client.send(request + &behind);
        }
        let (mut peer, _) = backend.accept_head();
        if late {
            client.send(&behind);
        }
        let body = noise(3_000_000);
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n");
        let sender = std::thread::spawn(move || peer.send(body));
        // Most of the answer waits in the guard's kernel when it closes.
        assert!(client.answered(200).body == noise(3_000_000));
        sender.join().expect("sent");
        client.half_close();
        client.ends();
        assert!(backend.accepted().is_none());
    }
}

/// A connection that both sides have closed is gone at once, not after a time to linger.
#[test]
fn a_client_that_has_half_closed_is_not_waited_for() {
    let (backend, guard) = pair(&[]);
    let files = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", guard.pid())).expect("read");
        files.count()
    };
    let mut clients = Vec::new();
    let before = files();
    for _ in 0..10 {
        let mut client = client(&guard);
        client.send(granted("GET / HTTP/1.1", "Connection: close\r\n"));
        let (mut peer, _) = backend.accept_head();
        client.half_close();
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na");
        client.answered_with("a");
        client.ends();
        clients.push(client);
    }
    let began = std::time::Instant::now();
    while files() > before {
        assert!(
            began.elapsed() < std::time::Duration::from_secs(4),
            "{} files",
            files()
        );
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}
