//! Invalid keys: all the same to a client, and after twenty a minute not worth a look.

use std::time::Instant;

use crate::both::{gateway, request};
use crate::scripted::{Backend, ok};
use crate::support::keys::KeyFile;
use crate::support::port::HeldPort;
use crate::support::{Answer, Guard, PATIENCE};

const INVALID: &[u8] = br#"{"error":"Invalid API key"}"#;
const TOO_MANY: &[u8] = br#"{"error":"Too many requests"}"#;

fn start(name: &str, more: &[(&str, &str)]) -> (KeyFile, String, Guard) {
    let keys = KeyFile::new(name);
    let key = keys.add("alice", &[]);
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    let gateway = gateway(&keys, &url, more);
    (keys, key, gateway)
}

#[test]
fn no_answer_tells_why_a_key_is_not_good() {
    let keys = KeyFile::new("edge-oracle");
    let revoked = keys.add("alice", &[]);
    keys.must(&["revoke", &keys.id(&revoked)]);
    let expired = keys.add("bob", &[]);
    keys.must(&["rotate", &keys.id(&expired), "--overlap", "0s"]);
    let unknown = keys.add("carol", &[]);
    keys.must(&["rm", "carol"]);
    let closed = HeldPort::new();
    let gateway = gateway(&keys, &closed.url(), &[]);
    let answers = [
        &revoked,
        &expired,
        &unknown,
        "og_malformed",
        &unknown[..40],
        "x",
    ]
    .map(|key| {
        let mut answer = gateway.ask(request("GET /", key, ""));
        answer.headers.retain(|(name, _)| name != "date");
        format!("{answer:?}")
    });
    assert!(answers[0].contains("401"), "{}", answers[0]);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:#?}"
    );
    // The log tells the operator.
    for reason in ["revoked_key", "expired_key", "unknown_key", "malformed_key"] {
        gateway.wait_for_log(|line| line.contains(reason));
    }
}

/// Presents invalid keys until one is answered with 429, which it returns; the period may
/// end in between once.
fn until_limited(ask: impl Fn() -> Answer) -> Answer {
    for number in 0..42 {
        let answer = ask();
        if answer.status == 429 {
            assert!(number >= 20, "after {number}");
            return answer;
        }
        assert_eq!((answer.status, &*answer.body), (401, INVALID));
    }
    panic!("42 invalid keys are answered as such");
}

#[test]
fn whoever_guesses_is_told_to_wait_and_a_good_key_never_is() {
    let (_keys, key, gateway) = start("edge-guessing", &[]);
    let answer = until_limited(|| gateway.ask(request("GET /", "og_guessed", "")));
    // The log says what the client was told.
    let limited = "limited reason=guessing client=127.0.0.1 path=/";
    // Ten lines a second, so that the first of these may be left out.
    let since = Instant::now();
    while !gateway.log().iter().any(|line| line == limited) {
        assert!(since.elapsed() < PATIENCE, "{:#?}", gateway.log());
        gateway.ask(request("GET /", "og_guessed", ""));
    }
    assert_eq!(answer.body, TOO_MANY);
    let seconds = answer.header("retry-after").expect("when");
    assert!((1..=60).contains(&seconds.parse::<u32>().expect("a number")));
    // From the same address.
    for _ in 0..50 {
        assert_eq!(gateway.ask(request("GET /", &key, "")).status, 200);
    }
    // Who presents nothing guesses nothing.
    let nothing = gateway.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(nothing.status, 401);
    let denied = gateway.log();
    let denied = denied
        .iter()
        .filter(|line| line.contains("denied "))
        .count();
    assert!(denied <= 42, "{denied} lines");
}

#[test]
fn addresses_behind_a_trusted_proxy_are_told_apart_by_their_networks() {
    let trusted = [("TRUSTED_PROXIES", "127.0.0.1")];
    let (_keys, _, gateway) = start("edge-guessing-proxy", &trusted);
    let ask = |address: &str| {
        let from = format!("X-Forwarded-For: {address}\r\n");
        gateway.ask(request("GET /", "og_guessed", &from))
    };
    until_limited(|| ask("2001:db8::1"));
    assert_eq!(ask("2001:db8:0:1::1").status, 401);
    assert_eq!(ask("203.0.113.7").status, 401);
    // A proxy that does not say for whom it asks is not held to account for all.
    for _ in 0..50 {
        assert_eq!(gateway.ask(request("GET /", "og_guessed", "")).status, 401);
    }
}
