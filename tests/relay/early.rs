//! Answers that come while the request is still on its way.

use std::os::unix::net::UnixStream;

use crate::scripted::{
    Backend, End, Peer, client, granted, guard_for, noise, ok, pair, socket_path,
};
use crate::support::PATIENCE;

fn upload(length: usize) -> String {
    granted("POST / HTTP/1.1", &format!("Content-Length: {length}\r\n"))
}

#[test]
fn a_backend_that_refuses_an_upload_is_heard_and_the_upload_read_off() {
    const LENGTH: usize = 10_000_000;
    let (backend, guard) = pair(&[]);
    for keeps in [true, false] {
        let mut client = client(&guard);
        client.send(upload(LENGTH));
        client.send(noise(1_000));
        let (mut peer, _) = backend.accept_head();
        let body = "too large";
        let close = if keeps { "" } else { "Connection: close\r\n" };
        peer.send(format!(
            "HTTP/1.1 413 Too Large\r\n{close}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        if !keeps {
            // What it has not read makes this a reset.
            drop(peer);
        }
        let answer = client.answered(413);
        assert_eq!(answer.body, body.as_bytes());
        assert_eq!(answer.head.field("connection"), Some("close"));
        assert_eq!(client.ends(), End::Closed, "it half-closes at once");
        // A client that goes on does not see a broken connection.
        client.send(noise(LENGTH - 1_000));
        client.half_close();
    }
}

#[test]
fn an_upload_goes_on_while_the_answer_comes() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(upload(6) + "one");
    let (mut peer, _) = backend.accept_head();
    assert_eq!(peer.take(3), b"one");
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n");
    assert_eq!(client.head().status(), 200);
    assert_eq!(client.take(8), b"3\r\nuno\r\n");
    client.send("two");
    assert_eq!(peer.take(3), b"two");
    peer.send("3\r\ndos\r\n0\r\n\r\n");
    assert_eq!(client.take(13), b"3\r\ndos\r\n0\r\n\r\n");
    client.ends();
}

/// A client that stops its upload when it sees the answer gets the whole of it, however
/// long that takes.
#[test]
fn an_answer_that_has_begun_does_not_end_by_the_timeout_of_the_request() {
    let (backend, guard) = pair(&[("BODY_TIMEOUT", "0.3")]);
    let mut client = client(&guard);
    client.send(upload(1_000) + "one");
    let (mut peer, _) = backend.accept_head();
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        // The time that passes is the case.
        std::thread::sleep(std::time::Duration::from_millis(100));
        peer.send("x");
    }
    assert_eq!(client.answered(403).body, b"xxxxxxxxxx");
}

#[test]
fn a_backend_that_closes_within_the_upload_is_heard_where_it_has_answered() {
    let (backend, guard) = pair(&[]);
    for (answer, status) in [(ok("heard"), 200), (String::new(), 502)] {
        let mut client = client(&guard);
        let mut writer = client.try_clone();
        let sender = std::thread::spawn(move || {
            writer.send(upload(20_000_000));
            writer.send(noise(20_000_000));
        });
        let (mut peer, _) = backend.accept_head();
        peer.send(answer);
        drop(peer);
        let answer = client.answered(status);
        assert_eq!(answer.head.field("connection"), Some("close"));
        sender.join().expect("what it sends is read off");
        client.half_close();
        client.ends();
    }
}

/// A client that is blocked in its upload when the answer comes is not waited for: what it
/// has sent is there, and no event tells of it again.
#[test]
fn an_upload_that_stands_still_when_the_answer_comes_is_read_off() {
    const LENGTH: usize = 30_000_000;
    let (backend, guard) = pair(&[]);
    for fields in [
        "Content-Length: 4\r\n",
        "Connection: close\r\nContent-Length: 4\r\n",
    ] {
        let body = noise(LENGTH);
        let mut client = client(&guard);
        let mut writer = client.try_clone();
        let sender = std::thread::spawn(move || {
            writer.send(upload(LENGTH));
            writer.send(body);
        });
        let (mut peer, _) = backend.accept_head();
        // Until all buffers on the way are full; that it stands still is the case.
        std::thread::sleep(std::time::Duration::from_secs(1));
        peer.send(format!("HTTP/1.1 403 Forbidden\r\n{fields}\r\nnone"));
        assert_eq!(client.answered(403).body, b"none");
        sender.join().expect("the rest of it is read off");
        client.half_close();
        client.ends();
    }
}

/// The same over a Unix socket, where not even our own half-close is an event for us.
#[test]
fn an_upload_over_a_unix_socket_that_stands_still_is_read_off() {
    const LENGTH: usize = 30_000_000;
    let backend = Backend::new();
    let path = socket_path("early");
    let listen = format!("unix:{}", path.display());
    let _guard = guard_for(&backend.url(), &[("LISTEN", &listen)]);
    let stream = UnixStream::connect(&path).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut writer = Peer::new(stream.try_clone().expect("another handle"));
    let mut client = Peer::new(stream);
    let body = noise(LENGTH);
    let sender = std::thread::spawn(move || {
        writer.send(upload(LENGTH));
        writer.send(body);
    });
    let (mut peer, _) = backend.accept_head();
    std::thread::sleep(std::time::Duration::from_secs(1));
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnone");
    assert_eq!(client.answered(403).body, b"none");
    sender.join().expect("the rest of it is read off");
    client.ends();
}
