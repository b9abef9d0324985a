//! The gateway's door: its contract row by row, and keys that change while it serves.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use rustix::process::Signal;
use support::keys::KeyFile;
use support::{Answer, Guard, PATIENCE, SECRET, command, complaints};

const GRANTED: &str = r#"{"message":"Access granted"}"#;
const ABSENT: &str = r#"{"error":"No API key provided"}"#;
const INVALID: &str = r#"{"error":"Invalid API key"}"#;
const MISCONFIGURED: &str = r#"{"error":"Server configuration error"}"#;
const NOT_FOUND: &str = r#"{"error":"Not found"}"#;

fn request(method: &str, target: &str, fields: &[&str]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let fields = fields.concat();
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

fn bearer(key: &str) -> String {
    request(
        "GET",
        "/authorize",
        &[&format!("Authorization: Bearer {key}")],
    )
}

fn status(guard: &Guard, key: &str) -> u16 {
    guard.ask(bearer(key)).status
}

/// Asks until the answer to `key` is `wanted`.
fn wait_for_status(guard: &Guard, key: &str, wanted: u16) {
    let since = Instant::now();
    while status(guard, key) != wanted {
        assert!(since.elapsed() < PATIENCE, "never {wanted}");
        std::thread::yield_now();
    }
}

fn assert_answer(answer: &Answer, status: u16, body: &str, context: &str) {
    let context = format!("{context}: {answer:?}");
    assert_eq!(answer.status, status, "{context}");
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{context}"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{context}"
    );
    let length = body.len().to_string();
    assert_eq!(
        answer.header("content-length"),
        Some(length.as_str()),
        "{context}"
    );
    assert_eq!(String::from_utf8_lossy(&answer.body), body, "{context}");
    let challenge = match body {
        ABSENT => Some("Bearer"),
        INVALID => Some(r#"Bearer error="invalid_token""#),
        _ => None,
    };
    assert_eq!(answer.header("www-authenticate"), challenge, "{context}");
    let granted = (status == 200).then_some(SECRET);
    assert_eq!(answer.header("x-shared-secret"), granted, "{context}");
    assert_eq!(
        answer.header("x-consumer").is_some(),
        status == 200,
        "{context}"
    );
}

/// A change of one character that leaves the form of a key.
fn typo(key: &str) -> String {
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    format!("{}{last}", &key[..key.len() - 1])
}

#[test]
fn authorize_keeps_its_contract() {
    let file = KeyFile::new("contract");
    let key = file.add("acme", &[]);
    let unknown = file.add("gone", &[]);
    file.must(&["rm", "gone"]);
    let revoked = file.add("revoked", &[]);
    file.must(&["revoke", &file.id(&revoked)]);
    let expired = file.add("expired", &[]);
    file.must(&["rotate", &file.id(&expired), "--overlap", "0s"]);
    let guard = file.gateway(&[]);

    let field = |value: &str| format!("Authorization: {value}");
    let good = field(&format!("Bearer {key}"));
    let rows = [
        (vec![], 401, ABSENT),
        (vec![field("")], 401, ABSENT),
        (vec![field("Bearer")], 401, ABSENT),
        (vec![field("Bearer  ")], 401, ABSENT),
        (vec![field("Bearer x")], 401, INVALID),
        (vec![field(&key)], 401, INVALID),
        (vec![field("Basic dXNlcjpwYXNz")], 401, INVALID),
        (vec![field(&format!("Basic {key}"))], 401, INVALID),
        (vec![field(&format!("Bearer\t{key}"))], 401, INVALID),
        (vec![field(&format!("Bearer {key} {key}"))], 401, INVALID),
        (
            vec![field(&format!("Bearer {key}, Bearer {key}"))],
            401,
            INVALID,
        ),
        (vec![field(&format!("Bearer {key}x"))], 401, INVALID),
        (vec![field(&format!("Bearer {}", &key[1..]))], 401, INVALID),
        (vec![field(&format!("Bearer {}", typo(&key)))], 401, INVALID),
        (
            vec![field(&format!("Bearer {}", key.to_uppercase()))],
            401,
            INVALID,
        ),
        (
            vec![field(&format!("Bearer {}", "x".repeat(8000)))],
            401,
            INVALID,
        ),
        (vec![field(&format!("Bearer {unknown}"))], 401, INVALID),
        (vec![field(&format!("Bearer {revoked}"))], 401, INVALID),
        (vec![field(&format!("Bearer {expired}"))], 401, INVALID),
        (vec![good.clone(), good.clone()], 401, INVALID),
        (vec![good.clone(), field("Bearer x")], 401, INVALID),
        (vec![field(""), good.clone()], 401, INVALID),
        (vec![good.clone()], 200, GRANTED),
        (vec![field(&format!("bearer {key}"))], 200, GRANTED),
        (vec![field(&format!("BEARER   {key}  "))], 200, GRANTED),
        (vec![format!("aUTHORIZATION:Bearer {key}")], 200, GRANTED),
        (
            vec![good.clone(), "X-Consumer: forged".into()],
            200,
            GRANTED,
        ),
    ];
    for (fields, status, body) in rows {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let text = request("GET", "/authorize", &fields);
        assert_answer(&guard.ask(&text), status, body, &text);
    }
}

#[test]
fn every_method_and_all_below_authorize_are_answered() {
    let file = KeyFile::new("methods");
    let key = file.add("acme", &[]);
    let guard = file.gateway(&[]);
    let good = format!("Authorization: Bearer {key}");
    for target in [
        "/authorize",
        "/authorize/",
        "/authorize/a/b%20c?d=e",
        "/authorize?x=y",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
            let text = request(method, target, &[&good]);
            assert_answer(&guard.ask(&text), 200, GRANTED, &text);
            let text = request(method, target, &[]);
            assert_answer(&guard.ask(&text), 401, ABSENT, &text);
        }
    }
    let with_body = request("POST", "/authorize", &[&good, "Content-Length: 5"]) + "hello";
    assert_answer(&guard.ask(&with_body), 200, GRANTED, "a body");
    let mut stream = guard.connect();
    for _ in 0..2 {
        let head = request("HEAD", "/authorize", &[&good]);
        stream.write_all(head.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream, true).expect("an answer");
        assert_eq!(
            (answer.status, answer.header("x-consumer")),
            (200, Some("acme"))
        );
        assert_eq!(answer.header("content-length"), Some("28"));
    }
    for target in [
        "/authorized",
        "/Authorize",
        "/%61uthorize",
        "/",
        "/protected",
        "/metrics",
    ] {
        let text = request("GET", target, &[&good]);
        assert_answer(&guard.ask(&text), 404, NOT_FOUND, &text);
    }
    assert_eq!(guard.ask(request("GET", "/healthz", &[])).status, 200);
    assert_eq!(guard.ask(request("POST", "/healthz", &[])).status, 405);
    assert_eq!(guard.ask(request("OPTIONS", "*", &[])).status, 204);
}

