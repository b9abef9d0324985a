//! SIGTERM: what is in flight is finished, what has no end is closed.

use rustix::process::Signal;

use crate::scripted::{WATCHED, broken, client, get, granted, noise, ok, pair};
use crate::support::Guard;
use crate::support::metrics::Watch;

fn assert_stops(guard: &mut Guard) {
    guard.wait_for_log(|line| line.contains("stopped"));
    assert_eq!(guard.wait().code(), Some(0));
}

fn drain(guard: &Guard) {
    let mut idle = client(guard);
    guard.signal(Signal::TERM);
    guard.wait_for_log(|line| line.contains("draining"));
    // The worker has been told once it closes a connection that is idle.
    idle.ends();
}

#[test]
fn exchanges_in_flight_are_finished() {
    let (backend, mut guard) = pair(&[("DRAIN_TIMEOUT", "600")]);
    let mut waits = client(&guard);
    waits.send(get("/waits"));
    let (mut waits_peer, _) = backend.accept_head();
    let mut uploads = client(&guard);
    uploads.send(granted("POST /uploads HTTP/1.1", "Content-Length: 4\r\n") + "ab");
    let (mut uploads_peer, _) = backend.accept_head();
    uploads_peer.take(2);
    let mut loads = client(&guard);
    loads.send(get("/loads"));
    let (mut loads_peer, _) = backend.accept_head();
    loads_peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    loads.head();
    loads.take(4);
    drain(&guard);
    assert!(guard.is_running());
    uploads.send("cd");
    assert_eq!(uploads_peer.take(2), b"cd");
    for (client, peer) in [
        (&mut waits, &mut waits_peer),
        (&mut uploads, &mut uploads_peer),
    ] {
        peer.send(ok("done"));
        let answer = client.answered_with("done");
        assert_eq!(answer.head.field("connection"), Some("close"));
        client.ends();
    }
    assert!(guard.is_running());
    loads_peer.send("full");
    assert_eq!(loads.take(4), b"full");
    loads.ends();
    assert_stops(&mut guard);
    assert!(!guard.log().iter().any(|line| line.contains("unfinished")));
}

#[test]
fn pipelined_requests_that_have_come_are_answered() {
    let (backend, mut guard) = pair(&[("DRAIN_TIMEOUT", "600")]);
    let mut client = client(&guard);
    client.send(get("/1") + &get("/2") + &get("/3"));
    let (mut peer, _) = backend.accept_head();
    drain(&guard);
    for path in ["/1", "/2", "/3"] {
        if path != "/1" {
            peer.head();
        }
        peer.send(ok(path));
        let answer = client.answered_with(path);
        let closes = (path == "/3").then_some("close");
        assert_eq!(answer.head.field("connection"), closes, "{path}");
    }
    client.ends();
    assert_stops(&mut guard);
}

#[test]
fn tunnels_and_event_streams_are_closed_at_once() {
    let (backend, mut guard) = pair(&[("DRAIN_TIMEOUT", "600"), WATCHED]);
    let operator = Watch::begin(guard.second_address());
    let mut tunnel = client(&guard);
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    tunnel.send(granted("GET / HTTP/1.1", fields));
    let (mut tunnel_peer, _) = backend.accept_head();
    tunnel_peer.send(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n"));
    assert_eq!(tunnel.head().status(), 101);
    let mut events = client(&guard);
    events.send(get("/events"));
    let (mut events_peer, _) = backend.accept_head();
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n";
    events_peer.send(stream);
    assert_eq!(events.head().status(), 200);
    for number in 0..3 {
        // Each event arrives before the next one is sent.
        let event = format!("data: {number}\n\n");
        events_peer.send(&event);
        assert_eq!(
            events.take(event.len() + 5),
            format!("9\r\n{event}\r\n").as_bytes()
        );
    }
    let mut late = client(&guard);
    late.send(get("/late"));
    let (mut late_peer, _) = backend.accept_head();
    drain(&guard);
    tunnel.ends();
    tunnel_peer.ends();
    events.ends();
    events_peer.ends();
    // One that begins in the drain is closed, too.
    late_peer.send(stream);
    late_peer.rest();
    let counted = operator.end();
    assert!(counted.contains(&broken("closed", 3)), "{counted}");
    assert_stops(&mut guard);
}

#[test]
fn what_is_stuck_does_not_outlast_the_drain() {
    let (backend, mut guard) = pair(&[("DRAIN_TIMEOUT", "0.5")]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    guard.signal(Signal::TERM);
    assert_stops(&mut guard);
    guard.wait_for_log(|line| line.contains("unfinished=1"));
    client.rest();
    peer.rest();
}

/// Load, and SIGTERM within it: each request that was sent to an open connection is
/// answered by the backend.
#[test]
fn sigterm_under_load_loses_no_request() {
    let (backend, mut guard) = pair(&[("WORKERS", "2")]);
    backend.serve(|mut peer| {
        loop {
            peer.request();
            peer.send(ok("a"));
        }
    });
    let (started, starts) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let mut client = client(&guard);
            let started = started.clone();
            scope.spawn(move || {
                let mut answers = 0;
                while !client.has_more() {
                    client.send(get("/"));
                    let answer = client.answered_with("a");
                    answers += 1;
                    if answers == 10 {
                        started.send(()).expect("told");
                    }
                    if answer.head.field("connection") == Some("close") {
                        break;
                    }
                }
                client.ends();
            });
        }
        for _ in 0..16 {
            starts
                .recv_timeout(crate::support::PATIENCE)
                .expect("every client is at it");
        }
        guard.signal(Signal::TERM);
        assert_stops(&mut guard);
    });
}

#[test]
fn a_long_download_is_finished() {
    const LENGTH: usize = 20_000_000;
    let (backend, mut guard) = pair(&[("DRAIN_TIMEOUT", "600")]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
    ));
    let sender = std::thread::spawn(move || {
        peer.send(noise(LENGTH));
        peer
    });
    drain(&guard);
    assert!(client.answered(200).body == noise(LENGTH));
    sender.join().expect("sent");
    assert_stops(&mut guard);
}
