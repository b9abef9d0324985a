//! The variables of ORIGIN.

use std::fs;

use crate::authority::{Authority, Key};
use crate::both::{gateway, request};
use crate::scripted::{Backend, accept_either, ok};
use crate::support::keys::{KeyFile, Said};
use crate::support::{SECRET, command, complaints};

fn check(keys: &KeyFile, variables: &[(&str, &str)]) -> Said {
    let mut check = command();
    check
        .args(["check", "--local"])
        .envs([
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "none"),
            ("GATEWAY_LISTEN", "127.0.0.1:8443"),
            ("API_KEYS_FILE", keys.text()),
        ])
        .envs(variables.iter().copied());
    let output = check.output().expect("runs");
    Said {
        err: complaints(&output.stdout),
        ..output.into()
    }
}

#[test]
fn the_secret_crosses_no_network_in_the_clear_unless_somebody_says_so() {
    let keys = KeyFile::new("edge-config");
    keys.add("alice", &[]);
    for plain in [
        "http://192.0.2.1",
        "http://origin.example:8080",
        "http://[2001:db8::1]",
        "https://origin.example,http://192.0.2.1:80",
    ] {
        let said = check(&keys, &[("ORIGIN", plain)]);
        assert_eq!(said.status, Some(78), "{plain}: {said:?}");
        assert!(said.err.contains("ORIGIN: "), "{said:?}");
        assert!(said.err.contains("https://"), "{said:?}");
        assert!(said.err.contains("ORIGIN_PLAINTEXT=allow"), "{said:?}");
        let said = check(&keys, &[("ORIGIN", plain), ("ORIGIN_PLAINTEXT", "allow")]);
        assert_eq!(said.status, Some(0), "{plain}: {said:?}");
    }
    for local in [
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://unix:/run/x.sock",
    ] {
        let said = check(&keys, &[("ORIGIN", local)]);
        assert_eq!(said.status, Some(0), "{local}: {said:?}");
    }
    for bad in [
        "origin.example",
        "ftp://a",
        "https://",
        "https://a:0",
        "https://a,",
    ] {
        let said = check(&keys, &[("ORIGIN", bad)]);
        assert_eq!(said.status, Some(78), "{bad}: {said:?}");
        let remedy = "https://origin.example";
        assert!(said.err.contains(remedy), "{bad}: {said:?}");
    }
    for (name, bad) in [
        ("ORIGIN_PLAINTEXT", "1"),
        ("ORIGIN_HOST", "a b"),
        ("ORIGIN_SERVER_NAME", "a b"),
        ("ORIGIN_CLIENT_CERT", "/nowhere.pem"),
    ] {
        let said = check(&keys, &[("ORIGIN", "https://127.0.0.1:1"), (name, bad)]);
        assert_eq!(said.status, Some(78), "{name}: {said:?}");
        assert!(said.err.contains(&format!("{name}: ")), "{said:?}");
    }
}

/// The variables of two machines, as docs/keys.md has them, are complete and in order.
#[test]
fn the_two_machines_of_the_documentation_are_in_order() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keys.md");
    let page = fs::read_to_string(page).expect("readable");
    let blocks = page.split("```ini\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    let authority = Authority::new("edge-documented");
    let keys = KeyFile::new("edge-documented");
    keys.add("alice", &[]);
    let secret = keys.folder.write("shared-secret", SECRET);
    for (block, name) in blocks.iter().zip(["api.example", "origin.example"]) {
        let issued = authority.issue(Key::EcdsaPkcs8, &[name]);
        let of_issued = issued.variables();
        let mut check = command();
        check.args(["check", "--local", "--strict"]);
        for line in block.lines() {
            let (variable, value) = line.split_once('=').expect("an assignment");
            let here = of_issued.iter().find(|(known, _)| *known == variable);
            let value = match (variable, here) {
                ("SHARED_SECRET_FILE", _) => secret.to_str().expect("UTF-8"),
                ("API_KEYS_FILE", _) => keys.text(),
                (_, Some((_, path))) => path,
                _ => value,
            };
            check.env(variable, value);
        }
        let output = check.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{block}\n{said}");
    }
}

