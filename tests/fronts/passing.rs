//! What passes and what does not, while everything is up.

use std::io::{Read as _, Write as _};
use std::process::Command;

use crate::failing::assert_unavailable;
use crate::front::{Front, Proxy, Setup, guard_at};
use crate::relay::Relay;
use crate::support::{Answer, SECRET, installed};

const ABSENT: &str = r#"{"error":"No secret provided"}"#;
const INVALID: &str = r#"{"error":"Invalid secret"}"#;
const MISCONFIGURED: &str = r#"{"error":"Server configuration error"}"#;
const CHALLENGE: Option<&str> = Some(r#"Shared-Secret realm="origin-guard""#);
/// More than any proxy takes where its file does not say otherwise.
const LARGE: usize = 5 << 20;

with_each_proxy! {
    the_secret_decides
    every_kind_of_request_passes
    a_websocket_passes
    a_thousand_at_once_are_told_apart
    the_guards_500_is_passed_on
    no_question_reaches_the_backend
    the_log_names_client_and_path_and_believes_no_client
    tls_is_terminated
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// A denial as the guard has it, and nothing at the backend.
pub(crate) fn assert_denied(
    answer: &Answer,
    status: u16,
    body: &str,
    challenge: Option<&str>,
    what: &str,
) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(String::from_utf8_lossy(&answer.body), body, "{what}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{what}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(answer.header("www-authenticate"), challenge, "{what}");
}

fn the_secret_decides(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let secret = format!("X-Shared-Secret: {SECRET}\r\n");
    let wrong = "X-Shared-Secret: wrong\r\n";
    for (number, fields) in [
        secret.clone(),
        secret.replace("X-Shared-Secret", "x-sHARED-sECRET"),
        secret.replace(": ", ":\t ").replace("\r\n", " \t\r\n"),
    ]
    .iter()
    .enumerate()
    {
        let answer = front.ask(get(&format!("/granted/{number}?a=b%2Fc"), fields));
        assert_eq!(answer.status, 200, "{fields:?}: {answer:?}");
        assert_eq!(answer.body, b"backend took 0");
    }
    for (fields, body) in [
        (String::new(), ABSENT),
        ("X-Shared-Secret:\r\n".to_owned(), ABSENT),
        ("X-Shared-Secret: \t \r\n".to_owned(), ABSENT),
        (secret.replace("X-Shared-Secret", "X_Shared_Secret"), ABSENT),
        (secret.replace("X-Shared-Secret", "XSharedSecret"), ABSENT),
        (
            secret.replace("X-Shared-Secret", "X-Shared-Secret2"),
            ABSENT,
        ),
        (wrong.to_owned(), INVALID),
        (secret.replace(SECRET, &SECRET.to_uppercase()), INVALID),
        (secret.replace(SECRET, &SECRET[1..]), INVALID),
        (
            secret.replace(SECRET, &format!("{SECRET}, {SECRET}")),
            INVALID,
        ),
        (secret.repeat(2), INVALID),
        (format!("{secret}{wrong}"), INVALID),
        (format!("{wrong}{secret}"), INVALID),
        (format!("{secret}X-Shared-Secret:\r\n"), INVALID),
        (format!("X-Shared-Secret:\r\n{secret}"), INVALID),
        (format!("{secret}{}", wrong.to_lowercase()), INVALID),
    ] {
        assert_denied(
            &front.ask(get("/forbidden", &fields)),
            401,
            body,
            CHALLENGE,
            &fields,
        );
    }
    let seen = front.seen();
    let targets: Vec<_> = seen.iter().map(crate::backend::Seen::target).collect();
    let all = [
        "/granted/0?a=b%2Fc",
        "/granted/1?a=b%2Fc",
        "/granted/2?a=b%2Fc",
    ];
    assert_eq!(targets, all, "as they were sent");
}

fn every_kind_of_request_passes(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let body = vec![b'x'; LARGE];
    let head = |method: &str, framing: &str, secret: &str| {
        format!(
            "{method} /granted HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {secret}\r\n{framing}\r\n"
        )
    };
    let length = format!("Content-Length: {LARGE}\r\n");
    let mut chunks = Vec::new();
    for chunk in body.chunks(LARGE / 16) {
        chunks.extend(format!("{:x};note=1\r\n", chunk.len()).into_bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut sent = 0;
    for (method, framing, body, taken) in [
        ("GET", "", &[][..], 0),
        ("HEAD", "", &[], 0),
        ("DELETE", "", &[], 0),
        ("OPTIONS", "", &[], 0),
        ("GET", "Content-Length: 5\r\n", b"hello", 5),
        ("PATCH", "Content-Length: 5\r\n", b"hello", 5),
        ("POST", "Content-Length: 0\r\n", &[], 0),
        ("POST", &length, &body, LARGE),
        ("PUT", chunked, &chunks, LARGE),
    ] {
        let request = [head(method, framing, SECRET).as_bytes(), body].concat();
        let answer = front.ask(request);
        assert_eq!(answer.status, 200, "{method} {framing}: {answer:?}");
        sent += 1;
        let seen = front.seen();
        assert_eq!(seen.len(), sent, "{seen:#?}");
        let last = seen.last().expect("it");
        assert!(
            last.line.starts_with(&format!("{method} /granted ")),
            "{last:?}"
        );
        assert_eq!(last.body, taken as u64, "{last:?}");

        let request = [head(method, framing, "wrong").as_bytes(), body].concat();
        let answer = front.ask(request);
        if (method, proxy) == ("HEAD", Proxy::Envoy) {
            // It says no Content-Type where no content follows.
            assert_eq!(answer.status, 401, "{answer:?}");
        } else {
            let body = if method == "HEAD" { "" } else { INVALID };
            assert_denied(&answer, 401, body, CHALLENGE, method);
        }
        assert_eq!(front.seen().len(), sent);
    }
    // The denial does not wait for a body that does not come.
    let answer = front.ask(head("POST", &length, "wrong"));
    assert_denied(
        &answer,
        401,
        INVALID,
        CHALLENGE,
        "a body that does not come",
    );
    // Caddy reads 256 KiB of a body before any answer, as Go's net/http does.
    if proxy != Proxy::Caddy {
        let answer = front.ask(head("POST", chunked, "wrong"));
        assert_denied(&answer, 401, INVALID, CHALLENGE, "chunks that do not come");
    }
}

fn a_websocket_passes(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let fields = format!("{upgrade}X-Shared-Secret: wrong\r\n");
    assert_denied(
        &front.ask(get("/forbidden", &fields)),
        401,
        INVALID,
        CHALLENGE,
        "upgrade",
    );

    let fields = format!("{upgrade}X-Shared-Secret: {SECRET}\r\n");
    let mut stream = front.connect();
    stream
        .write_all(get("/granted", &fields).as_bytes())
        .expect("sent");
    let answer = Answer::read(&mut stream, true).expect("an answer");
    assert_eq!(answer.status, 101, "{answer:?}");
    for bytes in [
        &b"\x81\x05hello"[..],
        &[0; 4096],
        b"GET /echoed HTTP/1.1\r\n\r\n",
    ] {
        stream.write_all(bytes).expect("sent");
        let mut echo = vec![1; bytes.len()];
        stream.read_exact(&mut echo).expect("an echo");
        assert_eq!(echo, bytes);
    }
    assert_eq!(front.seen().len(), 1);
}

fn a_thousand_at_once_are_told_apart(proxy: Proxy) {
    const CROWD: usize = 1000;
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let is_granted = |number: usize| number.is_multiple_of(2);
    // All are open, and all have asked, before the first is read.
    let mut streams: Vec<_> = (0..CROWD).map(|_| front.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let request = if is_granted(number) {
            let secret = format!("X-Shared-Secret: {SECRET}\r\n");
            get(&format!("/granted/{number}"), &secret)
        } else {
            get(
                &format!("/forbidden/{number}"),
                "X-Shared-Secret: wrong\r\n",
            )
        };
        stream.write_all(request.as_bytes()).expect("sent");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let answer = Answer::read(stream, false).expect("an answer");
        let status = if is_granted(number) { 200 } else { 401 };
        assert_eq!(answer.status, status, "{number}: {answer:?}");
    }
    let mut seen: Vec<_> = front
        .seen()
        .iter()
        .map(|seen| seen.target().to_owned())
        .collect();
    seen.sort();
    let granted = (0..CROWD).filter(|&number| is_granted(number));
    let mut granted: Vec<_> = granted.map(|number| format!("/granted/{number}")).collect();
    granted.sort();
    assert_eq!(seen, granted);
}

fn the_guards_500_is_passed_on(proxy: Proxy) {
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    let _guard = front.guard_with(&[]);
    let answer = front.ask(get("/forbidden", &format!("X-Shared-Secret: {SECRET}\r\n")));
    if proxy == Proxy::Envoy {
        // It takes every 5xx of whom it asks for an error, and has one status for errors.
        assert_unavailable(&answer);
    } else {
        assert_denied(&answer, 500, MISCONFIGURED, None, "no secret configured");
    }
    assert!(front.seen().is_empty());
}

/// Caddy 2.6 mixes up connections that it opens while others become free, which it keeps
/// where its file does not say otherwise: two runs of five showed it then.
fn no_question_reaches_the_backend(proxy: Proxy) {
    const WAVES: usize = 150;
    const WAVE: usize = 60;
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let good = get("/granted", &format!("X-Shared-Secret: {SECRET}\r\n"));
    let bad = get("/forbidden", "X-Shared-Secret: wrong\r\n");
    let mut streams: Vec<_> = (0..WAVE).map(|_| front.connect()).collect();
    for _ in 0..WAVES {
        for (number, stream) in streams.iter_mut().enumerate() {
            let request = if number % 4 == 0 { &bad } else { &good };
            stream.write_all(request.as_bytes()).expect("sent");
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let answer = Answer::read(stream, false).expect("an answer");
            let status = if number % 4 == 0 { 401 } else { 200 };
            assert_eq!(answer.status, status, "{answer:?}");
        }
    }
    let seen = front.seen();
    assert!(seen.iter().all(|seen| seen.line == "GET /granted HTTP/1.1"));
    assert_eq!(seen.len(), WAVES * WAVE * 3 / 4);
}

mod connections_to_the_guard_are_kept {
    use crate::front::Proxy;

    #[test]
    fn nginx() {
        super::connections_to_the_guard_are_kept(Proxy::Nginx);
    }

    // Not Caddy, whose file says why.
    #[test]
    fn haproxy() {
        super::connections_to_the_guard_are_kept(Proxy::Haproxy);
    }
}

fn connections_to_the_guard_are_kept(proxy: Proxy) {
    const ASKED: usize = 100;
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    let behind = front.folder.0.join("behind.sock");
    let _guard = guard_at(&behind, &[("SHARED_SECRET", SECRET)]);
    let relay = Relay::start(&front.socket(), behind);
    let posting = |secret: &str| {
        format!(
            "POST /granted HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {secret}\r\n\
             Content-Length: 5\r\n\r\nhello"
        )
    };
    for _ in 0..ASKED {
        assert_eq!(front.ask(posting(SECRET)).status, 200);
        assert_eq!(front.ask(posting("wrong")).status, 401);
    }
    // One for each of a proxy's threads and to spare; it would be two hundred.
    let connections = relay.connections();
    assert!((1..=20).contains(&connections), "{connections} connections");
}

fn the_log_names_client_and_path_and_believes_no_client(proxy: Proxy) {
    let Some((front, guard)) = Front::guarded(proxy) else {
        return;
    };
    let forged = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Uri: /elsewhere\r\n\
                  X-Original-URI: /elsewhere\r\nX-Real-IP: 203.0.113.7\r\n\
                  Forwarded: for=203.0.113.7\r\n";
    front.ask(get("/forbidden/a?token=hush", forged));
    guard.wait_for_log(|line| {
        line == "denied reason=no_secret client=127.0.0.1 path=/verify uri=/forbidden/a"
    });
    let log = guard.log().join("\n");
    assert!(!log.contains("hush") && !log.contains("elsewhere"), "{log}");
}

fn tls_is_terminated(proxy: Proxy) {
    let setup = Setup {
        tls: true,
        ..Setup::default()
    };
    let Some(front) = Front::start(proxy, &setup) else {
        return;
    };
    if !installed("curl", "apt install curl") {
        return;
    }
    let _guard = front.guard();
    let port = front.address.port();
    let ask = |secret: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30"])
            .args(["--cacert", &front.folder.file("fullchain.pem")])
            .args(["--resolve", &format!("origin.example:{port}:127.0.0.1")])
            .args(["--header", &format!("X-Shared-Secret: {secret}")])
            .args(["--write-out", " %{http_code}"])
            .arg(format!("https://origin.example:{port}/granted"))
            .output()
            .expect("runs");
        assert!(output.status.success(), "{output:?}: {}", front.log());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(ask(SECRET), "backend took 0 200");
    assert_eq!(ask("wrong"), format!("{INVALID} 401"));
    let seen = front.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].field("x-forwarded-proto"), Some("https"));
}
