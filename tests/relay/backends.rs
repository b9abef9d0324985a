//! Several backends, several addresses, Unix sockets, and requests in a circle.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use crate::scripted::{
    Backend, Silent, accept_either, accept_unix, client, get, granted, guard_for, ok, pair,
    socket_path, unix_url,
};
use crate::support::port::HeldPort;

#[test]
fn the_backend_with_fewer_requests_outstanding_gets_the_next() {
    let (a, b) = (Backend::new(), Backend::new());
    let guard = guard_for(&format!("{},{}", a.url(), b.url()), &[]);
    let mut held = client(&guard);
    held.send(get("/held"));
    let (at, mut slow) = accept_either(&a, &b);
    slow.head();
    let (busy, quick) = if at == 0 { (&a, &b) } else { (&b, &a) };
    // One slow backend does not hold up what goes to the other.
    let mut client = client(&guard);
    client.send(get("/1"));
    let (mut peer, _) = quick.accept_head();
    peer.send(ok("1"));
    client.answered_with("1");
    for number in 2..10 {
        client.send(get(&format!("/{number}")));
        peer.head();
        peer.send(ok("again"));
        client.answered_with("again");
    }
    assert!(busy.accepted().is_none());
    slow.send(ok("late"));
    held.answered_with("late");
}

#[test]
fn a_backend_that_refuses_is_passed_over() {
    let (gone, backend) = (HeldPort::new(), Backend::new());
    let guard = guard_for(&format!("{},{}", gone.url(), backend.url()), &[]);
    backend.serve(|mut peer| {
        loop {
            peer.request();
            peer.send(ok("a"));
        }
    });
    for _ in 0..20 {
        let mut client = client(&guard);
        client.send(get("/"));
        client.answered_with("a");
        client.send(granted("POST / HTTP/1.1", "Content-Length: 2\r\n") + "hi");
        client.answered_with("a");
    }
}

#[test]
fn a_backend_that_takes_no_connection_is_passed_over() {
    let silent = Silent::new();
    let backend = Backend::new();
    let urls = format!("{},{}", silent.url(), backend.url());
    let guard = guard_for(&urls, &[("BACKEND_CONNECT_TIMEOUT", "0.3")]);
    for number in 0..4 {
        let mut client = client(&guard);
        client.send(granted("POST / HTTP/1.1", "Content-Length: 2\r\n") + "hi");
        let mut peer = backend.accept();
        assert_eq!(peer.request().body, b"hi", "{number}");
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na");
        client.answered_with("a");
    }
}

/// A kept connection ends, and its backend is gone: the request goes to the other one.
#[test]
fn what_may_go_again_goes_to_another_backend() {
    let (a, b) = (Backend::new(), Backend::new());
    let guard = guard_for(&format!("{},{}", a.url(), b.url()), &[]);
    let mut client = client(&guard);
    client.send(get("/first"));
    let (at, mut kept) = accept_either(&a, &b);
    kept.head();
    kept.send(ok("first"));
    client.answered_with("first");
    let (going, other) = if at == 0 { (a, b) } else { (b, a) };
    // With a request outstanding at the other one, the next goes by the kept connection.
    let mut busy = crate::scripted::client(&guard);
    busy.send(get("/held"));
    let mut late = loop {
        if let Some(mut peer) = other.accepted() {
            peer.head();
            break peer;
        }
        if kept.has_more() {
            kept.head();
            kept.send(ok("held"));
            busy.answered_with("held");
            busy.send(get("/held"));
        }
    };
    client.send(get("/again"));
    assert_eq!(kept.head().line, "GET /again HTTP/1.1");
    let _gone = going.stop();
    drop(kept);
    let (mut peer, head) = other.accept_head();
    assert_eq!(head.line, "GET /again HTTP/1.1");
    peer.send(ok("again"));
    client.answered_with("again");
    late.send(ok("late"));
    busy.answered_with("late");
}

#[test]
fn where_all_are_left_alone_each_is_tried_again() {
    let (a, b) = (HeldPort::new(), HeldPort::new());
    let guard = guard_for(&format!("{},{}", a.url(), b.url()), &[]);
    let mut client = client(&guard);
    for _ in 0..3 {
        client.send(get("/"));
        client.answered(502);
    }
    // One comes back, and its rest has not ended.
    let a = Backend::at(a);
    client.send(get("/"));
    let (mut peer, _) = a.accept_head();
    peer.send(ok("back"));
    client.answered_with("back");
}

#[test]
fn a_single_backend_that_comes_back_is_used_at_once() {
    let port = HeldPort::new();
    let guard = guard_for(&port.url(), &[]);
    let mut client = client(&guard);
    for _ in 0..3 {
        client.send(get("/"));
        let answer = client.answered(502);
        assert_eq!(answer.body, br#"{"error":"Bad gateway"}"#);
    }
    let backend = Backend::at(port);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("back"));
    client.answered_with("back");
}

