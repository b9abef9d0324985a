//! Answers that are no answers: a 502 where nothing of them is gone, else broken off, and
//! their connection is not used again.

use crate::scripted::{Backend, End, Peer, client, get, granted, ok, pair};

/// What the backend does after its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
    Reset,
}

/// Keeps the connection where the test has to see how the guard ends it.
fn end(peer: Peer, then: Then) -> Option<Peer> {
    match then {
        Then::Keep => return Some(peer),
        Then::Close => {
            // What is unread would make it a reset.
            peer.half_close();
            return Some(peer);
        }
        Then::Reset => peer.reset(),
    }
    None
}

/// A fresh connection serves the next request of the same client.
fn assert_serves_afresh(backend: &Backend, client: &mut Peer) {
    client.send(get("/next"));
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.line, "GET /next HTTP/1.1");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnext");
    client.answered_with("next");
}

#[test]
fn what_is_no_answer_is_a_502() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bad_chunk = format!("{chunked}zz\r\n");
    let signed_chunk = format!("{chunked}+5\r\nhello\r\n0\r\n\r\n");
    let bare_lf_chunk = format!("{chunked}5\nhello\n0\n\n");
    let faults = [
        ("", Then::Close),
        ("", Then::Reset),
        ("HTTP/1.1 200 OK\r\nContent-Le", Then::Close),
        ("HTTP/1.1 200 OK\r\nContent-Le", Then::Reset),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", Then::Reset),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Then::Keep,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            Then::Keep,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
            Then::Keep,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Then::Keep),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", Then::Keep),
        (
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
            Then::Keep,
        ),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Then::Keep),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            Then::Keep,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            Then::Keep,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Then::Keep,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            Then::Keep,
        ),
        ("HTTP/2.0 200 OK\r\n\r\n", Then::Keep),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Then::Keep),
        (&*long, Then::Keep),
        (&*many, Then::Keep),
        // Their heads are good, and nothing of them is gone when the fault is seen.
        (&*bad_chunk, Then::Keep),
        (&*signed_chunk, Then::Keep),
        (&*bare_lf_chunk, Then::Keep),
    ];
    let (backend, guard) = pair(&[]);
    for (bytes, then) in faults {
        let shown = &bytes[..bytes.len().min(80)];
        let mut client = client(&guard);
        client.send(get("/"));
        let (mut peer, _) = backend.accept_head();
        peer.send(bytes);
        let held = end(peer, then);
        let mut answer = client.answer();
        if answer.head.status() == 103 {
            answer = client.answer();
        }
        assert_eq!(answer.head.status(), 502, "{shown:?}");
        assert_eq!(answer.body, br#"{"error":"Bad gateway"}"#, "{shown:?}");
        assert_eq!(answer.head.field("content-type"), Some("application/json"));
        assert_eq!(answer.head.field("connection"), None, "{shown:?}");
        assert_serves_afresh(&backend, &mut client);
        if let Some(mut peer) = held {
            peer.rest();
        }
    }
}

#[test]
fn a_502_to_head_has_no_body() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(granted("HEAD / HTTP/1.1", ""));
    backend.accept_head().0.reset();
    assert_eq!(client.head().status(), 502);
    assert_serves_afresh(&backend, &mut client);
}

/// Whether what a client has of a body looks like all of it.
fn looks_whole(head: &str, rest: &[u8], end: End) -> bool {
    if head.contains("transfer-encoding: chunked") {
        return rest.ends_with(b"0\r\n\r\n");
    }
    if head.contains("content-length") {
        return false;
    }
    end == End::Closed
}

#[test]
fn a_body_that_breaks_off_is_broken_off() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    let (backend, guard) = pair(&[]);
    for version in ["1.1", "1.0"] {
        for (head, body, more, then) in [
            (length, "hello", "", Then::Close),
            (length, "hello", "", Then::Reset),
            (chunked, "5\r\nhello\r\n", "", Then::Close),
            (chunked, "5\r\nhello\r\n", "", Then::Reset),
            (chunked, "5\r\nhello\r\n", "5\r\nhe", Then::Close),
            (chunked, "5\r\nhello\r\n", "5\r\nhe", Then::Reset),
            (chunked, "5\r\nhello\r\n", "0\r\n", Then::Close),
            (chunked, "5\r\nhello\r\n", "0\r\nX-A: b\r\n", Then::Close),
            (chunked, "5\r\nhello\r\n", "zz\r\n", Then::Keep),
            (chunked, "5\r\nhello\r\n", "5\r\nhello!\r\n", Then::Keep),
            (chunked, "5\r\nhello\r\n", "0\r\nA b\r\n\r\n", Then::Keep),
            (open, "hello", "", Then::Reset),
        ] {
            let case = format!("{head}{body}{more} {then:?} to HTTP/{version}");
            let mut client = client(&guard);
            client.send(granted(&format!("GET / HTTP/{version}"), ""));
            let (mut peer, _) = backend.accept_head();
            peer.send(format!("{head}{body}"));
            let found = client.head();
            assert_eq!(found.status(), 200);
            let fields = format!("{found:?}");
            let fields = if fields.contains("transfer-encoding") {
                "transfer-encoding: chunked"
            } else if fields.contains("content-length") {
                "content-length"
            } else {
                ""
            };
            // The first part is there before the rest breaks.
            let first: usize = if fields.contains("chunked") { 10 } else { 5 };
            client.take(first);
            peer.send(more);
            let held = end(peer, then);
            let (rest, how) = client.rest();
            assert!(!looks_whole(fields, &rest, how), "{case}: {rest:?} {how:?}");
            drop(held);
        }
    }
}

