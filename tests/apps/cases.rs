//! What every application must be reached by as if the guard were not there.

use std::io::Read as _;
use std::process::Command;

use serde_json::Value;

use crate::app::Way;
use crate::client::{Body, Client, head};
use crate::pattern::{Pattern, sha256};
use crate::support::SECRET;

const SMALL: u64 = 5_000_000;
const LARGE: u64 = 1_000_000_000;

/// All that needs no WebSocket.
pub(crate) fn everything(way: &Way) {
    one_after_the_other(way);
    slow_answers_hold_up_no_others(way);
}

/// The same without what waits for another one.
pub(crate) fn one_after_the_other(way: &Way) {
    requests_arrive_as_they_were_sent(way);
    pipelined_requests_are_answered_in_order(way);
    cookies_encodings_and_empty_answers_pass(way);
    uploads(way, SMALL);
    a_client_that_waits_for_100_gets_it(way);
    downloads(way);
    events_arrive_one_by_one(way);
    public_and_denied_requests(way);
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| panic!("{}", body.escape_ascii()))
}

/// What reached the application: names in lower case and values.
fn reached(body: &Value) -> Vec<(String, String)> {
    let fields = body["fields"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    fields
        .iter()
        .map(|field| (text(&field[0]).to_ascii_lowercase(), text(&field[1])))
        .collect()
}

fn requests_arrive_as_they_were_sent(way: &Way) {
    let mut client = way.client();
    let hostile = "X_Shared_Secret: evil\r\nX.Shared.Secret: evil\r\nX_Consumer: evil\r\n\
                   X_Real_IP: evil\r\nProxy: evil\r\nTE: trailers\r\nKeep-Alive: evil\r\n\
                   Accept: text/*\r\nX-Other: one, two\r\nCookie: a=b; c=\"d e\"\r\n";
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
    ] {
        for target in ["/json", "/json?x=%20y&z=%c3%a4&a[]=[{|}]"] {
            let (head, body) = client.ask(method, target, hostile);
            assert_eq!(head.status, 200, "{method} {target}");
            if method == "HEAD" {
                assert!(body.is_empty());
                continue;
            }
            let body = json(&body);
            assert_eq!(body["method"], method);
            assert_eq!(body["target"], target);
            let fields = reached(&body);
            let values = |name: &str| {
                let named = fields.iter().filter(|(field, _)| field == name);
                named.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
            };
            assert_eq!(values("host"), ["app.example"]);
            assert_eq!(values("accept"), ["text/*"]);
            assert_eq!(values("x-other"), ["one, two"]);
            assert_eq!(values("cookie"), ["a=b; c=\"d e\""]);
            if way.guard.is_some() {
                assert!(!body.to_string().contains("evil"), "{body}");
                assert!(!body.to_string().contains(SECRET), "{body}");
                assert_eq!(values("x-forwarded-for"), ["127.0.0.1"]);
                assert_eq!(values("x-forwarded-proto"), ["http"]);
            }
        }
    }
    if way.guard.is_some() {
        // However often the application closes its own.
        assert_eq!(client.connections, 1);
    }
}

fn pipelined_requests_are_answered_in_order(way: &Way) {
    if way.guard.is_none() {
        return;
    }
    let mut client = way.client();
    let number = |number| head("GET", &format!("/json?n={number}"), "", &Body::None);
    let requests: Vec<_> = (0..20).map(number).collect();
    client.write(requests.concat().as_bytes());
    for number in 0..20 {
        let (_, body) = client.receive("GET");
        assert_eq!(json(&body)["target"], format!("/json?n={number}"));
    }
}

