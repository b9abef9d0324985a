//! What the log, `/metrics` and systemd are told of forwarded requests.

#[path = "answers/backend.rs"]
mod backend;
mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backend::{Backend, End};
use rustix::net::sockopt::set_socket_linger;
use support::folder::Folder;
use support::metrics::{metrics, wait_for};
use support::port::HeldPort;
use support::{Answer, Guard, PATIENCE, SECRET, command, installed};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn guard(backends: &[SocketAddr], more: &[(&str, &str)]) -> Guard {
    let urls: Vec<_> = backends.iter().map(|at| format!("http://{at}")).collect();
    let urls = urls.join(",");
    let variables = [
        ("SHARED_SECRET", SECRET),
        ("BACKEND", &urls),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
        ("ACCESS_LOG", "1"),
    ];
    Guard::with(&[&variables, more].concat())
}

fn granted(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n{fields}\r\n")
}

/// The value of `name=` in a line of the log.
fn value<'l>(line: &'l str, name: &str) -> &'l str {
    let mut words = line.split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// A line of the access log up to the times, and what is behind them.
fn without_times(line: &str) -> String {
    let words = line.split(' ');
    let kept = words.filter(|word| !word.contains("seconds="));
    kept.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_forwarded_request_is_a_line_once_it_has_ended() {
    let backend = Backend::start();
    backend.answer("/hello", HELLO, End::Stay);
    backend.answer("/told?token=hush", HELLO, End::Stay);
    backend.answer(
        "/none",
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        End::Stay,
    );
    let more = [
        ("PUBLIC_PATHS", "/hello"),
        ("TRUSTED_PROXIES", "10.0.0.0/8"),
    ];
    let guard = guard(&[backend.address], &more);
    let at = backend.address;
    let told = "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.9.9.9\r\n";
    let public = format!("GET /hello HTTP/1.1\r\nHost: x\r\n{told}\r\n");
    for (request, line) in [
        // Who has the secret is the gateway, whose word on the client counts.
        (
            granted("GET", "/told?token=hush", told),
            "method=GET path=/told status=200 client=203.0.113.7 bytes=5",
        ),
        (
            granted("DELETE", "/none", ""),
            "method=DELETE path=/none status=404 client=127.0.0.1 bytes=0",
        ),
        // Who has none is nobody.
        (
            public,
            "method=GET path=/hello status=200 client=127.0.0.1 bytes=5",
        ),
    ] {
        guard.ask(request);
        let wanted = format!("request {line} backend={at}");
        let line = guard.wait_for_log(|line| without_times(line) == wanted);
        let seconds = |name| value(&line, name).parse::<f64>().expect("seconds");
        assert!(seconds("seconds") > 0.0, "{line}");
        assert!(seconds("backend_seconds") > 0.0, "{line}");
        assert!(seconds("backend_seconds") <= seconds("seconds"), "{line}");
    }
    let log = guard.log().join("\n");
    assert!(!log.contains("hush") && !log.contains(SECRET), "{log}");
}

#[test]
fn without_the_access_log_only_failures_are_logged() {
    let backend = Backend::start();
    backend.answer("/hello", HELLO, End::Stay);
    backend.answer("/reset", b"", End::Reset);
    let guard = guard(&[backend.address], &[("ACCESS_LOG", "0")]);
    guard.ask(granted("GET", "/hello", ""));
    guard.ask(granted("GET", "/reset", ""));
    guard.wait_for_log(|line| line.starts_with("backend_failed "));
    let log = guard.log();
    assert!(
        !log.iter().any(|line| line.starts_with("request ")),
        "{log:#?}"
    );
}

#[test]
fn each_failure_of_a_backend_has_its_reason() {
    let backend = Backend::start();
    backend.answer("/reset", b"", End::Reset);
    backend.answer("/close", b"", End::Close);
    let bare_lf = b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello";
    backend.answer("/malformed", bare_lf, End::Close);
    backend.answer("/silent", b"", End::Stay);
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    backend.answer("/short", short, End::Close);
    let guard = guard(&[backend.address], &[("BACKEND_TIMEOUT", "0.5")]);
    let at = backend.address;
    for (path, reason, status) in [
        ("/reset", "reset", 502),
        ("/close", "reset", 502),
        ("/malformed", "malformed", 502),
        ("/silent", "timeout", 504),
    ] {
        let answer = guard.ask(granted("GET", path, ""));
        assert_eq!(answer.status, status, "{path}");
        // It is the guard's own.
        let bytes = answer.body.len();
        assert!(bytes > 20, "{path}: {bytes}");
        let wanted = format!(
            "request method=GET path={path} status={status} client=127.0.0.1 bytes={bytes} \
             backend={at} failed={reason}"
        );
        guard.wait_for_log(|line| without_times(line) == wanted);
        let wanted = format!("backend_failed reason={reason} backend={at}");
        guard.wait_for_log(|line| line.starts_with(&wanted));
    }
    let malformed = format!("backend_failed reason=malformed backend={at} detail=\"");
    guard.wait_for_log(|line| line.starts_with(&malformed));
    let wanted = format!(
        "request method=HEAD path=/malformed status=502 client=127.0.0.1 bytes=0 backend={at} \
         failed=malformed"
    );
    let mut stream = guard.connect();
    let request = granted("HEAD", "/malformed", "");
    stream.write_all(request.as_bytes()).expect("sent");
    assert_eq!(
        Answer::read(&mut stream, true).map(|answer| answer.status),
        Some(502)
    );
    guard.wait_for_log(|line| without_times(line) == wanted);
    // What had begun keeps the status that the client has seen.
    let mut stream = guard.connect();
    let sent = stream.write_all(granted("GET", "/short", "").as_bytes());
    sent.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        answer.escape_ascii()
    );
    let wanted = format!(
        "request method=GET path=/short status=200 client=127.0.0.1 bytes=5 backend={at} \
         failed=reset"
    );
    guard.wait_for_log(|line| without_times(line) == wanted);
    let failures = |reason: &str, count: u32| {
        format!("backend_failures_total{{backend=\"{at}\",reason=\"{reason}\"}} {count}")
    };
    wait_for(
        guard.second_address(),
        &[
            failures("reset", 3),
            failures("malformed", 2),
            failures("timeout", 1),
            failures("refused", 0),
        ],
    );
}

