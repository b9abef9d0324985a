//! `/metrics` on `ADMIN_LISTEN`: what is counted, and that Prometheus can read it.

mod support;

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use support::metrics::answer;
use support::{Answer, Guard, PATIENCE, SECRET, command, complaints, granted_request, installed};

const PREVIOUS: &str = "previous-secret-4f1c9a7be02d5386";

struct Watched {
    guard: Guard,
    admin: SocketAddr,
}

impl Watched {
    fn with(variables: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("SHARED_SECRET", SECRET),
            ("SHARED_SECRET_PREVIOUS", PREVIOUS),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        all.extend(variables);
        let guard = Guard::with(&all);
        let admin = guard.second_address();
        Self { guard, admin }
    }

    fn text(&self) -> String {
        let since = Instant::now();
        loop {
            // A full house turns away for a moment whoever comes while all are at work.
            match self.look() {
                Some(text) => return text,
                None => assert!(since.elapsed() < PATIENCE, "always 503"),
            }
        }
    }

    fn look(&self) -> Option<String> {
        let answer = answer(self.admin, "/metrics")?;
        if answer.status == 503 {
            return None;
        }
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Some(String::from_utf8(answer.body).expect("UTF-8"))
    }

    /// Each series, without the prefix, and its value.
    fn values(&self) -> HashMap<String, f64> {
        self.text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').expect("a series and a value"))
            .map(|(series, value)| {
                let series = series.strip_prefix("origin_guard_").unwrap_or(series);
                (series.to_owned(), value.parse().expect("a number"))
            })
            .collect()
    }

