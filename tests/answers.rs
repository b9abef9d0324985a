//! Answers that a backend should not give: none is passed on as if it were whole, and none
//! is taken for the answer to another request.

#[path = "answers/backend.rs"]
mod backend;
mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use backend::{Backend, End};
use support::metrics::wait_for;
use support::{Answer, Guard, SECRET};

fn guard(backend: &Backend, more: &[(&str, &str)]) -> Guard {
    let url = format!("http://{}", backend.address);
    let variables = [&[("SHARED_SECRET", SECRET), ("BACKEND", &url)], more].concat();
    Guard::with(&variables)
}

fn request(method: &str, path: &str, version: &str) -> String {
    format!("{method} {path} {version}\r\nHost: test\r\nX-Shared-Secret: {SECRET}\r\n\r\n")
}

/// All that comes until the connection ends, and whether that is a reset.
fn all(stream: &mut TcpStream) -> (String, bool) {
    let mut bytes = Vec::new();
    let reset = match stream.read_to_end(&mut bytes) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("after {}: {error}", bytes.escape_ascii()),
    };
    (String::from_utf8_lossy(&bytes).into_owned(), reset)
}

#[test]
fn a_head_that_can_be_read_in_two_ways_or_in_none_is_a_502() {
    let backend = Backend::start();
    let guard = guard(&backend, &[]);
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300));
    let cases: &[(&[u8], End)] = &[
        (b"", End::Close),
        (b"", End::Reset),
        (b"HTTP/1.1 200 OK\r\nContent-Le", End::Close),
        (b"HTTP/1.1 200 OK\r\nContent-Le", End::Reset),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", End::Close),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", End::Stay),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", End::Stay),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!", End::Stay),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", End::Stay),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", End::Stay),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello", End::Stay),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", End::Close),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", End::Close),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", End::Close),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\nhello", End::Close),
        (b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nX-A: b\rX-C: d\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nX-A: b\0\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", End::Stay),
        (b"200 OK\r\n\r\n", End::Stay),
        (b"<html>", End::Close),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", End::Close),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", End::Stay),
        (long.as_bytes(), End::Stay),
        (many.as_bytes(), End::Stay),
    ];
    for (at, (bytes, end)) in cases.iter().enumerate() {
        let path = format!("/{at}");
        backend.answer(&path, bytes, *end);
        let answer = guard.ask(request("GET", &path, "HTTP/1.1"));
        let shown = bytes[..bytes.len().min(80)].escape_ascii();
        assert_eq!(answer.status, 502, "{shown}");
        assert_eq!(answer.body, br#"{"error":"Bad gateway"}"#, "{shown}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[test]
fn a_body_that_breaks_off_is_broken_off() {
    let backend = Backend::start();
    let guard = guard(&backend, &[]);
    let cases: &[(&[u8], End)] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", End::Close),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", End::Reset),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", End::Close),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", End::Reset),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", End::Close),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\nhello\r\n0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\nhello\r\n0\r\n\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n", End::Stay),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10000000000000000\r\n", End::Stay),
    ];
    for (at, (bytes, end)) in cases.iter().enumerate() {
        let shown = bytes.escape_ascii();
        let path = format!("/{at}");
        backend.answer(&path, bytes, *end);
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let mut stream = guard.connect();
            let request = request("GET", &path, version);
            let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
            stream.write_all(last.as_bytes()).expect("sent");
            let (came, reset) = all(&mut stream);
            // Where all of it was there at once, nothing has been passed on yet.
            if came.starts_with("HTTP/1.1 502 ") {
                continue;
            }
            assert!(
                came.starts_with("HTTP/1.1 200 ") || reset,
                "{version} {shown}: {came}"
            );
            let is_sized = came.contains("Content-Length: 10");
            let whole = !is_sized && came.ends_with("0\r\n\r\n");
            assert!(!whole, "{version} {shown}: {came}");
            let (_, body) = came.split_once("\r\n\r\n").unwrap_or_default();
            assert!(!is_sized || body.len() < 10, "{version} {shown}: {came}");
            // Without a length and without chunks the end looks like that of the whole.
            let is_chunked = came.to_ascii_lowercase().contains("transfer-encoding");
            assert!(is_sized || is_chunked || reset, "{version} {shown}: {came}");
        }
    }
}

#[test]
fn what_is_odd_and_clear_passes() {
    let backend = Backend::start();
    let guard = guard(&backend, &[]);
    let mut stream = guard.connect();
    let cases: &[(&[u8], End, u16, &str)] = &[
        (b"HTTP/1.0 200 OK\r\n\r\nhello", End::Close, 200, "hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", End::Close, 200, "hello"),
        (
            b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
            End::Stay,
            200,
            "hello",
        ),
        (
            b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
            End::Stay,
            200,
            "hello",
        ),
        (
            b"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello",
            End::Stay,
            299,
            "hello",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello",
            End::Stay,
            200,
            "hello",
        ),
        (
            b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            End::Stay,
            204,
            "",
        ),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", End::Stay, 304, ""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            End::Stay,
            200,
            "hello",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
            End::Stay,
            200,
            "hello",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n0\r\n\r\n",
            End::Close,
            200,
            "hello",
        ),
    ];
    for (at, (bytes, end, status, body)) in cases.iter().enumerate() {
        let shown = bytes.escape_ascii();
        let path = format!("/{at}");
        backend.answer(&path, bytes, *end);
        stream
            .write_all(request("GET", &path, "HTTP/1.1").as_bytes())
            .expect("sent");
        let (found, came) = read(&mut stream);
        assert_eq!((found, came.as_str()), (*status, *body), "{shown}");
    }
}

