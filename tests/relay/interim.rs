//! Interim answers: 103 is the backend's, 100 is ours, HTTP/1.0 knows neither.

use crate::scripted::{client, get, granted, guard_for, ok, pair};
use crate::support::port::HeldPort;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn hints_pass_at_once_and_100_of_the_backend_does_not() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(HINTS);
    let hints = client.answered(103);
    assert_eq!(hints.head.field("link"), Some("</a.css>; rel=preload"));
    assert_eq!(hints.head.field("connection"), None);
    peer.send(format!("{CONTINUE}{HINTS}{CONTINUE}{}", ok("a")));
    client.answered(103);
    client.answered_with("a");
    // The connection to the backend is in step.
    client.send(get("/"));
    peer.head();
    peer.send(ok("b"));
    client.answered_with("b");
}

#[test]
fn http_1_0_gets_no_interim_answer() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let fields = "Expect: 100-continue\r\nContent-Length: 2\r\n";
    client.send(granted("POST / HTTP/1.0", fields));
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.field("expect"), None);
    peer.send(format!("{HINTS}{CONTINUE}"));
    client.send("hi");
    assert_eq!(peer.take(2), b"hi");
    peer.send(ok("a"));
    client.answered_with("a");
}

#[test]
fn a_client_that_expects_100_gets_ours_once() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    for (body, fields) in [
        ("hi", "Content-Length: 2\r\n"),
        ("2\r\nhi\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
    ] {
        client.send(granted(
            "POST / HTTP/1.1",
            &format!("Expect: 100-continue\r\n{fields}"),
        ));
        client.answered(100);
        client.send(body);
        let mut peer = backend.accept();
        let request = peer.request();
        assert_eq!(request.head.field("expect"), None);
        assert_eq!(request.body, b"hi");
        peer.send(format!(
            "{CONTINUE}HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"
        ));
        client.answered_with("a");
    }
}

#[test]
fn a_client_that_does_not_wait_for_the_100_gets_none() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    let fields = "Expect: 100-continue\r\nContent-Length: 2\r\n";
    client.send(granted("POST / HTTP/1.1", fields) + "hi");
    let mut peer = backend.accept();
    assert_eq!(peer.request().body, b"hi");
    peer.send(ok("a"));
    client.answered_with("a");
}

#[test]
fn without_a_backend_there_is_no_100() {
    let closed = HeldPort::new();
    let guard = guard_for(&closed.url(), &[]);
    let mut client = client(&guard);
    let fields = "Expect: 100-continue\r\nContent-Length: 2\r\n";
    client.send(granted("POST / HTTP/1.1", fields));
    let answer = client.answered(502);
    assert_eq!(answer.head.field("connection"), Some("close"));
    // What the client sends all the same does not reset its answer.
    client.send("hi");
    client.ends();
}
