//! The guard in front of a backend that tells what reached it.

#[path = "front/demo.rs"]
mod demo;
mod support;

use std::io::Write as _;
use std::time::Instant;

use demo::Demo;
use serde_json::Value;
use support::metrics::wait_for;
use support::port::HeldPort;
use support::{Answer, Guard, PATIENCE, SECRET};

fn guard(backends: &str, more: &[(&str, &str)]) -> Guard {
    let variables = [&[("SHARED_SECRET", SECRET), ("BACKEND", backends)], more].concat();
    Guard::with(&variables)
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n")
}

fn secret() -> String {
    format!("X-Shared-Secret: {SECRET}\r\n")
}

/// What reached the backend, names in lower case.
fn reached(answer: &Answer) -> (Value, Vec<(String, String)>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let reached: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let fields = reached["fields"].as_array().expect("a list").clone();
    let field = |field: &Value| {
        let (name, value) = field.as_str()?.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    };
    let fields = fields.iter().filter_map(field).collect();
    (reached, fields)
}

#[test]
fn what_is_granted_arrives_without_the_secret() {
    let demo = Demo::start();
    let guard = guard(&demo.url, &[]);
    let spellings = "X_Shared_Secret: evil\r\nx.shared.secret: evil\r\nX-Shared_Secret: evil\r\n";
    for path in [
        "/",
        "/protected",
        "/verify",
        "/healthz",
        "/metrics",
        "/a?b=c",
    ] {
        let fields = format!("{}{spellings}Cookie: a=b\r\n", secret());
        let answer = guard.ask(get(path, &fields));
        let (reached, fields) = reached(&answer);
        assert_eq!(reached["target"], path);
        let text = reached.to_string();
        assert!(!text.contains(SECRET) && !text.contains("evil"), "{text}");
        assert!(fields.contains(&("cookie".into(), "a=b".into())), "{text}");
        assert!(
            fields.contains(&("host".into(), "app.example".into())),
            "{text}"
        );
        assert!(
            fields.contains(&("x-forwarded-for".into(), "127.0.0.1".into())),
            "{text}"
        );
    }
}

