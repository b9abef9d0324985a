//! accept(2) fails, and peers vanish at every moment: the next one is served.

use std::io::Write;
use std::net::Shutdown;
use std::path::Path;
use std::process::Command;

use crate::peers::{HALF_HEAD, assert_ends, assert_granted, eventually, read_granted, reset};
use crate::support::{Guard, SECRET, granted_request, installed};

/// The real binary, some of whose accepts fail; `None` where strace is missing.
/// strace is a grandchild, so that the guard's pid is the child's.
fn injected(errno: &str, accepts: &str, trace: &Path) -> Option<Guard> {
    if !installed("strace", "apt-get install strace") {
        return None;
    }
    let mut command = Command::new("strace");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-D", "-f", "-qq", "-e", "trace=accept4", "-o"])
        .arg(trace)
        .args([
            "-e",
            &format!("inject=accept4:error={errno}:when={accepts}"),
        ])
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .envs([("SHARED_SECRET", SECRET), ("LISTEN", "127.0.0.1:0")]);
    Some(Guard::spawn(&mut command))
}

fn serves_past(errno: &str, accepts: &str, injections: usize) -> Option<Guard> {
    let name = format!("accept4-{errno}-{}.trace", std::process::id());
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let guard = injected(errno, accepts, &trace)?;
    for _ in 0..40 {
        guard.assert_serves();
    }
    eventually("every error was injected", || {
        let text = std::fs::read_to_string(&trace).unwrap_or_default();
        text.matches("(INJECTED)").count() >= injections && text.contains(errno)
    });
    std::fs::remove_file(&trace).expect("its own file");
    Some(guard)
}

#[test]
fn an_aborted_connection_does_not_end_accepting() {
    serves_past("ECONNABORTED", "2..30", 29);
}

#[test]
fn emfile_pauses_accepting_and_says_so() {
    if let Some(guard) = serves_past("EMFILE", "2..6", 5) {
        guard.wait_for_log(|line| line.contains("accept_failed"));
        guard.wait_for_log(|line| line.contains("accept_recovered"));
    }
}

#[test]
fn enfile_and_enobufs_pass_too() {
    serves_past("ENFILE", "3..5", 3);
    serves_past("ENOBUFS", "3..5", 3);
}

/// The guard is stopped, so that the resets are there before it can accept.
#[test]
fn peers_that_reset_before_they_are_accepted_do_no_harm() {
    use rustix::process::Signal;
    let guard = Guard::start();
    guard.signal(Signal::STOP);
    for _ in 0..50 {
        reset(guard.connect());
        let mut asked = guard.connect();
        asked.write_all(granted_request().as_bytes()).expect("sent");
        reset(asked);
    }
    guard.signal(Signal::CONT);
    guard.assert_serves();
}

#[test]
fn resets_and_half_closes_at_every_moment_do_no_harm() {
    let guard = Guard::start();
    let request = granted_request();
    for round in 0..100 {
        let mut cut = guard.connect();
        let at = round % (request.len() + 1);
        cut.write_all(&request.as_bytes()[..at]).expect("sent");
        reset(cut);

        let mut body = guard.connect();
        body.write_all(b"POST /protected HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12")
            .expect("sent");
        reset(body);

        let mut kept = guard.connect();
        assert_granted(&mut kept);
        kept.write_all(HALF_HEAD).expect("sent");
        reset(kept);

        let mut half_closed = guard.connect();
        half_closed.write_all(request.as_bytes()).expect("sent");
        half_closed.shutdown(Shutdown::Write).expect("half-closed");
        read_granted(&mut half_closed);
        assert_ends(&mut half_closed);

        let mut silent = guard.connect();
        silent.shutdown(Shutdown::Write).expect("half-closed");
        assert_ends(&mut silent);
        guard.assert_serves();
    }
}