/// One answer with its body, by length or in chunks.
fn read(stream: &mut TcpStream) -> (u16, String) {
    let answer = Answer::read(stream, false).expect("an answer");
    let mut body = answer.body.clone();
    if answer.header("transfer-encoding").is_some() {
        let mut byte = [0];
        let mut raw = Vec::new();
        while !raw.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a chunk");
            raw.push(byte[0]);
        }
        let text = String::from_utf8(raw).expect("ASCII");
        let lines: Vec<_> = text.split("\r\n").collect();
        let data = lines.chunks(2).map(|pair| pair[1..].concat());
        body = data.collect::<String>().into_bytes();
    }
    (answer.status, String::from_utf8(body).expect("ASCII"))
}

#[test]
fn what_comes_behind_an_answer_is_not_taken_for_the_next() {
    let backend = Backend::start();
    let guard = guard(&backend, &[]);
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    backend.answer(
        "/good",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
        End::Stay,
    );
    let mut stream = guard.connect();
    for (at, (method, start)) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{at}");
        backend.answer(&path, format!("{start}{smuggled}").as_bytes(), End::Stay);
        stream
            .write_all(request(method, &path, "HTTP/1.1").as_bytes())
            .expect("sent");
        if method == "HEAD" || start.contains("304") {
            assert!(
                Answer::read(&mut stream, true).expect("an answer").status < 400,
                "{start}"
            );
        } else {
            assert!(read(&mut stream).0 < 400, "{start}");
        }
        for _ in 0..3 {
            stream
                .write_all(request("GET", "/good", "HTTP/1.1").as_bytes())
                .expect("sent");
            assert_eq!(read(&mut stream), (200, "good".into()), "{method} {start}");
        }
    }
}

#[test]
fn what_never_answers_is_a_504() {
    let backend = Backend::start();
    let guard = guard(&backend, &[("BACKEND_TIMEOUT", "0.2")]);
    for (at, bytes) in [
        "",
        "HTTP/1.1 200 OK\r\nX-A: b",
        "HTTP/1.1 102 Processing\r\n\r\n",
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/{at}");
        backend.answer(&path, bytes.as_bytes(), End::Stay);
        let mut stream = guard.connect();
        stream
            .write_all(request("GET", &path, "HTTP/1.1").as_bytes())
            .expect("sent");
        let mut answer = Answer::read(&mut stream, false).expect("an answer");
        if answer.status == 102 {
            answer = Answer::read(&mut stream, false).expect("an answer");
        }
        assert_eq!(answer.status, 504, "{bytes:?}");
        assert_eq!(answer.body, br#"{"error":"Gateway timeout"}"#);
    }
}

#[test]
fn connect_and_trace_reach_no_backend() {
    let backend = Backend::start();
    let guard = guard(&backend, &[]);
    backend.answer("test:80", b"HTTP/1.1 200 OK\r\n\r\ntunnel", End::Stay);
    for (method, target, status) in [
        ("CONNECT", "test:80", 501),
        ("CONNECT", "/", 501),
        ("CONNECT", "http://test/", 501),
        ("TRACE", "/", 405),
        ("TRACE", "http://test/", 405),
    ] {
        let answer = guard.ask(request(method, target, "HTTP/1.1"));
        assert_eq!(answer.status, status, "{method} {target}");
        let allow = answer.header("allow");
        assert_eq!(allow.is_some(), status == 405, "{allow:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(SECRET));
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_backend_that_is_down_is_a_502_until_it_is_up() {
    let port = support::port::HeldPort::new();
    let (address, url) = (port.address, port.url());
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("BACKEND", &url)]);
    let ask = || guard.ask(request("GET", "/", "HTTP/1.1"));
    for _ in 0..5 {
        let answer = ask();
        assert_eq!(answer.status, 502);
        assert_eq!(answer.body, br#"{"error":"Bad gateway"}"#);
    }
    let listener = std::net::TcpListener::bind(address).expect("bound");
    let backend = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).expect("a request");
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup";
        stream.write_all(answer).expect("sent");
    });
    // The only one is never left alone.
    assert_eq!(ask().body, b"up");
    backend.join().expect("served");
}

#[test]
fn a_body_that_is_too_long_is_a_413() {
    let backend = Backend::start();
    let admin = ("ADMIN_LISTEN", "127.0.0.1:0");
    let guard = guard(&backend, &[("MAX_BODY_BYTES", "10"), admin]);
    backend.answer(
        "/",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        End::Close,
    );
    let head = request("POST", "/", "HTTP/1.1");
    let head = head.trim_end();
    let answer = guard.ask(format!("{head}\r\nContent-Length: 11\r\n\r\nhello world"));
    assert_eq!(answer.status, 413);
    assert_eq!(backend.requests(), 0);
    let chunks = "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
    let answer = guard.ask(format!(
        "{head}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    ));
    assert_eq!(answer.status, 413);
    let answer = guard.ask(format!("{head}\r\nContent-Length: 10\r\n\r\nhello worl"));
    assert_eq!(answer.status, 200);
    // That a body in chunks is too long is seen on its way alone.
    let lines = [
        r#"requests_total{verdict="bad_request",status="413"} 1"#,
        r#"requests_total{verdict="granted",status="forwarded"} 2"#,
    ];
    wait_for(guard.second_address(), &lines.map(str::to_owned));
    let log = guard.log();
    assert!(
        !log.iter().any(|line| line.starts_with("refused ")),
        "the gateway would be banned: {log:?}"
    );
}