#[test]
fn a_socket_that_is_missing_is_logged_in_the_words_that_check_has() {
    let url = "http://unix:/nonexistent/app.sock";
    let variables = [
        ("SHARED_SECRET", SECRET),
        ("BACKEND", url),
        ("LISTEN", "127.0.0.1:0"),
    ];
    let guard = Guard::with(&variables);
    assert_eq!(guard.ask(granted("GET", "/", "")).status, 502);
    let words = "No such file or directory (os error 2)";
    guard.wait_for_log(|line| line.ends_with(&format!(" detail=\"{words}\"")));
    let check = command().arg("check").envs(variables).output();
    let said = String::from_utf8(check.expect("runs").stdout).expect("UTF-8");
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_backend_that_refuses_is_logged_though_another_one_answers() {
    let backend = Backend::start();
    backend.answer("/hello", HELLO, End::Close);
    let closed = HeldPort::new();
    let dead = closed.address;
    let guard = guard(&[dead, backend.address], &[]);
    let since = Instant::now();
    let refused = format!(
        "backend_failed reason=refused backend={dead} detail=\"Connection refused (os error 111)\""
    );
    // The two take turns.
    while !guard.log().contains(&refused) {
        assert_eq!(guard.ask(granted("GET", "/hello", "")).status, 200);
        assert!(since.elapsed() < PATIENCE, "{:#?}", guard.log());
    }
    let series = format!("backend_failures_total{{backend=\"{dead}\",reason=\"refused\"}} 1");
    wait_for(guard.second_address(), &[series]);
}

#[test]
fn a_flood_of_failures_is_counted_instead_of_logged() {
    const SENT: usize = 300;
    let closed = HeldPort::new();
    let dead = closed.address;
    let guard = guard(&[dead], &[("ACCESS_LOG", "0")]);
    let mut stream = guard.connect();
    for _ in 0..SENT {
        let request = granted("GET", "/", "");
        stream.write_all(request.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 502);
    }
    let series = format!("backend_failures_total{{backend=\"{dead}\",reason=\"refused\"}} {SENT}");
    wait_for(guard.second_address(), &[series]);
    guard.signal(rustix::process::Signal::TERM);
    guard.wait_for_log(|line| line == "stopped");
    let log = guard.log();
    let lines = log
        .iter()
        .filter(|line| line.starts_with("backend_failed "));
    let lines = lines.count();
    let left_out: usize = log
        .iter()
        .filter_map(|line| line.strip_prefix("failures_left_out count="))
        .map(|count| count.parse::<usize>().expect("a count"))
        .sum();
    assert_eq!(lines + left_out, SENT, "{log:#?}");
    assert!(left_out > 0, "{lines} lines");
}

#[test]
fn a_client_that_goes_away_is_a_499() {
    let backend = Backend::start();
    backend.answer("/silent", b"", End::Stay);
    let guard = guard(&[backend.address], &[]);
    let mut stream = guard.connect();
    let request = granted("GET", "/silent", "");
    stream.write_all(request.as_bytes()).expect("sent");
    let since = Instant::now();
    while backend.requests() == 0 {
        assert!(since.elapsed() < PATIENCE, "it does not arrive");
        std::thread::yield_now();
    }
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("set");
    drop(stream);
    let at = backend.address;
    let wanted = format!(
        "request method=GET path=/silent status=499 client=127.0.0.1 bytes=0 backend={at} \
         failed=client_gone"
    );
    guard.wait_for_log(|line| without_times(line) == wanted);
    let series = "exchanges_broken_total{reason=\"client_gone\"} 1".to_owned();
    wait_for(guard.second_address(), &[series]);
}

#[test]
fn a_body_that_is_too_long_is_in_the_access_log() {
    let backend = Backend::start();
    let guard = guard(&[backend.address], &[("MAX_BODY_BYTES", "10")]);
    let request = granted("POST", "/upload", "Content-Length: 11\r\n");
    let answer = guard.ask(request);
    assert_eq!(answer.status, 413);
    let bytes = answer.body.len();
    assert!(bytes > 20, "{bytes}");
    let wanted =
        format!("request method=POST path=/upload status=413 client=127.0.0.1 bytes={bytes}");
    guard.wait_for_log(|line| line == wanted);
}

#[test]
fn an_answer_of_the_guards_own_to_a_faulty_body_has_its_length_in_the_access_log() {
    let backend = Backend::start();
    backend.answer("/upload", b"", End::Stay);
    let limits = [("MAX_BODY_BYTES", "10"), ("BODY_TIMEOUT", "0.5")];
    let guard = guard(&[backend.address], &limits);
    let at = backend.address;
    for (fields, body, status, reason) in [
        (
            "Transfer-Encoding: chunked\r\n",
            "b\r\nhello hello\r\n",
            413,
            "body_too_large",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "x\r\n",
            400,
            "malformed_chunk_size",
        ),
        ("Content-Length: 5\r\n", "h", 408, "body_timeout"),
    ] {
        let answer = guard.ask(granted("POST", "/upload", fields) + body);
        assert_eq!(answer.status, status);
        let bytes = answer.body.len();
        assert!(bytes > 20, "{bytes}");
        let wanted = format!(
            "request method=POST path=/upload status={status} client=127.0.0.1 bytes={bytes} \
             backend={at} failed={reason}"
        );
        guard.wait_for_log(|line| without_times(line) == wanted);
    }
}

/// A guard whose writes to others take a second to return.
fn slow_to_return(backend: SocketAddr) -> Option<Guard> {
    if !installed("strace", "apt-get install strace") {
        return None;
    }
    let url = format!("http://127.0.0.1:1,http://{backend}");
    let mut strace = Command::new("strace");
    strace
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sendto"])
        .args(["-e", "inject=sendto:delay_exit=1000000"])
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .envs([("SHARED_SECRET", SECRET), ("LISTEN", "127.0.0.1:0")])
        .envs([
            ("BACKEND", &*url),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
            ("ACCESS_LOG", "1"),
        ]);
    Some(Guard::spawn(&mut strace))
}

/// The backend may have the processor before whoever sent it the request has it again.
#[test]
fn the_time_of_a_backend_that_answers_before_the_write_returns_is_all_counted() {
    let backend = Backend::start();
    backend.answer("/hello", HELLO, End::Stay);
    let Some(guard) = slow_to_return(backend.address) else {
        return;
    };
    assert_eq!(guard.ask(granted("GET", "/hello", "")).status, 200);
    let line = guard.wait_for_log(|line| line.starts_with("request "));
    let seconds: f64 = value(&line, "backend_seconds").parse().expect("seconds");
    assert!(seconds >= 1.0, "{line}");
    let series = format!(
        "backend_seconds_bucket{{backend=\"{}\",le=\"0.5\"}} 0",
        backend.address
    );
    wait_for(guard.second_address(), &[series]);
}

/// A backend that answers with as many bytes as it was sent, whatever it was asked.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || while echo_one(&mut stream).is_some() {});
        }
    });
    address
}