/// Guessing is bounded by the client that the proxy names, and a good key is never held up.
#[test]
fn clients_that_guess_are_told_to_wait_and_good_keys_never_are() {
    let file = KeyFile::new("guessing");
    let key = file.add("acme", &[]);
    let guard = file.gateway(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    let from = |key: &str, client: &str| {
        let key = format!("Authorization: Bearer {key}");
        let client = format!("X-Forwarded-For: {client}");
        guard.ask(request("GET", "/authorize", &[&key, &client]))
    };
    // The minute may end in between once.
    let limited = (0..42).map(|_| from("og_guessed", "203.0.113.7"));
    let limited: Vec<_> = limited.skip_while(|answer| answer.status == 401).collect();
    let answer = limited
        .first()
        .expect("42 invalid keys are answered as such");
    assert!(limited.len() <= 22, "after {}", 42 - limited.len());
    let line = "limited reason=guessing client=203.0.113.7 path=/authorize";
    // Ten lines a second, so that the first of these may be left out.
    let since = Instant::now();
    while !guard.log().iter().any(|written| written == line) {
        assert!(since.elapsed() < PATIENCE, "{:#?}", guard.log());
        from("og_guessed", "203.0.113.7");
    }
    let body = r#"{"error":"Too many requests"}"#;
    assert_answer(answer, 429, body, "guessed");
    assert_eq!(answer.header("x-guard-body"), Some(body));
    let seconds = answer.header("retry-after").expect("when");
    assert!((1..=60).contains(&seconds.parse::<u32>().expect("a number")));
    for _ in 0..50 {
        assert_eq!(from(&key, "203.0.113.7").status, 200);
    }
    assert_eq!(from("og_guessed", "203.0.113.8").status, 401);
    // The proxy itself is nobody, whether it is believed or not.
    let doubted = file.gateway(&[]);
    for _ in 0..50 {
        assert_eq!(status(&guard, "og_guessed"), 401);
        assert_eq!(from("og_guessed", "127.0.0.1").status, 401);
        assert_eq!(status(&doubted, "og_guessed"), 401);
    }
}

#[test]
fn a_consumer_s_metadata_is_sent_as_compact_ascii() {
    let file = KeyFile::new("metadata");
    let metadata = "{ \"plan\": \"pr\u{f6} \u{1f511}\", \"limits\": [1, 2.50] }";
    let rich = file.add("a \"rich\" <one>, =;", &["--metadata", metadata]);
    let empty = file.add("empty", &["--metadata", "{}"]);
    let guard = file.gateway(&[]);
    let answer = guard.ask(bearer(&rich));
    assert_eq!(answer.header("x-consumer"), Some("a \"rich\" <one>, =;"));
    let sent = r#"{"plan":"pr\u00f6 \ud83d\udd11","limits":[1,2.50]}"#;
    assert_eq!(answer.header("x-consumer-metadata"), Some(sent));
    assert_eq!(
        guard.ask(bearer(&empty)).header("x-consumer-metadata"),
        None
    );
}

#[test]
fn nothing_configured_is_a_500_whatever_is_presented() {
    let file = KeyFile::new("unconfigured");
    let key = file.add("acme", &[]);
    let without_secret = file.gateway(&[("SHARED_SECRET", "")]);
    let without_keys = file.gateway(&[("API_KEYS_FILE", "")]);
    for guard in [&without_secret, &without_keys] {
        for text in [bearer(&key), bearer("x"), request("GET", "/authorize", &[])] {
            assert_answer(&guard.ask(&text), 500, MISCONFIGURED, &text);
        }
        guard.wait_for_log(|line| line.starts_with("denied reason=misconfigured "));
    }
    without_keys.wait_for_log(|line| line.starts_with("warning API_KEYS_FILE: it is not set"));
}

#[test]
fn other_headers_can_hold_the_key_and_the_secret() {
    let file = KeyFile::new("headers");
    let key = file.add("acme", &[]);
    let guard = file.gateway(&[
        ("API_KEY_HEADER", "X-Api-Key"),
        ("SECRET_HEADER", "X-Azure-FDID"),
    ]);
    let ask = |field: String| guard.ask(request("GET", "/authorize", &[&field]));
    let answer = ask(format!("x-api-key: {key}"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-azure-fdid"), Some(SECRET));
    assert_eq!(answer.header("x-shared-secret"), None);
    assert_eq!(
        ask(format!("X-Api-Key: Bearer {key}")).body,
        INVALID.as_bytes()
    );
    assert_eq!(
        ask(format!("Authorization: Bearer {key}")).body,
        ABSENT.as_bytes()
    );
    assert_eq!(ask("X-Api-Key: ".into()).body, ABSENT.as_bytes());
}

#[test]
fn a_unix_socket_serves_too_and_the_origin_s_door_beside_it() {
    let file = KeyFile::new("unix");
    let key = file.add("acme", &[]);
    let socket = file.folder.path.join("gateway.sock");
    let listen = format!("unix:{}", socket.display());
    let guard = file.gateway(&[("GATEWAY_LISTEN", &listen), ("LISTEN", "127.0.0.1:0")]);
    guard.wait_for_log(|line| line.contains(&format!("listening address={listen}")));
    let ask = |text: String| {
        let mut stream = UnixStream::connect(&socket).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(text.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    };
    assert_answer(&ask(bearer(&key)), 200, GRANTED, "unix");
    assert_answer(&ask(support::granted_request()), 404, NOT_FOUND, "unix");
    guard.assert_serves();
    let answer = guard.ask(bearer(&key));
    assert_eq!(
        (answer.status, answer.header("x-shared-secret")),
        (404, None)
    );
    ask(bearer("x"));
    guard.wait_for_log(|line| line == "denied reason=malformed_key client=unix path=/authorize");
}

#[test]
fn a_denial_is_a_line_with_the_reason_and_the_key_s_id() {
    let file = KeyFile::new("denials");
    let revoked = file.add("revoked", &[]);
    let expired = file.add("expired", &[]);
    let unknown = file.add("gone", &[]);
    let [revoked_id, expired_id, unknown_id] =
        [&revoked, &expired, &unknown].map(|key| file.id(key));
    file.must(&["revoke", &revoked_id]);
    file.must(&["rotate", &expired_id, "--overlap", "0s"]);
    file.must(&["rm", "gone"]);
    let guard = file.gateway(&[]);
    for (key, rest) in [
        (
            &revoked,
            format!("revoked_key client=127.0.0.1 path=/authorize key={revoked_id}"),
        ),
        (
            &expired,
            format!("expired_key client=127.0.0.1 path=/authorize key={expired_id}"),
        ),
        (
            &unknown,
            format!("unknown_key client=127.0.0.1 path=/authorize key={unknown_id}"),
        ),
        (
            &typo(&revoked),
            "malformed_key client=127.0.0.1 path=/authorize".into(),
        ),
        (
            &String::new(),
            "no_key client=127.0.0.1 path=/authorize".into(),
        ),
    ] {
        guard.ask(bearer(key));
        guard.wait_for_log(|line| line == format!("denied reason={rest}"));
    }
    guard.ask(request(
        "GET",
        "/authorize/a?key=hush",
        &["Authorization: Bearer x"],
    ));
    guard.wait_for_log(|line| line.ends_with(" path=/authorize/a"));
    let log = guard.log().join("\n");
    for hidden in [&revoked, &expired, &unknown, "hush", SECRET] {
        assert!(!log.contains(hidden), "{log}");
    }
}

#[test]
fn a_faulty_door_is_refused_and_explains_itself() {
    let file = KeyFile::new("doors");
    file.add("acme", &[]);
    let local = ("GATEWAY_LISTEN", "127.0.0.1:0");
    for (variables, named, remedy) in [
        (
            vec![("GATEWAY_LISTEN", "0.0.0.0:8889")],
            "GATEWAY_LISTEN: ",
            "hold the secret",
        ),
        (
            vec![("GATEWAY_LISTEN", "[::]:8889")],
            "GATEWAY_LISTEN: ",
            "loopback",
        ),
        (
            vec![("GATEWAY_LISTEN", "127.0.0.1:1,192.0.2.1:1")],
            "GATEWAY_LISTEN: ",
            "192.0.2.1:1",
        ),
        (
            vec![("GATEWAY_LISTEN", "here")],
            "GATEWAY_LISTEN: ",
            "ADDRESS:PORT",
        ),
        (
            vec![("GATEWAY_LISTEN", "none")],
            "GATEWAY_LISTEN: ",
            "ADDRESS:PORT",
        ),
        (vec![("LISTEN", "none")], "LISTEN: ", "GATEWAY_LISTEN"),
        (
            vec![("GATEWAY_LISTEN", "127.0.0.1:1"), ("LISTEN", "127.0.0.1:1")],
            "GATEWAY_LISTEN: ",
            "in LISTEN too",
        ),
        (
            vec![local, ("API_KEY_HEADER", "X Key")],
            "API_KEY_HEADER: ",
            "byte 2",
        ),
        (
            vec![local, ("API_KEY_HEADER", "x-shared-secret")],
            "API_KEY_HEADER: ",
            "choose another header",
        ),
        (
            vec![local, ("API_KEY_HEADER", "Connection")],
            "API_KEY_HEADER: ",
            "another",
        ),
        (
            vec![local, ("SECRET_HEADER", "x-consumer")],
            "SECRET_HEADER: ",
            "choose another",
        ),
        (
            vec![local, ("SECRET_HEADER", "Upgrade")],
            "SECRET_HEADER: ",
            "choose another",
        ),
        (
            vec![local, ("API_KEYS_FILE", "/nonexistent")],
            "API_KEYS_FILE: ",
            "keys add",
        ),
    ] {
        let mut check = command();
        check
            .args(["check", "--local"])
            .env("SHARED_SECRET", SECRET);
        let Output { status, stdout, .. } = check
            .envs(variables.iter().copied())
            .output()
            .expect("runs");
        let errors = complaints(&stdout);
        assert_eq!(status.code(), Some(78), "{variables:?}: {errors}");
        assert!(
            errors.contains(named) && errors.contains(remedy),
            "{variables:?}: {errors}"
        );
    }
    for good in [
        "127.0.0.1:0",
        "[::1]:0",
        "127.8.9.10:0",
        "unix:/tmp/x",
        "[::ffff:127.0.0.1]:0",
    ] {
        let mut check = command();
        check
            .args(["check", "--local"])
            .env("SHARED_SECRET", SECRET)
            .envs([("GATEWAY_LISTEN", good), ("API_KEYS_FILE", file.text())]);
        let output = check.output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{good}: {output:?}");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.lines().any(|line| line == "keys=1"), "{printed}");
    }
}

#[test]
fn changes_reach_a_running_guard_by_themselves() {
    let file = KeyFile::new("changes");
    let first = file.add("first", &[]);
    let guard = file.gateway(&[]);
    assert_eq!(status(&guard, &first), 200);

    let added = file.add("added", &[]);
    wait_for_status(&guard, &added, 200);
    file.must(&["revoke", &file.id(&added)]);
    wait_for_status(&guard, &added, 401);

    let rotated = file.must(&["rotate", &file.id(&first), "--overlap", "1h"]);
    let rotated = rotated.trim_end();
    wait_for_status(&guard, rotated, 200);
    assert_eq!(status(&guard, &first), 200, "within the overlap");
    let last = file.must(&["rotate", &file.id(rotated), "--overlap", "0s"]);
    wait_for_status(&guard, rotated, 401);
    assert_eq!(status(&guard, last.trim_end()), 200);

    // Its time ends without a change of the file.
    let short = file.add("short", &["--expires", "3s"]);
    wait_for_status(&guard, &short, 200);
    wait_for_status(&guard, &short, 401);
    guard.wait_for_log(|line| line.starts_with("denied reason=expired_key "));

    // Written in place, as an editor may.
    let text = fs::read_to_string(&file.path).expect("readable");
    fs::write(
        &file.path,
        text.replace("\"consumer\":\"first\"", "\"consumer\":\"f\""),
    )
    .expect("written");
    guard.wait_for_log(|line| line.starts_with("keys_reloaded ") && line.contains("keys.json"));
    let since = Instant::now();
    while guard.ask(bearer(last.trim_end())).header("x-consumer") != Some("f") {
        assert!(since.elapsed() < PATIENCE, "not seen");
    }
    file.must(&["rm", "f"]);
    wait_for_status(&guard, last.trim_end(), 401);
}

#[test]
fn a_signal_reloads_keys_and_secret_together() {
    let file = KeyFile::new("signal");
    let secrets = file.folder.write("secrets", "old-secret-0123456789\n");
    let key = file.add("acme", &[]);
    let guard = file.gateway(&[
        ("SHARED_SECRET", ""),
        ("SHARED_SECRET_FILE", secrets.to_str().expect("UTF-8")),
    ]);
    let secret = || {
        guard
            .ask(bearer(&key))
            .header("x-shared-secret")
            .map(str::to_owned)
    };
    assert_eq!(secret().as_deref(), Some("old-secret-0123456789"));
    file.folder
        .write("secrets", "new-secret-0123456789\nold-secret-0123456789\n");
    let added = file.add("added", &[]);
    guard.signal(Signal::HUP);
    guard.wait_for_log(|line| line.starts_with("reloaded number=1 ") && line.contains("secrets=2"));
    guard.wait_for_log(|line| line.starts_with("keys_reloaded keys=2 "));
    assert_eq!(
        secret().as_deref(),
        Some("new-secret-0123456789"),
        "the current one alone"
    );
    assert_eq!(status(&guard, &added), 200);
    assert!(!guard.log().join("\n").contains("secret-0123"));
}

#[test]
fn a_faulty_or_missing_file_leaves_the_keys_that_were() {
    let file = KeyFile::new("kept");
    let key = file.add("acme", &[]);
    let good = fs::read_to_string(&file.path).expect("readable");
    let guard = file.gateway(&[]);
    file.folder
        .write("keys.json", "{\"version\":1,\n\"keys\":[{]}");
    let line = guard.wait_for_log(|line| line.starts_with("keys_reload_failed kept=1 "));
    assert!(line.contains("keys.json, line 2, column "), "{line}");
    assert_eq!(status(&guard, &key), 200);
    guard.signal(Signal::HUP);
    let failures = || {
        let failed = |line: &&String| line.starts_with("keys_reload_failed ");
        guard.log().iter().filter(failed).count()
    };
    let since = Instant::now();
    while failures() < 2 {
        assert!(since.elapsed() < PATIENCE, "the signal reloads too");
        std::thread::yield_now();
    }
    fs::remove_file(&file.path).expect("removed");
    guard.wait_for_log(|line| {
        line.starts_with("keys_reload_failed ") && line.contains("No such file")
    });
    assert_eq!(status(&guard, &key), 200);
    assert_eq!(failures(), 3, "each fault is told once: {:?}", guard.log());
    file.folder.write("keys.json", &good);
    guard.wait_for_log(|line| line.starts_with("keys_reloaded keys=1 "));
    assert_eq!(status(&guard, &key), 200);
}

/// Ends the load when dropped, also where an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn changes_under_load_lose_no_good_request() {
    let file = KeyFile::new("load");
    let steady = file.add("steady", &[]);
    let guard = file.gateway(&[("WORKERS", "2")]);
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut stream = guard.connect();
                while !done.load(SeqCst) {
                    stream.write_all(bearer(&steady).as_bytes()).expect("sent");
                    let answer = Answer::read(&mut stream, false).expect("an answer");
                    assert_eq!(
                        (answer.status, answer.header("x-consumer")),
                        (200, Some("steady"))
                    );
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        let _stop = Stop(&done);
        for turn in 0..20 {
            let key = file.add("passing", &[]);
            guard.signal(Signal::HUP);
            wait_for_status(&guard, &key, 200);
            let next = file.must(&["rotate", &file.id(&key), "--overlap", "1h"]);
            guard.signal(Signal::HUP);
            wait_for_status(&guard, next.trim_end(), 200);
            assert_eq!(status(&guard, &key), 200, "both are good meanwhile");
            file.must(&["revoke", &file.id(&key)]);
            if turn % 2 == 0 {
                file.must(&["rm", "passing"]);
            }
            guard.signal(Signal::HUP);
            wait_for_status(&guard, &key, 401);
        }
        assert!(answered.load(SeqCst) > 0);
    });
}
