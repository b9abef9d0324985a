//! The contract, row by row: through the real binary, and through the same plain
//! function under `tiny_http::Server`.

mod support;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use origin_guard::auth::secrets::{Digest, Secrets};
use origin_guard::auth::shared_secret::Guard as Judge;
use origin_guard::handlers::origin::Origin;
use origin_guard::http1::forwarded::TrustedProxies;
use support::{Answer, Guard, PATIENCE, SECRET};

const MISCONFIGURED: &str = r#"{"error":"Server configuration error"}"#;
const ABSENT: &str = r#"{"error":"No secret provided"}"#;
const INVALID: &str = r#"{"error":"Invalid secret"}"#;
const GRANTED: &str = r#"{"message":"Access granted"}"#;
const NOT_ALLOWED: &str = r#"{"error":"Method not allowed"}"#;
const NOT_FOUND: &str = r#"{"error":"Not found"}"#;
const OK: &str = r#"{"status":"ok"}"#;

struct Row {
    method: &'static str,
    target: &'static str,
    fields: String,
    status: u16,
    body: &'static str,
}

fn row(
    method: &'static str,
    target: &'static str,
    secrets: &[&str],
    status: u16,
    body: &'static str,
) -> Row {
    let field = |secret: &&str| format!("X-Shared-Secret: {secret}\r\n");
    let fields: Vec<_> = secrets.iter().map(field).collect();
    let fields = fields.concat();
    Row {
        method,
        target,
        fields,
        status,
        body,
    }
}

fn configured() -> Vec<Row> {
    let mut rows = vec![
        row("GET", "/protected", &[], 401, ABSENT),
        row("GET", "/protected", &[""], 401, ABSENT),
        row("GET", "/protected", &["  \t "], 401, ABSENT),
        row("GET", "/protected", &["wrong"], 401, INVALID),
        row("GET", "/protected", &[&SECRET[1..]], 401, INVALID),
        row("GET", "/protected", &[&SECRET.to_uppercase()], 401, INVALID),
        row("GET", "/protected", &[SECRET, SECRET], 401, INVALID),
        row("GET", "/protected", &["wrong", SECRET], 401, INVALID),
        row("GET", "/protected", &["", SECRET], 401, INVALID),
        row("GET", "/protected", &["", ""], 401, INVALID),
        row("GET", "/protected", &[SECRET], 200, GRANTED),
        row("GET", "/protected?a=b", &[SECRET], 200, GRANTED),
        row("HEAD", "/protected", &[SECRET], 200, GRANTED),
        row("HEAD", "/protected", &["wrong"], 401, INVALID),
        row("GET", "/protected/", &[SECRET], 404, NOT_FOUND),
        row("GET", "/%70rotected", &[SECRET], 404, NOT_FOUND),
        row("GET", "/", &[SECRET], 404, NOT_FOUND),
        row("POST", "/", &[SECRET], 404, NOT_FOUND),
        row("GET", "/healthz", &[], 200, OK),
        row("HEAD", "/healthz?x", &[], 200, OK),
        row("DELETE", "/healthz", &[], 405, NOT_ALLOWED),
    ];
    for method in [
        "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "BREW",
    ] {
        rows.push(row(method, "/protected", &[], 401, ABSENT));
        rows.push(row(method, "/protected", &["wrong"], 401, INVALID));
        rows.push(row(method, "/protected", &[SECRET], 405, NOT_ALLOWED));
    }
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "PURGE",
        "M-SEARCH",
    ] {
        for target in ["/verify", "/verify?a", "/verify/", "/verify/b/../c?d"] {
            rows.push(row(method, target, &[], 401, ABSENT));
            rows.push(row(method, target, &["wrong"], 401, INVALID));
            rows.push(row(method, target, &[SECRET, SECRET], 401, INVALID));
            rows.push(row(method, target, &[SECRET], 200, GRANTED));
        }
        rows.push(row(method, "/verifying", &[SECRET], 404, NOT_FOUND));
        rows.push(row(method, "/%76erify", &[SECRET], 404, NOT_FOUND));
    }
    rows
}