fn echo_one(stream: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        }
    }
    let head = String::from_utf8(head).expect("ASCII").to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    stream.write_all(&body).ok()
}

#[test]
fn answers_bytes_times_and_connections_are_counted_by_backend() {
    const LONG: usize = 300_000;
    let at = echo();
    let guard = guard(&[at], &[("WORKERS", "1")]);
    let mut stream = guard.connect();
    for length in [0, 10, LONG] {
        let fields = format!("Content-Length: {length}\r\n");
        let request = granted("POST", "/echo", &fields) + &"x".repeat(length);
        stream.write_all(request.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (200, length));
    }
    let bytes = LONG + 10;
    let of = |name: &str, count: usize| format!("{name}{{backend=\"{at}\"}} {count}");
    let class = |class: &str, count: usize| {
        format!("backend_responses_total{{backend=\"{at}\",class=\"{class}\"}} {count}")
    };
    let lines = [
        class("2xx", 3),
        class("5xx", 0),
        of("backend_sent_bytes_total", bytes),
        of("backend_received_bytes_total", bytes),
        of("backend_seconds_count", 3),
        of("backend_retries_total", 0),
        "added_seconds_count 3".to_owned(),
        "backend_connections_open 1".to_owned(),
        "backend_connections_idle 1".to_owned(),
    ];
    wait_for(guard.second_address(), &lines);
    // Answers of backends are not among those of our own.
    let text = metrics(guard.second_address());
    let own = text
        .lines()
        .find_map(|line| line.strip_prefix("origin_guard_answer_seconds_count "));
    let looks = text
        .lines()
        .find_map(|line| line.strip_prefix("origin_guard_connections_accepted_total "));
    let number = |value: Option<&str>| value.expect("a series").parse::<u32>().expect("a number");
    // Each look at the metrics is a connection and an answer, which this one has yet to be.
    assert!(number(own) < number(looks), "{text}");
}

