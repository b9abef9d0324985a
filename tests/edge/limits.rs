//! Limits of consumers: exactly what they say, by all keys, on all workers.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use crate::both::{gateway, request};
use crate::scripted::{Backend, Peer, ok};
use crate::support::keys::KeyFile;
use crate::support::{Answer, Guard, PATIENCE, SECRET, command, complaints};

const TOO_MANY: &[u8] = br#"{"error":"Too many requests"}"#;

fn served() -> String {
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    url
}

/// An answer after which the backend's connection is not kept.
fn closing(body: &str) -> String {
    ok(body).replacen("\r\n", "\r\nConnection: close\r\n", 1)
}

fn status(gateway: &Guard, key: &str) -> u16 {
    gateway.ask(request("GET /", key, "")).status
}

fn wait_for_reloads(gateway: &Guard, count: usize) {
    let since = Instant::now();
    let is_reload = |line: &&String| line.contains("keys_reloaded");
    while gateway.log().iter().filter(is_reload).count() < count {
        assert!(since.elapsed() < PATIENCE, "{:#?}", gateway.log());
        std::thread::yield_now();
    }
}

#[test]
fn exactly_the_burst_passes_at_once_by_all_keys_and_on_all_workers() {
    let keys = KeyFile::new("edge-rate");
    let rate = ["--rate", "1/1h", "--burst", "100"];
    let (first, bob) = (keys.add("alice", &rate), keys.add("bob", &[]));
    let second = keys.add("alice", &[]);
    let gateway = gateway(&keys, &served(), &[("WORKERS", "2")]);
    let (granted, limited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..128 {
            let key = if number % 2 == 0 { &first } else { &second };
            let (gateway, granted, limited) = (&gateway, &granted, &limited);
            scope.spawn(move || {
                for _ in 0..2 {
                    match status(gateway, key) {
                        200 => granted.fetch_add(1, SeqCst),
                        429 => limited.fetch_add(1, SeqCst),
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    assert_eq!((granted.into_inner(), limited.into_inner()), (100, 156));
    // Others have limits of their own, or none.
    for _ in 0..20 {
        assert_eq!(status(&gateway, &bob), 200);
    }
}

#[test]
fn each_request_that_is_let_in_is_a_use_of_its_key() {
    let keys = KeyFile::new("edge-uses");
    let key = keys.add("alice", &["--rate", "3/1h"]);
    let mut gateway = gateway(&keys, &served(), &[]);
    for wanted in [200, 200, 200, 429] {
        assert_eq!(status(&gateway, &key), wanted);
    }
    assert_eq!(status(&gateway, "og_guessed"), 401);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait();
    let list = keys.must(&["list", "--json"]);
    assert!(list.contains("\"uses\":3"), "{list}");
}

#[test]
fn the_429_says_when_to_come_again_and_is_no_denial() {
    let keys = KeyFile::new("edge-rate-429");
    let key = keys.add("alice", &["--rate", "2/1h"]);
    let variables = [("CORS_ORIGINS", "https://app.example")];
    let gateway = gateway(&keys, &served(), &variables);
    let get = request("GET /", &key, "Origin: https://app.example\r\n");
    assert_eq!(gateway.ask(&get).header("ratelimit"), None);
    assert_eq!(gateway.ask(&get).status, 200);
    let answer = gateway.ask(&get);
    assert_eq!((answer.status, &*answer.body), (429, TOO_MANY));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("www-authenticate"), None);
    let seconds = answer.header("retry-after").expect("when").to_owned();
    assert!(
        (1..=1800).contains(&seconds.parse::<u32>().expect("a number")),
        "{seconds}"
    );
    let policy = answer.header("ratelimit-policy");
    assert_eq!(policy, Some("\"consumer\";q=2;w=3600"));
    let left = format!("\"consumer\";r=0;t={seconds}");
    assert_eq!(answer.header("ratelimit"), Some(&*left));
    // A page that may read answers may read this one.
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example"));
    // fail2ban bans whom a line calls denied.
    let line = gateway.wait_for_log(|line| line.contains("limited reason=rate"));
    assert!(line.contains(&format!("key={}", keys.id(&key))), "{line}");
    let log = gateway.log().join("\n");
    assert!(!log.contains("denied"), "{log}");
}

#[test]
fn what_is_used_up_stays_so_when_the_keys_are_read_again() {
    let keys = KeyFile::new("edge-rate-reload");
    let key = keys.add("alice", &["--rate", "3/1h"]);
    let gateway = gateway(&keys, &served(), &[]);
    for wanted in [200, 200, 200, 429] {
        assert_eq!(status(&gateway, &key), wanted);
    }
    keys.add("bob", &[]);
    wait_for_reloads(&gateway, 1);
    assert_eq!(status(&gateway, &key), 429);
    // Another key of the same consumer is no way around it.
    let other = keys.add("alice", &[]);
    wait_for_reloads(&gateway, 2);
    assert_eq!(status(&gateway, &other), 429);
    keys.must(&["limit", "alice", "--rate", "none"]);
    wait_for_reloads(&gateway, 3);
    assert_eq!(
        (status(&gateway, &key), status(&gateway, &other)),
        (200, 200)
    );
}

#[test]
fn a_default_holds_for_consumers_without_a_rate_of_their_own() {
    let keys = KeyFile::new("edge-rate-default");
    let (alice, bob) = (keys.add("alice", &[]), keys.add("bob", &["--rate", "5/1h"]));
    let gateway = gateway(&keys, &served(), &[("RATE_LIMIT", "2/1h")]);
    let until_limited = |key: &str| (0..20).take_while(|_| status(&gateway, key) == 200).count();
    assert_eq!((until_limited(&alice), until_limited(&bob)), (2, 5));
}

#[test]
fn rates_hold_where_a_proxy_asks() {
    let keys = KeyFile::new("authorize-rate");
    let key = keys.add("alice", &["--rate", "1/1h"]);
    let guard = keys.gateway(&[]);
    let ask = || -> Answer { guard.ask(request("GET /authorize", &key, "")) };
    assert_eq!(ask().status, 200);
    let answer = ask();
    assert_eq!((answer.status, &*answer.body), (429, TOO_MANY));
    let body = answer.header("x-guard-body").expect("the body");
    assert_eq!(body.as_bytes(), TOO_MANY);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.header("x-shared-secret"), None);
}

#[test]
fn a_consumer_has_so_many_requests_under_way_and_no_more() {
    let keys = KeyFile::new("edge-concurrent");
    let (key, bob) = (keys.add("alice", &[]), keys.add("bob", &[]));
    let backend = Backend::new();
    let gateway = gateway(
        &keys,
        &backend.url(),
        &[("MAX_CONCURRENT", "2"), ("WORKERS", "2")],
    );
    let begin = |key: &str, fields: &str| {
        let mut client = Peer::new(gateway.connect());
        client.send(request("GET /", key, fields));
        let (peer, _) = backend.accept_head();
        (client, peer)
    };
    let (mut first, mut first_peer) = begin(&key, "");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n";
    let (mut tunnel, mut tunnel_peer) = begin(&key, upgrade);
    tunnel_peer.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(tunnel.head().status(), 101);
    // A tunnel counts for as long as it is open.
    let answer = gateway.ask(request("GET /", &key, ""));
    assert_eq!((answer.status, &*answer.body), (429, TOO_MANY));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("ratelimit"), None);
    let (mut other, mut other_peer) = begin(&bob, "");
    other_peer.send(closing("bob"));
    other.answered_with("bob");
    // One that has ended makes room, however it ends.
    first_peer.send(closing("first"));
    first.answered_with("first");
    // It does so once the last byte is sent, which its client may see a moment earlier.
    let since = Instant::now();
    let (second, second_peer) = 'room: loop {
        assert!(since.elapsed() < PATIENCE, "never room");
        let mut client = Peer::new(gateway.connect());
        client.send(request("GET /", &key, ""));
        while !client.has_more() {
            if let Some(peer) = backend.accepted() {
                break 'room (client, peer);
            }
            std::thread::yield_now();
        }
        client.answered(429);
    };
    assert_eq!(gateway.ask(request("GET /", &key, "")).status, 429);
    second.reset();
    drop((tunnel, tunnel_peer, second_peer));
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("room"));
        }
    });
    let since = Instant::now();
    while status(&gateway, &key) != 200 {
        assert!(since.elapsed() < PATIENCE, "never room");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_no_limit_is_refused_with_its_name() {
    let keys = KeyFile::new("edge-limit-faults");
    keys.add("alice", &[]);
    for (arguments, named) in [
        (&["add", "bob", "--rate", "100"][..], "--rate"),
        (&["add", "bob", "--rate", "0/1m"], "--rate"),
        (&["add", "bob", "--rate", "1/1m", "--burst", "0"], "--burst"),
        (&["add", "bob", "--burst", "1"], "--rate"),
        (&["limit", "alice"], "--rate"),
        (&["limit", "alice", "--rate", "fast"], "--rate"),
    ] {
        let said = keys.run(arguments);
        assert_eq!(said.status, Some(64), "{arguments:?}: {said:?}");
        assert!(said.err.contains(named), "{arguments:?}: {said:?}");
    }
    assert_eq!(
        keys.run(&["limit", "nobody", "--rate", "1/1m"]).status,
        Some(1)
    );
    for (name, value) in [
        ("RATE_LIMIT", "often"),
        ("MAX_CONCURRENT", "0"),
        ("MAX_CONCURRENT", "5"),
    ] {
        let mut check = command();
        check.args(["check", "--local"]).envs([
            ("SHARED_SECRET", SECRET),
            ("GATEWAY_LISTEN", "127.0.0.1:1"),
            ("API_KEYS_FILE", keys.text()),
            (name, value),
        ]);
        let output = check.output().expect("runs");
        let said = complaints(&output.stdout);
        assert_eq!(output.status.code(), Some(78), "{name}={value}: {said}");
        assert!(said.contains(&format!("{name}: ")), "{said}");
    }
}