    fn value(&self, series: &str) -> f64 {
        let values = self.values();
        *values.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// Waits until `series` is `wanted`: a connection's end is counted when it is seen.
    fn wait_for(&self, series: &str, wanted: f64) {
        let since = Instant::now();
        loop {
            let value = self.value(series);
            if (value - wanted).abs() < f64::EPSILON {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{series} is {value}");
        }
    }
}

fn closed(reason: &str) -> String {
    format!("connections_closed_total{{reason=\"{reason}\"}}")
}

fn requests(verdict: &str, status: u16) -> String {
    format!("requests_total{{verdict=\"{verdict}\",status=\"{status}\"}}")
}

fn protected(fields: &str) -> String {
    format!("GET /protected HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

#[test]
fn promtool_finds_no_fault() {
    if !installed("promtool", "apt install prometheus") {
        return;
    }
    let watched = Watched::with(&[]);
    watched.guard.assert_serves();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(watched.text().as_bytes()).expect("sent");
    drop(input);
    let output = promtool.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", said.escape_ascii());
    assert_eq!(said, b"", "{}", said.escape_ascii());
}

#[test]
fn requests_are_counted_by_verdict() {
    let watched = Watched::with(&[]);
    let present = |secret: &str| protected(&format!("X-Shared-Secret: {secret}\r\n"));
    let asked = [
        (3, granted_request(), requests("granted", 200)),
        (2, present(PREVIOUS), requests("granted", 200)),
        (4, protected(""), requests("no_secret", 401)),
        (1, present("wrong"), requests("invalid_secret", 401)),
        (
            2,
            protected("X-Shared-Secret: a\r\nX-Shared-Secret: a\r\n"),
            requests("repeated_secret", 401),
        ),
        (
            2,
            granted_request().replacen("GET", "DELETE", 1),
            requests("method_not_allowed", 405),
        ),
        (
            3,
            "GET /other HTTP/1.1\r\nHost: test\r\n\r\n".into(),
            requests("not_found", 404),
        ),
        (
            2,
            "GET / HTTP/1.1\r\n\r\n".into(),
            requests("bad_request", 400),
        ),
        (
            1,
            "CONNECT / HTTP/1.1\r\nHost: test\r\n\r\n".into(),
            requests("bad_request", 501),
        ),
        (
            1,
            "GET / HTTP/2.0\r\nHost: test\r\n\r\n".into(),
            requests("bad_request", 505),
        ),
        (
            1,
            protected("Expect: the unexpected\r\n"),
            requests("bad_request", 417),
        ),
        (
            1,
            protected(&format!("X: {}\r\n", "x".repeat(70_000))),
            requests("bad_request", 431),
        ),
        (
            1,
            format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(70_000)),
            requests("bad_request", 414),
        ),
        (
            2,
            "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n".into(),
            requests("healthy", 200),
        ),
        (
            1,
            "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n".into(),
            requests("options", 204),
        ),
    ];
    let mut wanted: HashMap<String, f64> = HashMap::new();
    for (times, request, series) in &asked {
        for _ in 0..*times {
            watched.guard.ask(request);
            *wanted.entry(series.clone()).or_default() += 1.0;
        }
    }
    wanted.insert(requests("misconfigured", 500), 0.0);
    wanted.insert("secret_used_total{secret=\"current\"}".into(), 5.0);
    wanted.insert("secret_used_total{secret=\"previous\"}".into(), 2.0);
    let values = watched.values();
    for (series, wanted) in &wanted {
        assert_eq!(values.get(series), Some(wanted), "{series}");
    }
    // The operator's own requests are connections and answers too.
    let all: f64 = wanted
        .iter()
        .filter(|(series, _)| series.starts_with("requests_total"))
        .map(|(_, count)| count)
        .sum();
    assert!(values["answer_seconds_count"] >= all);
    assert_eq!(
        values.get("answer_seconds_count"),
        values.get("answer_seconds_bucket{le=\"+Inf\"}")
    );
    assert!(values["answer_seconds_sum"] > 0.0);
    let started = values["process_start_time_seconds"];
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    assert!((now - PATIENCE.as_secs_f64()..=now).contains(&started));
}

#[test]
fn an_unconfigured_guard_counts_what_it_turns_away() {
    let guard = Guard::with(&[("ADMIN_LISTEN", "127.0.0.1:0")]);
    let admin = guard.second_address();
    let watched = Watched { guard, admin };
    assert_eq!(watched.guard.ask(granted_request()).status, 500);
    assert!((watched.value(&requests("misconfigured", 500)) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn connections_are_counted_by_the_reason_of_their_end() {
    let watched = Watched::with(&[("IDLE_TIMEOUT", "0.2"), ("HEAD_TIMEOUT", "0.3")]);
    let guard = &watched.guard;
    let to_the_end = |mut stream: TcpStream, sent: &str| {
        stream.write_all(sent.as_bytes()).expect("sent");
        let _ = stream.read_to_end(&mut Vec::new());
    };
    to_the_end(guard.connect(), &granted_request());
    watched.wait_for(&closed("idle"), 1.0);
    to_the_end(guard.connect(), "GET /");
    to_the_end(guard.connect(), "");
    watched.wait_for(&closed("head_timeout"), 2.0);
    // Where nothing came, no request is counted.
    watched.wait_for(&requests("bad_request", 408), 1.0);
    to_the_end(guard.connect(), "GET / HTTP/1.1\r\n\r\n");
    watched.wait_for(&closed("refused"), 1.0);
    to_the_end(
        guard.connect(),
        "POST /protected HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n",
    );
    watched.wait_for(&closed("body_timeout"), 1.0);
    let before = watched.value(&closed("peer"));
    drop(guard.ask(granted_request()));
    watched.wait_for(&closed("peer"), before + 1.0);
    let before = watched.value(&closed("answered"));
    to_the_end(
        guard.connect(),
        "GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    );
    // Two looks at the metrics are connections of that kind as well: this, and the last.
    watched.wait_for(&closed("error"), 0.0);
    assert!(watched.value(&closed("answered")) > before);

    let open = guard.connect();
    watched.wait_for("connections_open", 2.0);
    drop(open);
    watched.wait_for("connections_open", 1.0);
}

#[test]
fn a_full_house_is_counted() {
    let watched = Watched::with(&[("MAX_CONNECTIONS", "4"), ("WORKERS", "1")]);
    let since = Instant::now();
    let mut held = Vec::new();
    // Each has an answer, or was turned away while the others were at work.
    while watched.value(&closed("shed")) < 4.0 {
        assert!(since.elapsed() < PATIENCE, "nobody is shed");
        let mut stream = watched.guard.connect();
        stream
            .write_all(granted_request().as_bytes())
            .expect("sent");
        Answer::read(&mut stream, false);
        held.push(stream);
    }
    let ended = held.iter_mut().any(|stream| {
        stream.set_nonblocking(true).expect("set");
        match stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    });
    assert!(ended, "what is counted has happened");
}

#[test]
fn reloads_are_counted_by_result() {
    let file = std::env::temp_dir().join(format!("origin-guard-metrics-{}", std::process::id()));
    let name = file.to_str().expect("UTF-8").to_owned();
    std::fs::write(&file, SECRET).expect("written");
    let guard = Guard::with(&[
        ("SHARED_SECRET_FILE", &name),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let admin = guard.second_address();
    let watched = Watched { guard, admin };
    watched.guard.signal(Signal::HUP);
    watched.wait_for("reloads_total{result=\"success\"}", 1.0);
    std::fs::write(&file, "").expect("emptied");
    watched.guard.signal(Signal::HUP);
    watched.wait_for("reloads_total{result=\"failure\"}", 1.0);
    std::fs::remove_file(&file).expect("removed");
    watched.guard.assert_serves();
}

#[test]
fn a_reload_of_what_cannot_change_is_counted_as_ignored() {
    let watched = Watched::with(&[]);
    watched.wait_for("reloads_total{result=\"ignored\"}", 0.0);
    watched.guard.signal(Signal::HUP);
    watched.wait_for("reloads_total{result=\"ignored\"}", 1.0);
    watched.wait_for("reloads_total{result=\"success\"}", 0.0);
    watched.wait_for("reloads_total{result=\"failure\"}", 0.0);
}

#[test]
fn only_this_machine_may_look_unless_it_is_said() {
    let check = |variables: &[(&str, &str)]| {
        let mut check = command();
        check
            .args(["check", "--local"])
            .env("SHARED_SECRET", SECRET)
            .envs(variables.iter().copied());
        let output = check.output().expect("runs");
        (output.status.code(), complaints(&output.stdout))
    };
    let remote = ("ADMIN_LISTEN", "0.0.0.0:9100");
    let (status, said) = check(&[remote]);
    assert_eq!(status, Some(78));
    assert!(
        said.contains("ADMIN_LISTEN") && said.contains("ADMIN_ALLOW_REMOTE=1"),
        "{said}"
    );
    assert_eq!(check(&[remote, ("ADMIN_ALLOW_REMOTE", "1")]).0, Some(0));
    for local in ["127.0.0.1:9100", "[::1]:9100", "unix:/run/admin.sock"] {
        assert_eq!(check(&[("ADMIN_LISTEN", local)]).0, Some(0), "{local}");
    }
    let (status, said) = check(&[("LISTEN", "127.0.0.1:1"), ("ADMIN_LISTEN", "127.0.0.1:1")]);
    assert_eq!(status, Some(78));
    assert!(said.contains("in LISTEN too"), "{said}");
    let guard = Guard::start();
    let answer = guard.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 404, "off unless it is asked for");
}

#[test]
fn a_page_that_rebinds_its_name_reads_nothing() {
    let local = Watched::with(&[]);
    let open = Watched::with(&[("ADMIN_LISTEN", "0.0.0.0:0"), ("ADMIN_ALLOW_REMOTE", "1")]);
    let ask = |watched: &Watched, host: &str| {
        let address = (watched.admin.is_ipv4()).then_some(watched.admin.port());
        let mut stream =
            TcpStream::connect(("127.0.0.1", address.expect("IPv4"))).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    };
    for (host, status) in [
        ("localhost:9100", 200),
        ("127.0.0.1:9100", 200),
        ("evil.example:9100", 421),
        ("127.0.0.1.evil.example", 421),
    ] {
        let answer = ask(&local, host);
        assert_eq!(answer.status, status, "{host}");
        if status == 421 {
            assert_eq!(answer.body, br#"{"error":"Misdirected request"}"#);
        }
        assert_eq!(ask(&open, host).status, 200, "{host}");
    }
}
