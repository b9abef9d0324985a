//! The log: lines that tools can read, not too many, and nothing secret in any.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use support::folder::Folder;
use support::{Answer, Guard, PATIENCE, SECRET, command, granted_request, has_form, installed};

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
fn a_secret_that_comes_twice_is_a_reason_of_its_own() {
    let guard = Guard::start();
    guard.ask(denied(SECRET, &format!("X-Shared-Secret: {SECRET}\r\n")));
    guard.wait_for_log(|line| {
        line == "denied reason=repeated_secret client=127.0.0.1 path=/protected"
    });
}

#[test]
fn a_trusted_proxy_says_what_was_asked_for() {
    let asked = "HEAD /verify HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: wrong\r\n\
                 X-Forwarded-Uri: /or ders\t\"?hush\r\n\r\n";
    let trusting = Guard::with(&[("SHARED_SECRET", SECRET), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let mut stream = trusting.connect();
    stream.write_all(asked.as_bytes()).expect("sent");
    trusting.wait_for_log(|line| {
        line == "denied reason=invalid_secret peer=127.0.0.1 path=/verify uri=/or?ders?\""
    });
    let wary = Guard::start();
    let mut stream = wary.connect();
    stream.write_all(asked.as_bytes()).expect("sent");
    wary.wait_for_log(|line| line == "denied reason=invalid_secret client=127.0.0.1 path=/verify");
}

#[test]
fn a_journal_gets_priorities() {
    // The variable names the very pipe that stderr is, as systemd sets it.
    let stream = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", stream, env!("CARGO_BIN_EXE_origin-guard")])
        .env("LISTEN", "127.0.0.1:0");
    let guard = Guard::spawn(&mut command);
    guard.wait_for_log(|line| line.starts_with("<6>starting version="));
    guard.wait_for_log(|line| line.starts_with("<4>warning SHARED_SECRET: it is not set"));
    guard.ask(denied("wrong", ""));
    guard.wait_for_log(|line| line.starts_with("<4>denied reason=misconfigured "));
}

/// What it logs until it has started, with `variables`, as it is written.
fn first_lines(variables: &[(&str, &str)]) -> Vec<String> {
    let mut child = command()
        .env("LISTEN", "127.0.0.1:0")
        .envs(variables.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut seen = Vec::new();
    for line in lines.map_while(Result::ok) {
        let last = line.contains("listening address=");
        seen.push(line);
        if last {
            break;
        }
    }
    child.kill().expect("its own child");
    child.wait().expect("its own child");
    seen
}

#[test]
fn lines_outside_the_journal_begin_with_the_time() {
    // A child whose stderr goes elsewhere inherits the variable too.
    for variables in [&[][..], &[("JOURNAL_STREAM", "8:1")]] {
        let lines = first_lines(variables);
        assert!(lines.len() > 2, "{lines:?}");
        for line in lines {
            let (time, _) = line.split_once(' ').expect("a time");
            assert!(has_form(time, "0000-00-00T00:00:00.000Z"), "{line}");
        }
    }
}

#[test]
fn one_flooder_does_not_hide_another_client() {
    const FLOOD: usize = 500;
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let mut stream = guard.connect();
    let mut ask = |client: &str| {
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        let request = denied("wrong", &forwarded);
        stream.write_all(request.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer").status
    };
    for host in 0..FLOOD {
        // One host of IPv6 has a whole network to speak from.
        assert_eq!(ask(&format!("2001:db8::{host:x}")), 401);
        assert_eq!(ask("203.0.113.7"), 401);
    }
    assert_eq!(ask("198.51.100.9"), 401);
    guard.wait_for_log(|line| line.contains(" client=198.51.100.9 "));
}

#[test]
fn a_trusted_proxy_is_never_the_client() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("TRUSTED_PROXIES", "127.0.0.1")]);
    guard.ask("GET / HTTP/1.1\nHost: x\n\n");
    guard.wait_for_log(|line| line == "refused status=400 reason=bare_lf peer=127.0.0.1");
    // It speaks for nobody.
    guard.ask(denied("wrong", ""));
    guard
        .wait_for_log(|line| line == "denied reason=invalid_secret peer=127.0.0.1 path=/protected");
}

#[test]
fn a_full_log_does_not_end_it() {
    let folder = Folder::new("full-log");
    let log = folder.path.join("log");
    // Blocks of 512 bytes: the limit is met within a few refusals.
    let limited = "ulimit -f 4; exec \"$0\" 2>\"$1\"";
    let mut child = Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_origin-guard")])
        .arg(&log)
        .env(
            "LISTEN",
            format!("unix:{}", folder.path.join("socket").display()),
        )
        .env("SHARED_SECRET", SECRET)
        .env("ACCESS_LOG", "1")
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match UnixStream::connect(folder.path.join("socket")) {
            Ok(stream) => break stream,
            Err(_) => assert!(Instant::now() < deadline, "it does not listen"),
        }
        std::thread::yield_now();
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut ask = || {
        stream
            .write_all(granted_request().as_bytes())
            .expect("sent");
        Answer::read(&mut stream, false).expect("an answer").status
    };
    while std::fs::metadata(&log).expect("a log").len() < 2048 {
        assert_eq!(ask(), 200);
        assert!(Instant::now() < deadline, "the log stays small");
    }
    for _ in 0..100 {
        assert_eq!(ask(), 200);
    }
    support::signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().expect("its own child").code(), Some(0));
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

/// The folder of fail2ban with what `print` prints, as an operator adds it.
fn fail2ban(folder: &Folder) -> Option<PathBuf> {
    if !installed("fail2ban-regex", "apt install fail2ban") {
        return None;
    }
    let there = folder.path.join("fail2ban");
    let copied = Command::new("cp")
        .args(["-r", "/etc/fail2ban"])
        .arg(&there)
        .status();
    assert!(copied.expect("cp").success());
    for (name, path) in [
        ("fail2ban-filter", "filter.d/origin-guard.conf"),
        ("fail2ban-jail", "jail.d/origin-guard.conf"),
    ] {
        let printed = command()
            .args(["print", name])
            .output()
            .expect("runs")
            .stdout;
        assert!(!printed.is_empty(), "{name}");
        std::fs::write(there.join(path), printed).expect("written");
    }
    Some(there)
}

/// The addresses that Debian's fail2ban finds in `log`.
fn banned(fail2ban: &Path, log: &str) -> Vec<String> {
    let path = fail2ban.join("log");
    std::fs::write(&path, log).expect("written");
    let output = Command::new("fail2ban-regex")
        .args(["--out", "ip"])
        .arg(path)
        .arg(fail2ban.join("filter.d/origin-guard.conf"))
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() || text.is_empty(), "{text}");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn fail2ban_finds_who_did_wrong_and_nobody_else() {
    let folder = Folder::new("fail2ban");
    let Some(fail2ban) = fail2ban(&folder) else {
        return;
    };
    let log = folder.path.join("guard.log");
    let to = std::fs::File::create(&log).expect("a log");
    let socket = folder.path.join("socket");
    let mut child = command()
        .env("LISTEN", format!("unix:{}", socket.display()))
        .env("SHARED_SECRET", SECRET)
        .env("TRUSTED_PROXIES", "unix")
        .env("ACCESS_LOG", "1")
        .stderr(to)
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + PATIENCE;
    let connect = || loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(_) => assert!(Instant::now() < deadline, "it does not listen"),
        }
        std::thread::yield_now();
    };
    let ask = |request: &str| {
        let mut stream = connect();
        stream.write_all(request.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer").status
    };
    let from = |client: &str| format!("X-Forwarded-For: {client}\r\n");
    assert_eq!(ask(&denied("wrong", &from("203.0.113.7"))), 401);
    assert_eq!(ask(&denied("", &from("2001:db8::7"))), 401);
    // Nobody's fault: granted, the proxy itself, and a path that says otherwise.
    assert_eq!(ask(&denied(SECRET, &from("198.51.100.1"))), 200);
    assert_eq!(ask(&denied("wrong", "")), 401);
    assert_eq!(ask("GET / HTTP/1.1\nHost: x\n\n"), 400);
    let forged = "GET /client=198.51.100.3 HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(ask(forged), 404);
    support::signal(&child, rustix::process::Signal::TERM);
    assert!(child.wait().expect("its own child").success());

    let text = std::fs::read_to_string(&log).expect("readable");
    let wanted = ["203.0.113.7", "2001:db8::7"];
    assert_eq!(banned(&fail2ban, &text), wanted, "{text}");
    // The same from journald or syslog: a prefix of theirs in place of the time.
    let prefixed = text.lines().map(|line| {
        let event = support::without_time(line);
        format!("Nov 25 20:16:26 vm origin-guard[17]: {event}")
    });
    let prefixed = prefixed.collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(banned(&fail2ban, &prefixed), wanted, "{prefixed}");
    for harmless in [
        "denied reason=misconfigured client=203.0.113.9 path=/protected",
        "refused status=503 reason=full client=203.0.113.9",
        "limited reason=rate client=203.0.113.9",
        "limited reason=guessing peer=203.0.113.9 path=/",
        // It is denied already, and the list may be at fault.
        "denied reason=not_allowed peer=203.0.113.9",
    ] {
        let line = format!("2026-11-25T20:16:26.123Z {harmless}\n");
        assert_eq!(banned(&fail2ban, &line), Vec::<String>::new(), "{line}");
    }
    // A client that speaks for itself.
    let line = "2026-11-25T20:16:26.123Z refused status=400 reason=bare_lf client=203.0.113.9\n";
    assert_eq!(banned(&fail2ban, line), ["203.0.113.9"]);
    // Who guesses keys, after the first twenty of a minute as before.
    let line = "2026-11-25T20:16:26.123Z limited reason=guessing client=203.0.113.9 path=/\n";
    assert_eq!(banned(&fail2ban, line), ["203.0.113.9"]);
}

#[test]
fn fail2ban_takes_the_jail() {
    let folder = Folder::new("jail");
    let Some(fail2ban) = fail2ban(&folder) else {
        return;
    };
    let output = Command::new("fail2ban-client")
        .arg("-c")
        .arg(&fail2ban)
        .arg("-d")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        output.stderr.escape_ascii()
    );
    for set in [
        "['add', 'origin-guard', 'systemd']",
        "['set', 'origin-guard', 'addjournalmatch', '_SYSTEMD_UNIT=origin-guard.service']",
        "['start', 'origin-guard']",
    ] {
        assert!(said.contains(set), "{set}: {said}");
    }
}
