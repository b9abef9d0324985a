//! Bodies in every framing, both ways, and connections that stay.

use std::io::Write as _;

use crate::scripted::{Framing, client, get, granted, noise, ok, pair};

const CHUNKS: &str =
    "5;name=\"v\"\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n";

#[test]
fn an_answer_keeps_its_body_whatever_its_framing() {
    let (backend, guard) = pair(&[]);
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: 1\r\n\r\nhello world".to_owned();
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n{CHUNKS}");
    let open = "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello world".to_owned();
    let old = "HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nhello world".to_owned();
    for (answer, version, framing, connection) in [
        (&length, "1.1", Framing::Length, None),
        (&length, "1.0", Framing::Length, Some("close")),
        (&chunked, "1.1", Framing::Chunked, None),
        (&chunked, "1.0", Framing::Close, Some("close")),
        (&open, "1.1", Framing::Chunked, None),
        (&open, "1.0", Framing::Close, Some("close")),
        (&old, "1.1", Framing::Chunked, None),
    ] {
        let mut client = client(&guard);
        client.send(granted(&format!("GET / HTTP/{version}"), ""));
        let (mut peer, head) = backend.accept_head();
        assert_eq!(head.line, "GET / HTTP/1.1");
        peer.send(answer);
        drop(peer);
        let found = client.answered_with("hello world");
        assert_eq!(found.framing, framing, "{answer} {version}");
        assert_eq!(found.head.field("x-a"), Some("1"));
        assert_eq!(
            found.head.field("connection"),
            connection,
            "{answer} {version}"
        );
        assert!(found.head.field("date").is_some(), "{found:?}");
        let trailers: &[&str] = match (answer == &chunked, version) {
            (true, "1.1") => &["X-Sum: 1"],
            _ => &[],
        };
        assert_eq!(found.trailers, trailers);
    }
}

#[test]
fn a_connection_of_http_1_0_stays_where_both_say_so() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let request = granted("GET / HTTP/1.0", "Connection: keep-alive\r\n");
    client.send(&request);
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("a"));
    let answer = client.answered_with("a");
    assert_eq!(answer.head.field("connection"), Some("keep-alive"));
    client.send(&request);
    peer.head();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n");
    let answer = client.answered_with("b");
    assert_eq!(answer.head.field("connection"), Some("close"));
}

#[test]
fn answers_that_have_no_body_leave_the_connection_in_step() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let head = granted("HEAD / HTTP/1.1", "");
    let mut peer = None;
    for (request, answer, status, length) in [
        (
            &head,
            "200 OK\r\nContent-Length: 1000\r\n",
            200,
            Some("1000"),
        ),
        (&head, "200 OK\r\nTransfer-Encoding: chunked\r\n", 200, None),
        (&head, "200 OK\r\n", 200, None),
        (&get("/"), "204 No Content\r\n", 204, None),
        (
            &get("/"),
            "304 Not Modified\r\nContent-Length: 77\r\n",
            304,
            Some("77"),
        ),
        (&get("/"), "304 Not Modified\r\n", 304, None),
        (
            &get("/"),
            "204 No Content\r\nContent-Length: 0\r\n",
            204,
            None,
        ),
        (&get("/"), "200 OK\r\nContent-Length: 0\r\n", 200, Some("0")),
    ] {
        client.send(request);
        let peer = peer.get_or_insert_with(|| backend.accept());
        peer.head();
        peer.send(format!("HTTP/1.1 {answer}\r\n"));
        let found = client.head();
        assert_eq!(found.status(), status, "{answer}");
        assert_eq!(found.field("content-length"), length, "{answer}");
        assert_eq!(found.field("transfer-encoding"), None, "{answer}");
        assert_eq!(found.field("connection"), None, "{answer}");
    }
    client.send(get("/"));
    let peer = &mut peer.expect("it stays");
    peer.head();
    peer.send(ok("last"));
    client.answered_with("last");
}

#[test]
fn a_request_keeps_its_body_and_loses_its_trailers() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(granted("POST /a HTTP/1.1", "Content-Length: 5\r\n") + "hello");
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.field("content-length"), Some("5"));
    assert_eq!(peer.take(5), b"hello");
    peer.send(ok("1"));
    client.answered_with("1");
    client.send(
        granted(
            "POST /b HTTP/1.1",
            "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
        ) + CHUNKS,
    );
    let request = peer.request();
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.body, b"hello world");
    assert_eq!(request.trailers, [""; 0]);
    assert_eq!(request.head.field("trailer"), None);
    peer.send(ok("2"));
    client.answered_with("2");
    client.send(granted("POST /c HTTP/1.1", "Content-Length: 0\r\n"));
    let request = peer.request();
    assert_eq!(request.head.field("content-length"), Some("0"));
    peer.send(ok("3"));
    client.answered_with("3");
}

#[test]
fn a_body_arrives_in_whatever_pieces_it_is_sent() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let request = granted("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + CHUNKS;
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}");
    let mut peer = None;
    for step in [1, 2, 3, 7] {
        for piece in request.as_bytes().chunks(step) {
            client.send(piece);
        }
        let peer = peer.get_or_insert_with(|| backend.accept());
        assert_eq!(peer.request().body, b"hello world");
        for piece in answer.as_bytes().chunks(step) {
            peer.send(piece);
        }
        client.answered_with("hello world");
    }
}