#[test]
fn every_address_of_a_name_is_tried() {
    // What is below localhost has both addresses, whatever /etc/hosts says of localhost.
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    for (ip, other) in [(v4, v6), (v6, v4)] {
        let backend = Backend::alone_at(ip, other);
        let port = backend.address().port();
        let guard = guard_for(&format!("http://relay.localhost:{port}"), &[]);
        let mut client = client(&guard);
        client.send(get("/"));
        let (mut peer, _) = backend.accept_head();
        peer.send(ok("a"));
        client.answered_with("a");
    }
}

#[test]
fn a_unix_socket_is_a_backend() {
    let path = socket_path("backend");
    let listener = UnixListener::bind(&path).expect("bound");
    let guard = guard_for(&unix_url(&path), &[]);
    let mut client = client(&guard);
    client.send(get("/1"));
    let mut peer = accept_unix(&listener);
    assert_eq!(peer.head().field("host"), Some("test"));
    peer.send(ok("1"));
    client.answered_with("1");
    client.send(granted("POST /2 HTTP/1.1", "Content-Length: 2\r\n") + "hi");
    assert_eq!(peer.request().body, b"hi");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(client.head().status(), 200);
    drop(peer);
    assert_eq!(client.rest().0, b"half");
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn a_unix_socket_whose_backlog_is_full_is_tried_again() {
    let path = socket_path("full");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &SocketAddrUnix::new(&path).expect("a path")).expect("bound");
    listen(&listener, 0).expect("listens");
    let held = UnixStream::connect(&path).expect("connected");
    let guard = guard_for(&unix_url(&path), &[("BACKEND_CONNECT_TIMEOUT", "20")]);
    let short = guard_for(&unix_url(&path), &[("BACKEND_CONNECT_TIMEOUT", "0.3")]);
    let mut waits = client(&guard);
    waits.send(granted(
        "POST / HTTP/1.1",
        "Expect: 100-continue\r\nContent-Length: 2\r\n",
    ));
    let mut given_up = client(&short);
    given_up.send(get("/"));
    given_up.answered(504);
    assert!(!waits.has_more(), "a 100 before there is a backend");
    let listener = UnixListener::from(listener);
    drop(listener.accept().expect("the one that fills it"));
    drop(held);
    let mut peer = accept_unix(&listener);
    waits.answered(100);
    waits.send("hi");
    assert_eq!(peer.request().body, b"hi");
    peer.send(ok("a"));
    waits.answered_with("a");
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn a_request_that_comes_back_is_a_508() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(granted("GET / HTTP/1.1", "CDN-Loop: other; x=\"y\"\r\n"));
    let (mut peer, head) = backend.accept_head();
    let seen = head.field("cdn-loop").expect("a mark").to_owned();
    assert!(seen.starts_with("other; x=\"y\", "), "{seen}");
    peer.send(ok("a"));
    client.answered_with("a");
    for value in [seen.clone(), format!("{seen}, other")] {
        // It is looked at before the verdict.
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: test\r\nCDN-Loop: {value}\r\n\r\n"
        ));
        client.answered(508);
    }
    client.send(get("/"));
    peer.head();
    peer.send(ok("b"));
    client.answered_with("b");
}

/// Two guards whose backends are each other end a request by themselves.
#[test]
fn two_guards_in_a_circle_end_it() {
    let first = Backend::new();
    let first_url = first.url();
    let held = first.stop();
    let listen = held.address.to_string();
    let second = guard_for(&first_url, &[]);
    let second_url = format!("http://{}", second.address);
    // The secret does not pass, so the second guard would deny; public paths need none.
    let public = [("PUBLIC_PATHS", "/"), ("LISTEN", listen.as_str())];
    let guard = guard_for(&second_url, &public);
    let mut client = client(&guard);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client.answered(401);
}

#[test]
fn requests_at_once_have_connections_of_their_own() {
    const CLIENTS: usize = 20;
    let (backend, guard) = pair(&[]);
    let (at_once, connections) = (
        Arc::new(Barrier::new(CLIENTS)),
        Arc::new(AtomicUsize::new(0)),
    );
    let counted = Arc::clone(&connections);
    backend.serve(move |mut peer| {
        counted.fetch_add(1, SeqCst);
        loop {
            let request = peer.request();
            at_once.wait();
            peer.send(ok(request.head.line.split(' ').nth(1).expect("a path")));
        }
    });
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&guard)).collect();
    for _ in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(get(&format!("/{number}")));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.answered_with(&format!("/{number}"));
        }
    }
    assert_eq!(connections.load(SeqCst), CLIENTS, "they are used again");
}