#[test]
fn a_kept_connection_that_has_ended_is_a_retry() {
    // The second request on each connection meets its end.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if echo_one(&mut stream).is_some() {
                    let _ = stream.read(&mut [0; 4096]);
                }
            });
        }
    });
    let guard = guard(&[at], &[("WORKERS", "1")]);
    for _ in 0..2 {
        assert_eq!(guard.ask(granted("GET", "/", "")).status, 200);
    }
    let lines = [
        format!("backend_retries_total{{backend=\"{at}\"}} 1"),
        format!("backend_responses_total{{backend=\"{at}\",class=\"2xx\"}} 2"),
        format!("backend_failures_total{{backend=\"{at}\",reason=\"reset\"}} 0"),
    ];
    wait_for(guard.second_address(), &lines);
}

#[test]
fn promtool_finds_no_fault_in_what_is_said_of_backends() {
    if !installed("promtool", "apt install prometheus") {
        return;
    }
    let folder = Folder::new("promtool");
    // What the text format wants escaped.
    let path = folder.path.join("a\"b\\c");
    let variables = [
        ("SHARED_SECRET", SECRET),
        (
            "BACKEND",
            &format!("http://{},http://unix:{}", echo(), path.display()),
        ),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    let guard = Guard::with(&variables);
    assert_eq!(guard.ask(granted("GET", "/", "")).status, 200);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = promtool.stdin.take().expect("piped");
    input
        .write_all(metrics(guard.second_address()).as_bytes())
        .expect("sent");
    drop(input);
    let output = promtool.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", said.escape_ascii());
    assert_eq!(said, b"", "{}", said.escape_ascii());
}

#[test]
fn systemd_is_told_what_was_forwarded_and_what_failed() {
    let folder = Folder::new("forwarded-status");
    let supervisor = folder.path.join("notify");
    let told = UnixDatagram::bind(&supervisor).expect("bound");
    told.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let backend = Backend::start();
    backend.answer("/hello", HELLO, End::Close);
    backend.answer("/reset", b"", End::Reset);
    let mut command = command();
    command
        .env("LISTEN", "127.0.0.1:0")
        .env("SHARED_SECRET", SECRET)
        .env("BACKEND", format!("http://{}", backend.address))
        .env("NOTIFY_SOCKET", &supervisor)
        // A look at itself, and a STATUS=, each second.
        .env("WATCHDOG_USEC", "2000000");
    let guard = Guard::spawn(&mut command);
    for (path, status) in [("/hello", 200), ("/hello", 200), ("/reset", 502)] {
        assert_eq!(guard.ask(granted("GET", path, "")).status, status);
    }
    let since = Instant::now();
    loop {
        let mut message = [0; 4096];
        let length = told.recv(&mut message).expect("told in time");
        let message = String::from_utf8_lossy(&message[..length]);
        if message.contains(" granted=3 ") && message.contains(" forwarded=2 failed=1") {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "last: {message}");
    }
}