/// 8 MB each way at once, which no buffer holds.
#[test]
fn large_bodies_stream_both_ways() {
    let body = noise(8_000_000);
    let chunks = |body: &[u8]| {
        let mut out = Vec::new();
        for chunk in body.chunks(70_001) {
            write!(out, "{:x}\r\n", chunk.len()).expect("written");
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
        out
    };
    let (backend, guard) = pair(&[]);
    let echoed = body.clone();
    backend.serve(move |mut peer| {
        for _ in 0..2 {
            let request = peer.request();
            assert!(request.body == echoed, "{:?}", request.head);
            let length = format!("Content-Length: {}", echoed.len());
            if request.framing == Framing::Length {
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                peer.send(chunks(&echoed));
            } else {
                peer.send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
                peer.send(&echoed);
            }
        }
    });
    let mut client = client(&guard);
    let length = format!("Content-Length: {}\r\n", body.len());
    let by_length = [granted("PUT / HTTP/1.1", &length).as_bytes(), &body].concat();
    let chunked = granted("PUT / HTTP/1.1", "Transfer-Encoding: chunked\r\n");
    let by_chunks = [chunked.as_bytes(), &chunks(&body)].concat();
    for (request, framing) in [(by_length, Framing::Chunked), (by_chunks, Framing::Length)] {
        let mut writer = client.try_clone();
        let sender = std::thread::spawn(move || writer.send(request));
        let answer = client.answered(200);
        sender.join().expect("sent");
        assert_eq!(answer.framing, framing);
        assert!(answer.body == body, "{:?}", answer.head);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let post =
        |path: &str| granted(&format!("POST {path} HTTP/1.1"), "Content-Length: 2\r\n") + "hi";
    client.send(get("/1") + &post("/2") + "GET /3 HTTP/1.1\r\nHost: test\r\n\r\n" + &get("/4"));
    let mut peer = backend.accept();
    for path in ["/1", "/2", "/4"] {
        let request = peer.request();
        assert_eq!(request.head.line.split(' ').nth(1), Some(path));
        assert!(
            !peer.has_more(),
            "the next one waits for the answer to {path}"
        );
        peer.send(ok(path));
    }
    client.answered_with("/1");
    client.answered_with("/2");
    client.answered(401);
    client.answered_with("/4");
}

#[test]
fn what_stands_behind_a_chunked_body_is_the_next_request() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let chunked = granted("POST /1 HTTP/1.1", "Transfer-Encoding: chunked\r\n") + CHUNKS;
    client.send(chunked.clone() + &get("/2") + &chunked + &get("/3"));
    let mut peer = backend.accept();
    for (line, body) in [
        ("POST /1 HTTP/1.1", "hello world"),
        ("GET /2 HTTP/1.1", ""),
        ("POST /1 HTTP/1.1", "hello world"),
        ("GET /3 HTTP/1.1", ""),
    ] {
        let request = peer.request();
        assert_eq!(request.head.line, line);
        assert_eq!(request.body, body.as_bytes());
        assert!(!peer.has_more());
        peer.send(ok(line));
        client.answered_with(line);
    }
}

#[test]
fn many_pipelined_requests_are_all_answered() {
    const REQUESTS: usize = 2_000;
    let (backend, guard) = pair(&[]);
    backend.serve(|mut peer| {
        for _ in 0..REQUESTS {
            let request = peer.request();
            peer.send(ok(request.head.line.split(' ').nth(1).expect("a path")));
        }
    });
    let mut client = client(&guard);
    let mut writer = client.try_clone();
    let sender = std::thread::spawn(move || {
        for number in 0..REQUESTS {
            writer.send(get(&format!("/{number}")));
        }
    });
    for number in 0..REQUESTS {
        client.answered_with(&format!("/{number}"));
    }
    sender.join().expect("sent");
}

#[test]
fn connections_stay_on_each_side_independently() {
    let (backend, guard) = pair(&[]);
    let mut first = client(&guard);
    first.send(granted("GET /1 HTTP/1.1", "Connection: close\r\n"));
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.field("connection"), None);
    peer.send(ok("1"));
    assert_eq!(
        first.answered_with("1").head.field("connection"),
        Some("close")
    );
    first.ends();
    // The backend's connection is there still, for another client.
    let mut second = client(&guard);
    second.send(get("/2"));
    assert_eq!(peer.head().line, "GET /2 HTTP/1.1");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n2");
    assert_eq!(second.answered_with("2").head.field("connection"), None);
    peer.ends();
    // The client's connection stays, and a new one leads to the backend.
    second.send(get("/3"));
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.line, "GET /3 HTTP/1.1");
    peer.send(ok("3"));
    second.answered_with("3");
}

/// The body of a public request is not forwarded, so it must not be read as a request.
#[test]
fn the_body_of_a_public_request_is_no_request() {
    let (backend, guard) = pair(&[("PUBLIC_PATHS", "/open")]);
    let mut client = client(&guard);
    let hidden = "GET /open?hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    let length = hidden.len();
    client.send(format!(
        "GET /open HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{hidden}"
    ));
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.line, "GET /open HTTP/1.1");
    assert_eq!(head.field("content-length"), None);
    peer.send(ok("open"));
    let answer = client.answered_with("open");
    assert_eq!(answer.head.field("connection"), Some("close"));
    client.half_close();
    assert_eq!(client.rest().0.escape_ascii().to_string(), "");
    assert!(!peer.has_more(), "the body has become a request");
}
