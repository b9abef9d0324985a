//! WebSocket tunnels.

use std::time::Duration;

use crate::scripted::{End, Peer, WATCHED, broken, client, get, granted, ok, pair};
use crate::support::metrics::{metrics, wait_for};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\n\r\n";

fn upgrade() -> String {
    granted(
        "GET /socket HTTP/1.1",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n",
    )
}

fn tunnel(more: &[(&str, &str)]) -> (Peer, Peer, crate::support::Guard) {
    let (backend, guard) = pair(more);
    let mut client = client(&guard);
    client.send(upgrade());
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("connection"), Some("upgrade"));
    assert_eq!(head.field("sec-websocket-key"), Some("a"));
    peer.send(SWITCH);
    let head = client.head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("x-a"), Some("1"));
    assert_eq!(head.field("content-length"), None);
    (client, peer, guard)
}

#[test]
fn bytes_pass_both_ways_and_each_side_may_close_first() {
    for client_first in [true, false] {
        let (mut client, mut peer, _guard) = tunnel(&[]);
        for _ in 0..3 {
            client.send("ping");
            assert_eq!(peer.take(4), b"ping");
            peer.send("pong");
            assert_eq!(client.take(4), b"pong");
        }
        let (first, second) = if client_first {
            (&mut client, &mut peer)
        } else {
            (&mut peer, &mut client)
        };
        first.half_close();
        assert_eq!(second.ends(), End::Closed);
        second.send("still here");
        assert_eq!(first.take(10), b"still here");
        second.half_close();
        assert_eq!(first.ends(), End::Closed);
    }
}

#[test]
fn bytes_behind_the_heads_belong_to_the_tunnel() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(upgrade() + "early");
    let (mut peer, _) = backend.accept_head();
    peer.send(format!("{SWITCH}hello"));
    assert_eq!(client.head().status(), 101);
    assert_eq!(client.take(5), b"hello");
    assert_eq!(peer.take(5), b"early");
}

#[test]
fn many_bytes_pass_both_ways_at_once() {
    let body = crate::scripted::noise(5_000_000);
    let (client, peer, _guard) = tunnel(&[]);
    std::thread::scope(|scope| {
        for end in [client, peer] {
            let mut writer = end.try_clone();
            let mut reader = end;
            let body = &body;
            scope.spawn(move || {
                writer.send(body);
                writer.half_close();
            });
            scope.spawn(move || {
                let (found, how) = reader.rest();
                assert!(&found == body, "{} bytes", found.len());
                assert_eq!(how, End::Closed);
            });
        }
    });
}

#[test]
fn a_101_that_was_not_asked_for_so_is_a_502() {
    let (backend, guard) = pair(&[]);
    let h2c = granted(
        "GET / HTTP/1.1",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
    );
    let with_body = granted(
        "POST / HTTP/1.1",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
    );
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    for (request, answer, asks) in [
        (get("/"), SWITCH, None),
        (h2c, SWITCH, None),
        (with_body, SWITCH, None),
        (upgrade(), other, Some("websocket")),
    ] {
        let mut client = client(&guard);
        client.send(request);
        let (mut peer, head) = backend.accept_head();
        assert_eq!(head.field("upgrade"), asks);
        assert_eq!(head.field("http2-settings"), None);
        peer.send(answer);
        client.answered(502);
        peer.ends();
    }
}

#[test]
fn an_upgrade_that_is_refused_is_an_answer_like_others() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(upgrade());
    let (mut peer, _) = backend.accept_head();
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.answered(403).body, b"no");
    client.send(get("/"));
    peer.head();
    peer.send(ok("a"));
    client.answered_with("a");
}

#[test]
fn a_tunnel_is_closed_when_nothing_passes_and_not_before() {
    let (mut client, mut peer, guard) = tunnel(&[
        WATCHED,
        ("TUNNEL_IDLE_TIMEOUT", "2"),
        ("BACKEND_TIMEOUT", "0.2"),
        ("BODY_TIMEOUT", "0.2"),
    ]);
    for number in 0..6 {
        // The pause is the case: it is longer than any other timeout.
        std::thread::sleep(Duration::from_millis(600));
        let (from, to) = if number % 2 == 0 {
            (&mut client, &mut peer)
        } else {
            (&mut peer, &mut client)
        };
        from.send("x");
        assert_eq!(to.take(1), b"x");
    }
    client.ends();
    peer.ends();
    let closed = "connections_closed_total{reason=\"idle\"} 1".to_owned();
    let admin = guard.second_address();
    wait_for(admin, &[closed, broken("tunnel_idle", 1)]);
    let counted = metrics(admin);
    assert!(counted.contains("class=\"1xx\"} 1\n"), "{counted}");
}

#[test]
fn whoever_resets_a_tunnel_ends_it_on_the_other_side() {
    let (client, mut peer, _guard) = tunnel(&[]);
    client.reset();
    peer.ends();
    let (mut client, peer, _guard) = tunnel(&[]);
    peer.reset();
    assert_eq!(client.ends(), End::Reset);
}

#[test]
fn http_1_0_gets_no_tunnel() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(upgrade().replace("HTTP/1.1", "HTTP/1.0"));
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.field("upgrade"), None);
    peer.send(ok("a"));
    client.answered_with("a");
}