fn unconfigured() -> Vec<Row> {
    vec![
        row("GET", "/protected", &[], 500, MISCONFIGURED),
        row("GET", "/protected", &[""], 500, MISCONFIGURED),
        row("GET", "/protected", &[SECRET], 500, MISCONFIGURED),
        row("POST", "/protected", &[SECRET, SECRET], 500, MISCONFIGURED),
        row("GET", "/verify", &[SECRET], 500, MISCONFIGURED),
        row("PUT", "/verify/a", &[], 500, MISCONFIGURED),
        row("GET", "/nothing", &[], 404, NOT_FOUND),
        row("GET", "/healthz", &[], 200, OK),
    ]
}

fn assert_rows(address: SocketAddr, rows: &[Row]) {
    for Row {
        method,
        target,
        fields,
        status,
        body,
    } in rows
    {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        let head = *method == "HEAD";
        let answer = Answer::read(&mut stream, head).expect("an answer");
        assert_eq!(answer.status, *status, "{request}");
        if head {
            let length = body.len().to_string();
            assert_eq!(
                answer.header("content-length"),
                Some(length.as_str()),
                "{request}"
            );
        } else {
            assert_eq!(String::from_utf8_lossy(&answer.body), *body, "{request}");
        }
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{request}"
        );
        assert_eq!(answer.header("server"), Some("origin-guard"), "{request}");
        let challenge = (*status == 401).then_some(r#"Shared-Secret realm="origin-guard""#);
        assert_eq!(answer.header("www-authenticate"), challenge, "{request}");
        let allow = (*status == 405).then_some("GET, HEAD");
        assert_eq!(answer.header("allow"), allow, "{request}");
        let asked = [
            "/verify",
            "/verify?a",
            "/verify/",
            "/verify/b/../c?d",
            "/verify/a",
        ];
        let asked = asked.contains(target);
        // nginx shows this to the client, and never the body of a subrequest.
        let again = (asked && *status != 200).then_some(*body);
        assert_eq!(answer.header("x-guard-body"), again, "{request}");
        if asked || target.starts_with("/protected") && *target != "/protected/" {
            assert_eq!(
                answer.header("cache-control"),
                Some("no-store"),
                "{request}"
            );
        }
    }
}

#[test]
fn the_binary_keeps_the_contract() {
    assert_rows(Guard::start().address, &configured());
}

#[test]
fn without_a_secret_the_binary_answers_500_and_says_so_at_start() {
    for variables in [&[][..], &[("SHARED_SECRET", "")]] {
        let guard = Guard::with(variables);
        assert_rows(guard.address, &unconfigured());
        guard.wait_for_log(|line| line.starts_with("warning SHARED_SECRET: it is not set"));
    }
}

#[test]
fn another_header_can_hold_the_secret() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("SECRET_HEADER", "X-Azure-FDID")]);
    let ask = |name: &str| {
        let request = format!("GET /protected HTTP/1.1\r\nHost: x\r\n{name}: {SECRET}\r\n\r\n");
        guard.ask(request).status
    };
    assert_eq!(ask("X-Azure-FDID"), 200);
    assert_eq!(ask("x-azure-fdid"), 200);
    assert_eq!(ask("X-Shared-Secret"), 401);
}

/// The naive loop, for the test's own requests alone; it ends with the test's process.
fn under_tiny_http(secret: Option<&str>) -> SocketAddr {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("listens");
    let address = server.server_addr().to_ip().expect("TCP");
    let digests = secret.map(|secret| Digest::of(secret.as_bytes()));
    let digests = digests.into_iter().collect();
    let origin = Origin {
        guard: Judge::new("X-Shared-Secret", Arc::new(Secrets::new(digests))),
        trusted_proxies: TrustedProxies::default(),
        access_log: false,
    };
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let reply = origin.answer(&request).into_reply();
            // A client that is gone needs no answer.
            let _ = request.respond(reply);
        }
    });
    address
}

#[test]
fn the_same_function_keeps_the_contract_under_tiny_http() {
    assert_rows(under_tiny_http(Some(SECRET)), &configured());
    assert_rows(under_tiny_http(None), &unconfigured());
}