fn cookies_encodings_and_empty_answers_pass(way: &Way) {
    let mut client = way.client();
    let (head, _) = client.ask("GET", "/cookies", "");
    let cookies = ["a=aaa; Path=/a", "b=bbb; Path=/b", "c=ccc; Path=/c"];
    assert_eq!(head.values("set-cookie"), cookies);

    let (head, body) = client.ask("GET", "/gzip", "");
    assert_eq!(head.value("content-encoding"), Some("gzip"));
    let (_, straight) = Client::to(way.app.address).ask("GET", "/gzip", "");
    assert_eq!(body, straight);
    assert!(body.starts_with(b"\x1f\x8b"));

    let (head, _) = client.ask("GET", "/etag", "If-None-Match: \"v1\"\r\n");
    assert_eq!((head.status, head.value("etag")), (304, Some("\"v1\"")));
    let (head, body) = client.ask("GET", "/etag", "If-None-Match: \"v2\"\r\n");
    assert_eq!((head.status, body.as_slice()), (200, &b"tagged"[..]));

    let (head, body) = client.ask("POST", "/next", "");
    assert_eq!((head.status, body.len()), (204, 0));
    if way.guard.is_some() {
        assert_eq!(head.value("content-length"), None);
    }
    // It takes back what the last one gave.
    assert_eq!(client.ask("GET", "/slow", "").1, b"slow");
    let (head, _) = client.ask("GET", "/nothing", "");
    assert_eq!(head.status, 404);
    assert!(head.value("date").is_some());
}

fn assert_arrived(body: &[u8], length: u64) {
    let body = json(body);
    assert_eq!(body["bytes"], length);
    assert_eq!(body["sha256"], sha256(length));
}

pub(crate) fn uploads(way: &Way, length: u64) {
    // Before the first connection: meanwhile it would idle for long.
    sha256(length);
    let mut client = way.client();
    for length in [0, 1, 65_536, length] {
        for body in [Body::Sized(length), Body::Chunked(length)] {
            client.send("POST", "/upload", "", &body);
            let (head, answer) = client.receive("POST");
            assert_eq!(head.status, 200, "{length}");
            assert_arrived(&answer, length);
        }
    }
}

pub(crate) fn large_uploads(way: &Way) {
    uploads(way, LARGE);
}

fn a_client_that_waits_for_100_gets_it(way: &Way) {
    if way.guard.is_none() {
        return;
    }
    let mut client = way.client();
    for body in [Body::Sized(SMALL), Body::Chunked(SMALL)] {
        let request = head("POST", "/upload", "Expect: 100-continue\r\n", &body);
        client.write(request.as_bytes());
        assert_eq!(client.head("POST").status, 100);
        client.send_body(&body);
        let (head, answer) = client.receive("POST");
        assert_eq!(head.status, 200);
        assert_arrived(&answer, SMALL);
    }
}

fn downloads(way: &Way) {
    let mut client = way.client();
    for length in [0, 1, 65_537, SMALL] {
        let target = format!("/download?bytes={length}");
        client.send("GET", &target, "", &Body::None);
        let head = client.head("GET");
        assert_eq!(head.status, 200);
        Pattern::of(length).assert_is(client.body(&head));
    }
    // An old client knows no chunks; the end of the connection is that of the body.
    let target = format!("/download?bytes={SMALL}");
    let request = format!("GET {target} HTTP/1.0\r\nX-Shared-Secret: {SECRET}\r\n\r\n");
    let mut client = way.client();
    client.write(request.as_bytes());
    let head = client.head("GET");
    assert_eq!(head.value("transfer-encoding"), None);
    Pattern::of(SMALL).assert_is(client.body(&head));
}

/// The application sends each event but the first only after it is asked to, by another
/// connection, so that what is held back is missed.
fn events_arrive_one_by_one(way: &Way) {
    let (mut client, mut other) = (way.client(), way.client());
    client.send(
        "GET",
        "/events",
        "Accept: text/event-stream\r\n",
        &Body::None,
    );
    let head = client.head("GET");
    assert_eq!(
        head.value("content-type").map(|kind| &kind[..17]),
        Some("text/event-stream")
    );
    let mut body = client.body(&head);
    for number in 0..5 {
        if number > 0 {
            assert_eq!(other.ask("POST", "/next", "").0.status, 204);
        }
        let mut event = [0; 9];
        body.read_exact(&mut event).expect("an event");
        assert_eq!(event, format!("data: {number}\n\n").as_bytes());
    }
    let mut rest = Vec::new();
    body.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"");
}