#[test]
fn what_is_denied_does_not_arrive() {
    // Nothing listens there: an attempt would be a 502.
    let guard = guard("http://127.0.0.1:9", &[]);
    for (fields, error) in [
        (String::new(), "No secret provided"),
        ("X-Shared-Secret:\r\n".into(), "No secret provided"),
        (
            format!("X_Shared_Secret: {SECRET}\r\n"),
            "No secret provided",
        ),
        ("X-Shared-Secret: wrong\r\n".into(), "Invalid secret"),
        ([secret(), secret()].concat(), "Invalid secret"),
    ] {
        for path in ["/", "/protected", "/verify", "/healthz", "/metrics"] {
            let answer = guard.ask(get(path, &fields));
            assert_eq!(answer.status, 401, "{path} {fields}");
            assert_eq!(answer.body, format!(r#"{{"error":"{error}"}}"#).as_bytes());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.header("www-authenticate").is_some());
            // No proxy asks here.
            assert_eq!(answer.header("x-guard-body"), None);
        }
    }
    guard.wait_for_log(|line| line.contains("denied reason=no_secret client=127.0.0.1 path=/"));
    let url = "http://127.0.0.1:9";
    let guard = Guard::with(&[("BACKEND", url)]);
    assert_eq!(guard.ask(get("/", &secret())).status, 500);
}

#[test]
fn public_paths_are_reached_by_get_and_head_of_their_very_bytes() {
    let demo = Demo::start();
    let open = ("PUBLIC_PATHS", "/healthz,/a%20b");
    let with_secret = guard(&demo.url, &[open]);
    let without_secret = Guard::with(&[("BACKEND", &demo.url), open]);
    for (guard, denied) in [(&with_secret, 401), (&without_secret, 500)] {
        for path in ["/healthz", "/healthz?deep=1", "/a%20b"] {
            let (reached, _) = reached(&guard.ask(get(path, "")));
            assert_eq!(reached["target"], path);
        }
        let mut stream = guard.connect();
        stream
            .write_all(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("sent");
        assert_eq!(
            Answer::read(&mut stream, true).expect("an answer").status,
            200
        );
        for path in [
            "/",
            "/healthz/",
            "/healthz/x",
            "/Healthz",
            "//healthz",
            "/%68ealthz",
            "/a b/",
            "/healthz;x",
            "/./healthz",
            "/healthz%3fa",
            "/a%20B",
        ] {
            let status = guard.ask(get(path, "")).status;
            assert!(status == denied || status == 400, "{path}: {status}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "PROPFIND"] {
            let request = format!("{method} /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(guard.ask(request).status, denied, "{method}");
        }
    }
}

#[test]
fn a_public_request_arrives_with_little_of_what_it_brings() {
    let demo = Demo::start();
    let guard = guard(&demo.url, &[("PUBLIC_PATHS", "/healthz")]);
    let fields = "User-Agent: test\r\nAccept: text/*\r\nAccept-Language: de\r\nRange: bytes=0-\r\n\
                  If-None-Match: \"a\"\r\nOrigin: http://a\r\nCookie: evil\r\n\
                  Authorization: evil\r\nX-Consumer: evil\r\nX-Consumer-Metadata: evil\r\n\
                  X-Forwarded-For: evil\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: evil\r\n\
                  X-Real-IP: evil\r\nForwarded: for=evil\r\nX-Other: evil\r\nCookie2: evil\r\n\
                  X-HTTP-Method-Override: evil\r\nContent-Type: evil\r\n";
    let credential = [fields, &secret()].concat();
    let upgrade = [fields, "Connection: Upgrade\r\nUpgrade: websocket\r\n"].concat();
    let body = [fields, "Content-Length: 4\r\n\r\nevil"].concat();
    let chunked = [
        fields,
        "Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n",
    ]
    .concat();
    for fields in [fields, &credential, &upgrade, &body, &chunked] {
        let answer = guard.ask(get("/healthz", fields));
        let (reached, fields) = reached(&answer);
        assert_eq!(reached["body_bytes"], 0);
        let text = reached.to_string();
        assert!(!text.contains("evil") && !text.contains(SECRET), "{text}");
        let mut names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "accept-language",
            "cdn-loop",
            "host",
            "if-none-match",
            "origin",
            "range",
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ];
        assert_eq!(names, expected, "{text}");
        assert!(
            fields.contains(&("x-forwarded-for".into(), "127.0.0.1".into())),
            "{text}"
        );
    }
}

#[test]
fn a_request_that_comes_back_is_a_508() {
    let port = HeldPort::new();
    let second_address = port.address.to_string();
    let open = ("PUBLIC_PATHS", "/round");
    let admin = ("ADMIN_LISTEN", "127.0.0.1:0");
    let first = guard(&format!("http://{second_address}"), &[open, admin]);
    let second = guard(
        &format!("http://{}", first.address),
        &[open, ("LISTEN", &second_address)],
    );
    for guard in [&first, &second] {
        let answer = guard.ask(get("/round", ""));
        assert_eq!(answer.status, 508);
        assert_eq!(answer.body, br#"{"error":"Loop detected"}"#);
        // Whoever else has been on the way does not matter.
        let answer = guard.ask(get("/nothing", "CDN-Loop: cloudflare, origin-guard-0\r\n"));
        assert_eq!(answer.status, 401);
    }
    let line = first.wait_for_log(|line| line.starts_with("refused status=508 reason=loop "));
    assert!(
        line.contains("remedy=\"BACKEND or ORIGIN leads back"),
        "{line}"
    );
    // Of the two that went round, each one has refused its own.
    let lines = [r#"requests_total{verdict="loop",status="508"} 1"#.to_owned()];
    wait_for(first.second_address(), &lines);
}

#[test]
fn backends_take_turns_and_one_that_is_down_costs_no_request() {
    let (one, two) = (Demo::start(), Demo::start());
    let gone = HeldPort::new();
    let guard = guard(&[one.url.as_str(), &gone.url(), &two.url].join(","), &[]);
    for _ in 0..100 {
        let answer = guard.ask(get("/", &secret()));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // Two that are as good as each other.
    assert!(
        one.answers() >= 20 && two.answers() >= 20,
        "{} {}",
        one.answers(),
        two.answers()
    );

    // One that ends takes no request with it that another could answer.
    drop(one);
    for _ in 0..50 {
        assert_eq!(guard.ask(get("/", &secret())).status, 200);
    }
    // With none there it is a 502, and the first that is there again is found.
    let address = two.address;
    drop(two);
    assert_eq!(guard.ask(get("/", &secret())).status, 502);
    let back = Demo::at(address);
    let deadline = Instant::now() + PATIENCE;
    while guard.ask(get("/", &secret())).status != 200 {
        assert!(Instant::now() < deadline, "it is not found");
    }
    drop(back);
}

#[test]
fn what_is_forwarded_is_counted() {
    let demo = Demo::start();
    let admin = ("ADMIN_LISTEN", "127.0.0.1:0");
    let guard = guard(&demo.url, &[("PUBLIC_PATHS", "/healthz"), admin]);
    guard.ask(get("/a", &secret()));
    guard.ask(get("/healthz", ""));
    guard.ask(get("/a", ""));
    let mut stream = std::net::TcpStream::connect(guard.second_address()).expect("connects");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    let answer = Answer::read(&mut stream, false).expect("an answer");
    let text = String::from_utf8(answer.body).expect("UTF-8");
    for line in [
        r#"origin_guard_requests_total{verdict="granted",status="forwarded"} 1"#,
        r#"origin_guard_requests_total{verdict="public",status="forwarded"} 1"#,
        r#"origin_guard_requests_total{verdict="no_secret",status="401"} 1"#,
        r#"origin_guard_secret_used_total{secret="current"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}