#[test]
fn a_gateway_without_a_file_of_keys_says_what_is_answered_with_500() {
    let keys = KeyFile::new("edge-config-keyless");
    let forwards = ("ORIGIN", "http://127.0.0.1:1");
    let every = "API_KEYS_FILE: it is not set, so every request is answered with 500";
    let asked = "API_KEYS_FILE: it is not set, so every request for /authorize is answered";
    let at_gateway = "API_KEYS_FILE: it is not set, so every request at GATEWAY_LISTEN is";
    for (variables, status, level, what) in [
        (&[forwards][..], 78, "fault", every),
        (&[], 78, "fault", asked),
        (
            &[forwards, ("LISTEN", "127.0.0.1:8888")],
            0,
            "warning",
            at_gateway,
        ),
        (&[("LISTEN", "127.0.0.1:8888")], 0, "warning", asked),
    ] {
        let variables = [&[("API_KEYS_FILE", "")], variables].concat();
        let said = check(&keys, &variables);
        assert_eq!(said.status, Some(status), "{said:?}");
        assert!(said.err.contains(&format!("{level}: {what}")), "{said:?}");
    }
}

#[test]
fn any_address_may_be_listened_at_where_the_secret_leaves_for_the_origin_alone() {
    let keys = KeyFile::new("edge-config-listen");
    keys.add("alice", &[]);
    let everywhere = ("GATEWAY_LISTEN", "0.0.0.0:8443");
    let said = check(&keys, &[everywhere]);
    assert_eq!(said.status, Some(78), "{said:?}");
    assert!(said.err.contains("GATEWAY_LISTEN: "), "{said:?}");
    let remedy = "or set ORIGIN, if this guard should forward requests itself";
    assert!(said.err.contains(remedy), "{said:?}");
    let said = check(&keys, &[everywhere, ("ORIGIN", "http://127.0.0.1:1")]);
    assert_eq!(said.status, Some(0), "{said:?}");
}

#[test]
fn the_origin_is_asked_for_its_own_name_or_another_one() {
    let keys = KeyFile::new("edge-host");
    let key = keys.add("alice", &[]);
    for (rule, name) in [
        ("", None),
        ("keep", Some("api.example")),
        ("inner.example:81", Some("inner.example:81")),
    ] {
        let backend = Backend::new();
        let gateway = gateway(&keys, &backend.url(), &[("ORIGIN_HOST", rule)]);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(gateway.ask(request("GET /", &key, "")).status, 200));
            let (mut peer, head) = backend.accept_head();
            let own = backend.address().to_string();
            assert_eq!(head.field("host"), Some(name.unwrap_or(&own)), "{rule}");
            assert_eq!(head.field("x-forwarded-host"), Some("api.example"));
            peer.send(ok(""));
        });
    }
}

#[test]
fn several_origins_share_the_requests_and_one_that_is_down_is_passed_over() {
    let keys = KeyFile::new("edge-several");
    let key = keys.add("alice", &[]);
    let (first, second) = (Backend::new(), Backend::new());
    let urls = format!("{},{}", first.url(), second.url());
    let gateway = gateway(&keys, &urls, &[("WORKERS", "1")]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(gateway.ask(request("GET /", &key, "")).status, 200));
        }
        // Both are under way at once.
        let mut peers = [
            accept_either(&first, &second),
            accept_either(&first, &second),
        ];
        assert_ne!(peers[0].0, peers[1].0);
        for (_, peer) in &mut peers {
            assert_eq!(peer.head().field("x-shared-secret"), Some(SECRET));
            peer.send(ok(""));
        }
    });
    let _gone = first.stop();
    second.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("the second"));
        }
    });
    for _ in 0..4 {
        let answer = gateway.ask(request("GET /", &key, ""));
        assert_eq!((answer.status, &*answer.body), (200, &b"the second"[..]));
    }
}