fn slow_answers_hold_up_no_others(way: &Way) {
    let (mut first, mut second, mut other) = (way.client(), way.client(), way.client());
    first.send("GET", "/slow", "", &Body::None);
    second.send("GET", "/slow", "", &Body::None);
    for _ in 0..10 {
        assert_eq!(other.ask("GET", "/json", "").0.status, 200);
    }
    for _ in 0..2 {
        assert_eq!(other.ask("POST", "/next", "").0.status, 204);
    }
    assert_eq!(first.receive("GET").1, b"slow");
    assert_eq!(second.receive("GET").1, b"slow");
}

fn public_and_denied_requests(way: &Way) {
    if way.guard.is_none() {
        return;
    }
    let mut client = way.client();
    for (request, status) in [
        ("GET /json HTTP/1.1\r\nHost: a\r\n\r\n", 401),
        ("GET /public HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (
            "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            401,
        ),
        ("GET /public/ HTTP/1.1\r\nHost: a\r\n\r\n", 401),
        (
            "GET /json HTTP/1.1\r\nHost: a\r\nX_Shared_Secret: {}\r\n\r\n",
            401,
        ),
    ] {
        client.write(request.replace("{}", SECRET).as_bytes());
        assert_eq!(client.receive("GET").0.status, status, "{request}");
    }
}

/// nginx's files: the whole of one, and parts.
pub(crate) fn files(way: &Way) {
    let mut client = way.client();
    let whole = format!("bytes 0-9/{LARGE}");
    for (range, status, start, length, content_range) in [
        ("", 200, 0, LARGE, None),
        ("Range: bytes=0-9\r\n", 206, 0, 10, Some(whole)),
        (
            "Range: bytes=123456789-987654321\r\n",
            206,
            123_456_789,
            864_197_533,
            Some(format!("bytes 123456789-987654321/{LARGE}")),
        ),
        (
            "Range: bytes=-5\r\n",
            206,
            LARGE - 5,
            5,
            Some(format!("bytes 999999995-999999999/{LARGE}")),
        ),
    ] {
        client.send("GET", "/large", range, &Body::None);
        let head = client.head("GET");
        assert_eq!(head.status, status, "{range}");
        assert_eq!(head.value("content-range"), content_range.as_deref());
        assert_eq!(
            head.value("content-length"),
            Some(length.to_string().as_str())
        );
        Pattern::from(start, length).assert_is(client.body(&head));
    }
    let (head, body) = client.ask("HEAD", "/large", "");
    assert_eq!(head.value("content-length"), Some("1000000000"));
    assert_eq!(body, b"");
    let (head, _) = client.ask("GET", "/large", &format!("Range: bytes={LARGE}-\r\n"));
    assert_eq!(head.status, 416);
    let (head, _) = client.ask("GET", "/small", "");
    let since = head.value("last-modified").expect("a date").to_owned();
    let (head, _) = client.ask("GET", "/small", &format!("If-Modified-Since: {since}\r\n"));
    assert_eq!(head.status, 304);
}

/// What a file of [`files`] holds.
pub(crate) fn write_files(www: &std::path::Path) {
    let mut large = std::fs::File::create(www.join("large")).expect("made");
    std::io::copy(&mut Pattern::of(LARGE), &mut large).expect("written");
    std::fs::write(www.join("small"), "small").expect("written");
}

/// An echo over `WebSocket`s, by a client of others.
pub(crate) fn websockets(way: &Way) {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/apps/bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/websocket.py");
    let output = Command::new(python)
        .arg(script)
        .arg(format!("ws://{}/ws", way.address))
        .arg(SECRET)
        .output()
        .expect("starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
