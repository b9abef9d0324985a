//! Pages of other origins: which may read what, as a browser asks for it.

use crate::both::gateway;
use crate::scripted::Backend;
use crate::support::keys::KeyFile;
use crate::support::port::HeldPort;
use crate::support::{Answer, Guard, SECRET, command, complaints};

const APP: &str = "https://app.example";

fn start(name: &str) -> (KeyFile, String, Guard) {
    let keys = KeyFile::new(name);
    let key = keys.add("alice", &[]);
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while let Some(head) = peer.try_head() {
            assert!(!head.line.starts_with("OPTIONS /preflight"), "{head:?}");
            peer.send(
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n\
                 Access-Control-Allow-Credentials: true\r\naccess-control-max-age: 1\r\n\
                 Vary: Accept\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    });
    let origins = format!("http://localhost:5173, {APP}");
    let gateway = gateway(&keys, &url, &[("CORS_ORIGINS", &origins)]);
    (keys, key, gateway)
}

fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let named = answer.headers.iter().filter(|(field, _)| field == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn assert_readable_by(answer: &Answer, origin: Option<&str>) {
    assert_eq!(
        answer.header("access-control-allow-origin"),
        origin,
        "{answer:?}"
    );
    assert!(values(answer, "vary").contains(&"Origin"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("access-control-max-age"), None, "{answer:?}");
    let exposed = answer
        .header("access-control-expose-headers")
        .unwrap_or_default();
    assert_eq!(
        exposed.contains("Retry-After"),
        origin.is_some(),
        "{answer:?}"
    );
    assert_eq!(
        exposed.contains("RateLimit"),
        origin.is_some(),
        "{answer:?}"
    );
}

#[test]
fn every_answer_says_which_page_may_read_it() {
    let (_keys, key, gateway) = start("edge-cors");
    let bearer = format!("Authorization: Bearer {key}\r\n");
    for (credential, status) in [
        (bearer.as_str(), 200),
        ("", 401),
        ("Authorization: Bearer og_wrong\r\n", 401),
    ] {
        for (origin, allowed) in [
            (APP, Some(APP)),
            ("http://localhost:5173", Some("http://localhost:5173")),
            ("https://evil.example", None),
            ("https://app.example.evil.example", None),
            ("http://app.example", None),
            ("https://app.example:8443", None),
            ("HTTPS://APP.EXAMPLE", None),
            ("null", None),
            ("", None),
        ] {
            let origin = if origin.is_empty() {
                String::new()
            } else {
                format!("Origin: {origin}\r\n")
            };
            let answer = gateway.ask(format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{origin}{credential}\r\n"
            ));
            assert_eq!(answer.status, status, "{origin}");
            assert_readable_by(&answer, allowed);
            if status == 200 {
                assert_eq!(values(&answer, "vary"), ["Accept", "Origin"]);
            }
        }
        let twice = format!("Origin: {APP}\r\nOrigin: {APP}\r\n");
        let answer = gateway.ask(format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{twice}{credential}\r\n"
        ));
        assert_readable_by(&answer, None);
    }
}

#[test]
fn a_preflight_is_answered_without_a_key_and_does_not_reach_the_origin() {
    let (_keys, key, gateway) = start("edge-cors-preflight");
    let preflight = |origin: &str, more: &str| {
        gateway.ask(format!(
            "OPTIONS /preflight HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n{more}\r\n"
        ))
    };
    let wanted = "Access-Control-Request-Method: PATCH\r\n\
                  Access-Control-Request-Headers: authorization,x-other\r\n";
    let answer = preflight(APP, wanted);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert_eq!(answer.header("access-control-allow-methods"), Some("PATCH"));
    let headers = answer.header("access-control-allow-headers");
    assert_eq!(headers, Some("authorization, x-other"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    let answer = preflight("https://evil.example", wanted);
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control-")),
        "{answer:?}"
    );
    assert!(values(&answer, "vary").contains(&"Origin"));

    // An OPTIONS that is not a preflight needs a key like all others.
    assert_eq!(preflight(APP, "").status, 401);
    let options = format!(
        "OPTIONS /other HTTP/1.1\r\nHost: x\r\nOrigin: {APP}\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    assert_eq!(gateway.ask(options).body, b"ok");
}

#[test]
fn an_answer_in_place_of_the_origins_can_be_read_too() {
    let keys = KeyFile::new("edge-cors-502");
    let key = keys.add("alice", &[]);
    let closed = HeldPort::new();
    let gateway = gateway(&keys, &closed.url(), &[("CORS_ORIGINS", APP)]);
    let answer = gateway.ask(format!(
        "GET / HTTP/1.1\r\nHost: x\r\nOrigin: {APP}\r\nAuthorization: Bearer {key}\r\n\r\n"
    ));
    assert_eq!(answer.status, 502);
    assert_readable_by(&answer, Some(APP));
}

#[test]
fn no_list_lets_everybody_in() {
    for (bad, named) in [
        ("*", "every page"),
        ("https://app.example,null", "sandboxed"),
        ("https://app.example/", "not an origin"),
        ("https://*.example", "not an origin"),
        ("https://app.example:443", "leave out the port"),
    ] {
        let mut check = command();
        check.args(["check", "--local"]).envs([
            ("SHARED_SECRET", SECRET),
            ("GATEWAY_LISTEN", "127.0.0.1:1"),
            ("ORIGIN", "http://127.0.0.1:2"),
            ("CORS_ORIGINS", bad),
        ]);
        let output = check.output().expect("runs");
        let said = complaints(&output.stdout);
        assert_eq!(output.status.code(), Some(78), "{bad}: {said}");
        assert!(
            said.contains("CORS_ORIGINS: ") && said.contains(named),
            "{bad}: {said}"
        );
    }
}
