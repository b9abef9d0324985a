//! What is counted of consumers' requests: each with the one verdict that was made of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use crate::both::request;
use crate::scripted::{Backend, Peer, ok};
use crate::support::keys::KeyFile;
use crate::support::metrics::{metrics, wait_for};
use crate::support::{Guard, SECRET};

/// A file of keys with one of each kind.
struct Kinds {
    file: KeyFile,
    good: String,
    limited: String,
    revoked: String,
    expired: String,
    unknown: String,
    /// One that is made later, by this machine's clock.
    future: String,
}

impl Kinds {
    fn new(name: &str) -> Self {
        let file = KeyFile::new(name);
        let revoked = file.add("revoked", &[]);
        file.must(&["revoke", &file.id(&revoked)]);
        let expired = file.add("expired", &[]);
        file.must(&["rotate", &file.id(&expired), "--overlap", "0s"]);
        let unknown = file.add("gone", &[]);
        file.must(&["rm", "gone"]);
        let future = file.add("future", &[]);
        let mut json = file.json();
        let keys = json["keys"].as_array_mut().expect("keys");
        let last = keys.last_mut().expect("a key");
        last["created"] = "2999-01-01T00:00:00Z".into();
        fs::write(&file.path, json.to_string()).expect("written");
        Self {
            good: file.add("good", &[]),
            limited: file.add("limited", &["--rate", "1/1d"]),
            file,
            revoked,
            expired,
            unknown,
            future,
        }
    }

    /// Asks `gateway` with all of them, as often as their verdict's place in this list.
    fn ask(&self, gateway: &Guard, granted: &'static str) -> BTreeMap<[&'static str; 2], u16> {
        let asked = [
            (&*self.good, ["key_granted", granted]),
            (&*self.expired, ["expired_key", "401"]),
            (&*self.unknown, ["unknown_key", "401"]),
            (&*self.revoked, ["revoked_key", "401"]),
            ("og_malformed", ["malformed_key", "401"]),
            (&*self.future, ["clock_before_created", "401"]),
            ("", ["no_key", "401"]),
        ];
        let mut counts = BTreeMap::new();
        let mut ask = |key: &str, verdict: [&'static str; 2], times: u16| {
            for _ in 0..times {
                let answer = gateway.ask(request("GET /authorize", key, ""));
                let is_granted = verdict[0] == "key_granted";
                let wanted = if is_granted { "200" } else { verdict[1] };
                assert_eq!(answer.status.to_string(), wanted, "{verdict:?}");
            }
            *counts.entry(verdict).or_default() += times;
        };
        for (times, (key, verdict)) in (1..).zip(asked) {
            ask(key, verdict, times);
        }
        ask(&self.limited, ["key_granted", granted], 1);
        ask(&self.limited, ["rate_limited", "429"], 9);
        counts
    }
}

fn series([verdict, status]: [&str; 2], count: u16) -> String {
    format!("requests_total{{verdict=\"{verdict}\",status=\"{status}\"}} {count}")
}

/// All of `counts`, and nothing else but what the operator asks for.
fn assert_counted(admin: SocketAddr, counts: &BTreeMap<[&'static str; 2], u16>) {
    let lines = counts
        .iter()
        .map(|(verdict, count)| series(*verdict, *count));
    wait_for(admin, &lines.collect::<Vec<_>>());
    let text = metrics(admin);
    let of_keys = text.lines().filter(|line| {
        let is_zero = line.ends_with(" 0");
        line.starts_with("origin_guard_requests_total{") && line.contains("key") && !is_zero
    });
    let known = counts.keys().filter(|verdict| verdict[0].contains("key"));
    assert_eq!(of_keys.count(), known.count(), "{text}");
}

#[test]
fn each_verdict_on_a_key_is_counted_in_front_of_an_origin() {
    let kinds = Kinds::new("edge-counted");
    let backend = Backend::new();
    let origin = [("ORIGIN", &*backend.url())];
    let (gateway, admin) = kinds.file.watched_gateway(&origin);
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    let counts = kinds.ask(&gateway, "forwarded");
    assert_counted(admin, &counts);
}

#[test]
fn each_verdict_on_a_key_is_counted_where_a_proxy_asks() {
    let kinds = Kinds::new("authorize-counted");
    let (gateway, admin) = kinds.file.watched_gateway(&[]);
    let counts = kinds.ask(&gateway, "200");
    assert_counted(admin, &counts);
}

#[test]
fn what_is_turned_away_for_its_number_is_counted() {
    let file = KeyFile::new("edge-counted-limits");
    let key = file.add("alice", &[]);
    let backend = Backend::new();
    let origin = [
        ("ORIGIN", &*backend.url()),
        ("MAX_CONCURRENT", "1"),
        ("CORS_ORIGINS", "https://app.example"),
    ];
    let (gateway, admin) = file.watched_gateway(&origin);
    let mut held = Peer::new(gateway.connect());
    held.send(request("GET /", &key, ""));
    let (_peer, _) = backend.accept_head();
    for _ in 0..2 {
        assert_eq!(gateway.ask(request("GET /", &key, "")).status, 429);
    }
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n\
                     Access-Control-Request-Method: GET\r\n\r\n";
    assert_eq!(gateway.ask(preflight).status, 204);
    // The period may end in between once.
    let asked = || gateway.ask(request("GET /", "og_guessed", "")).status;
    let malformed = (0..100).take_while(|_| asked() == 401).count();
    let lines = [
        series(["too_many_concurrent", "429"], 2),
        series(["options", "204"], 1),
        series(["guessing", "429"], 1),
        series(
            ["malformed_key", "401"],
            u16::try_from(malformed).expect("a few"),
        ),
        series(["key_granted", "forwarded"], 1),
    ];
    wait_for(admin, &lines);
}

#[test]
fn a_gateway_without_a_secret_counts_what_it_cannot_serve() {
    let file = KeyFile::new("edge-counted-none");
    let key = file.add("alice", &[]);
    for origin in ["", "http://127.0.0.1:1"] {
        let variables = [("SHARED_SECRET", ""), ("ORIGIN", origin)];
        let (gateway, admin) = file.watched_gateway(&variables);
        let answer = gateway.ask(request("GET /authorize", &key, ""));
        assert_eq!(answer.status, 500);
        let lines = [series(["key_misconfigured", "500"], 1)];
        wait_for(admin, &lines);
        assert!(!gateway.log().join("\n").contains(SECRET));
    }
}
