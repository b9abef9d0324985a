//! The log: lines that tools can read, not too many, and nothing secret in any.

mod support;

use std::io::Write as _;

use support::{Answer, Guard, SECRET, granted_request};

fn denied(secret: &str, fields: &str) -> String {
    format!(
        "GET /protected?token=hush HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {secret}\r\n{fields}\r\n"
    )
}

#[test]
fn a_refused_request_is_a_line_with_reason_client_and_path() {
    let guard = Guard::start();
    guard.ask(denied("wrong-but-telling", ""));
    guard.wait_for_log(|line| {
        line == "denied reason=invalid_secret client=127.0.0.1 path=/protected"
    });
    guard.ask(denied("", ""));
    guard.wait_for_log(|line| line == "denied reason=no_secret client=127.0.0.1 path=/protected");
    guard.ask("GET / HTTP/1.1\nHost: x\n\n");
    guard.wait_for_log(|line| line == "refused status=400 reason=bare_lf client=127.0.0.1");
    let log = guard.log().join("\n");
    for secret in [SECRET, "telling", "hush"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn the_client_is_whom_a_trusted_proxy_names() {
    let forwarded = "X-Forwarded-For: 198.51.100.9, 203.0.113.7\r\n";
    let trusting = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    trusting.ask(denied("wrong", forwarded));
    trusting.wait_for_log(|line| line.contains("client=203.0.113.7 "));
    let wary = Guard::start();
    wary.ask(denied("wrong", forwarded));
    wary.wait_for_log(|line| line.contains("client=127.0.0.1 "));
    assert!(!wary.log().join("\n").contains("203.0.113.7"));
}

#[test]
fn a_mapped_network_is_trusted_and_an_empty_member_names_nobody() {
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("TRUSTED_PROXIES", "::ffff:127.0.0.0/104"),
    ]);
    guard.ask(denied("wrong", "X-Forwarded-For: 203.0.113.7, \r\n"));
    guard.wait_for_log(|line| line.contains("client=203.0.113.7 "));
}

#[test]
fn a_trusted_proxy_says_what_was_asked_for() {
    let asked = "HEAD /verify HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: wrong\r\n\
                 X-Forwarded-Uri: /or ders\t\"?hush\r\n\r\n";
    let trusting = Guard::with(&[("SHARED_SECRET", SECRET), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let mut stream = trusting.connect();
    stream.write_all(asked.as_bytes()).expect("sent");
    trusting.wait_for_log(|line| {
        line == "denied reason=invalid_secret client=127.0.0.1 path=/verify uri=/or?ders?\""
    });
    let wary = Guard::start();
    let mut stream = wary.connect();
    stream.write_all(asked.as_bytes()).expect("sent");
    wary.wait_for_log(|line| line == "denied reason=invalid_secret client=127.0.0.1 path=/verify");
}

#[test]
fn a_journal_gets_priorities() {
    let guard = Guard::with(&[("JOURNAL_STREAM", "8:1")]);
    guard.wait_for_log(|line| line.starts_with("<6>starting version="));
    guard.wait_for_log(|line| line.starts_with("<4>warning SHARED_SECRET is not set"));
    guard.ask(denied("wrong", ""));
    guard.wait_for_log(|line| line.starts_with("<4>denied reason=misconfigured "));
}

#[test]
fn a_flood_of_refusals_is_counted_instead_of_logged() {
    const SENT: usize = 2000;
    let guard = Guard::start();
    let mut stream = guard.connect();
    for _ in 0..SENT {
        stream
            .write_all(denied("wrong", "").as_bytes())
            .expect("sent");
        assert_eq!(
            Answer::read(&mut stream, false).expect("an answer").status,
            401
        );
    }
    // Every refusal is in the end either a line or part of a count.
    guard.signal(rustix::process::Signal::TERM);
    guard.wait_for_log(|line| line == "stopped");
    let log = guard.log();
    let lines = log
        .iter()
        .filter(|line| line.starts_with("denied "))
        .count();
    let left_out: usize = log
        .iter()
        .filter_map(|line| line.strip_prefix("refusals_left_out count="))
        .map(|count| count.parse::<usize>().expect("a count"))
        .sum();
    assert_eq!(lines + left_out, SENT, "{log:#?}");
    assert!(left_out > 0, "{lines} lines");
}

#[test]
fn every_request_is_logged_where_that_is_asked_for() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("ACCESS_LOG", "1")]);
    guard.ask(granted_request());
    guard.wait_for_log(|line| {
        line == "request method=GET path=/protected status=200 client=127.0.0.1"
    });
    guard.ask("DELETE /nothing?hush HTTP/1.1\r\nHost: x\r\n\r\n");
    guard.wait_for_log(|line| {
        line == "request method=DELETE path=/nothing status=404 client=127.0.0.1"
    });
    assert!(!guard.log().join("\n").contains(SECRET));
}

#[test]
fn start_configuration_drain_and_stop_are_logged() {
    let mut guard = Guard::start();
    guard.wait_for_log(|line| line.starts_with("starting version=") && line.contains(" pid="));
    guard.wait_for_log(|line| line.starts_with("config ") && line.contains(" HEAD_TIMEOUT=10 "));
    guard.signal(rustix::process::Signal::INT);
    guard.wait_for_log(|line| line.starts_with("draining connections="));
    guard.wait_for_log(|line| line == "stopped");
    assert_eq!(guard.wait().code(), Some(0));
    assert!(!guard.log().join("\n").contains(SECRET));
}