/// A reset within an early answer that ends with the connection looks like its end once
/// the failed write has taken the error.
#[test]
fn a_reset_that_a_write_meets_first_is_a_reset() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(granted("POST / HTTP/1.1", "Content-Length: 1000\r\n") + "a");
    let (mut peer, _) = backend.accept_head();
    peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
    assert_eq!(client.head().status(), 200);
    assert_eq!(client.take(10), b"5\r\nhello\r\n");
    guard.signal(rustix::process::Signal::STOP);
    client.send("b");
    peer.reset();
    guard.signal(rustix::process::Signal::CONT);
    let (rest, _) = client.rest();
    assert_eq!(
        rest.escape_ascii().to_string(),
        "",
        "it is not ended as if whole"
    );
}

#[test]
fn an_answer_without_length_ends_with_the_connection() {
    let (backend, guard) = pair(&[]);
    for version in ["1.0", "1.1"] {
        let mut client = client(&guard);
        client.send(get("/"));
        let (mut peer, _) = backend.accept_head();
        peer.send(format!(
            "HTTP/{version} 200 OK\r\nConnection: keep-alive\r\n\r\nall of it"
        ));
        drop(peer);
        client.answered_with("all of it");
        assert_serves_afresh(&backend, &mut client);
    }
}

#[test]
fn what_stands_behind_an_answer_reaches_nobody() {
    let (backend, guard) = pair(&[]);
    let evil = ok("evil");
    for head in ["GET", "HEAD"] {
        let mut client = client(&guard);
        client.send(granted(&format!("{head} / HTTP/1.1"), ""));
        let (mut peer, _) = backend.accept_head();
        let body = if head == "GET" { "good" } else { "" };
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{body}{evil}"
        ));
        assert_eq!(client.head().status(), 200);
        assert_eq!(client.take(body.len()), body.as_bytes());
        assert_serves_afresh(&backend, &mut client);
    }
    // It comes later, while nobody uses the connection.
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("good"));
    client.answered_with("good");
    peer.send(&evil);
    peer.rest();
    assert_serves_afresh(&backend, &mut client);
}

/// Where an answer ends exactly at the end of a full read, what stands behind it is in
/// the socket still, and no event will tell of it.
#[test]
fn what_stands_behind_a_full_read_reaches_nobody() {
    let (backend, guard) = pair(&[]);
    for size in [16 * 1024, 32 * 1024, 64 * 1024, 96 * 1024] {
        let mut client = client(&guard);
        client.send(get("/"));
        let (mut peer, _) = backend.accept_head();
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let length = size - head(size).len();
        let body = "x".repeat(length);
        guard.signal(rustix::process::Signal::STOP);
        peer.send(format!("{}{body}{}", head(length), ok("evil")));
        guard.signal(rustix::process::Signal::CONT);
        client.answered_with(&body);
        assert_serves_afresh(&backend, &mut client);
    }
}

#[test]
fn a_connect_reaches_no_backend() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(granted("CONNECT test:80 HTTP/1.1", ""));
    client.answered(501);
    client.ends();
    assert!(backend.accepted().is_none());
}

/// The worker hears of the next request before it hears of the bytes that nobody has
/// asked for.
#[test]
fn what_comes_on_a_kept_connection_is_nobodys_answer() {
    let (backend, guard) = pair(&[("WORKERS", "1")]);
    for _ in 0..5 {
        let mut first = client(&guard);
        first.send(granted("HEAD / HTTP/1.1", ""));
        let (mut peer, _) = backend.accept_head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n");
        assert_eq!(first.head().status(), 200);
        let mut second = client(&guard);
        second.send(get("/first"));
        assert_eq!(peer.head().line, "GET /first HTTP/1.1");
        peer.send(ok("first"));
        second.answered_with("first");
        guard.signal(rustix::process::Signal::STOP);
        second.send(get("/next"));
        peer.send(ok("evil"));
        guard.signal(rustix::process::Signal::CONT);
        let (mut fresh, head) = backend.accept_head();
        assert_eq!(head.line, "GET /next HTTP/1.1");
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnext");
        second.answered_with("next");
    }
}

#[test]
fn interim_answers_without_end_are_no_answer() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(200));
    peer.ends();
    for _ in 0..=100 {
        client.answered(103);
    }
    client.answered(502);
}
