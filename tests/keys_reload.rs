//! A running guard and its file of keys: what it cannot read it says loudly, what was
//! revoked stops being good, and a clock that was set back makes nothing good again.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use support::keys::KeyFile;
use support::metrics::metrics;
use support::{Guard, PATIENCE, SECRET};

/// A user that is not the one who runs the tests.
const USER: u32 = 12345;

/// A gateway whose log has priorities, as in the journal.
fn gateway(file: &KeyFile) -> Command {
    let journal = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", journal, env!("CARGO_BIN_EXE_origin-guard")])
        .env_clear()
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "none")
        .env("GATEWAY_LISTEN", "127.0.0.1:0")
        .env("API_KEYS_FILE", &file.path);
    command
}

fn status(guard: &Guard, key: &str) -> u16 {
    let request =
        format!("GET /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    guard.ask(request).status
}

fn wait_for_status(guard: &Guard, key: &str, wanted: u16) {
    let since = Instant::now();
    while status(guard, key) != wanted {
        assert!(since.elapsed() < PATIENCE, "never {wanted}");
        std::thread::yield_now();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        support::skip("needs root; run the tests as root");
    }
    root
}

/// Root's file, which the guard's user reads as one of the others.
#[test]
fn a_key_that_root_revokes_is_revoked_for_the_guard_s_user() {
    if !is_root() {
        return;
    }
    let file = KeyFile::new("root-revokes");
    let key = file.add("acme", &[]);
    set_mode(&file.path, 0o644);
    let guard = Guard::spawn(gateway(&file).uid(USER).gid(USER));
    assert_eq!(status(&guard, &key), 200);
    file.must(&["revoke", &file.id(&key)]);
    wait_for_status(&guard, &key, 401);
    let failed = |line: &String| line.contains("keys_reload_failed ");
    assert!(!guard.log().iter().any(failed), "{:?}", guard.log());
}

#[test]
fn a_file_that_the_guard_cannot_read_is_loud() {
    if !is_root() {
        return;
    }
    let file = KeyFile::new("unreadable");
    file.add("acme", &[]);
    set_mode(&file.path, 0o644);
    let supervisor = file.folder.path.join("notify");
    let told = UnixDatagram::bind(&supervisor).expect("bound");
    set_mode(&supervisor, 0o777);
    told.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = gateway(&file);
    command
        .env("ADMIN_LISTEN", "127.0.0.1:0")
        .env("NOTIFY_SOCKET", &supervisor)
        // A look at itself, and a STATUS=, each second.
        .env("WATCHDOG_USEC", "2000000")
        .uid(USER)
        .gid(USER);
    let guard = Guard::spawn(&mut command);
    // Admin's is the first one that is opened, then the gateway's.
    let addresses = [guard.address, guard.second_address()];
    let metric = |wanted: &str| {
        let since = Instant::now();
        loop {
            let found = addresses
                .iter()
                .any(|address| metrics(*address).contains(wanted));
            if found {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "never {wanted}");
            std::thread::yield_now();
        }
    };
    let wait_until_told = |wanted: &dyn Fn(&str) -> bool| {
        let since = Instant::now();
        loop {
            let mut message = [0; 4096];
            let length = told.recv(&mut message).expect("told in time");
            let message = String::from_utf8_lossy(&message[..length]);
            if wanted(&message) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "last: {message}");
        }
    };
    metric("origin_guard_last_reload_successful{file=\"keys\"} 1");
    set_mode(&file.path, 0o600);
    let line = guard.wait_for_log(|line| line.starts_with("<3>keys_reload_failed kept=1 "));
    assert!(line.contains("Permission denied"), "{line}");
    metric("origin_guard_last_reload_successful{file=\"keys\"} 0");
    wait_until_told(&|message| message.contains("STATUS=RELOAD FAILED file=keys"));
    set_mode(&file.path, 0o644);
    guard.wait_for_log(|line| line.starts_with("<6>keys_reloaded keys=1 "));
    metric("origin_guard_last_reload_successful{file=\"keys\"} 1");
    wait_until_told(&|message| message.contains("STATUS=connections="));
}

/// systemd hears `RELOADING=1` and then `READY=1`, once all files have been read.
#[test]
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let file = KeyFile::new("told");
    file.add("acme", &[]);
    let supervisor = file.folder.path.join("notify");
    let told = UnixDatagram::bind(&supervisor).expect("bound");
    told.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let guard = Guard::spawn(gateway(&file).env("NOTIFY_SOCKET", &supervisor));
    let next = || {
        loop {
            let mut message = [0; 4096];
            let length = told.recv(&mut message).expect("told in time");
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            if !message.contains("STATUS=") {
                return message;
            }
        }
    };
    assert_eq!(next(), "READY=1\n");
    for _ in 0..3 {
        guard.signal(Signal::HUP);
        let begins = next();
        assert!(
            begins.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{begins}"
        );
        assert_eq!(next(), "READY=1\n");
    }
}

/// A FIFO in the place of the keys neither ends the guard nor stops the next reload.
#[test]
fn a_fifo_in_the_place_of_the_keys_holds_nothing_up() {
    let file = KeyFile::new("fifo");
    let key = file.add("acme", &[]);
    let good = fs::read_to_string(&file.path).expect("readable");
    let guard = Guard::spawn(&mut gateway(&file));
    assert_eq!(status(&guard, &key), 200);
    let fifo = file.folder.path.join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("runs");
    assert!(made.success(), "{made:?}");
    fs::rename(&fifo, &file.path).expect("renamed");
    guard.signal(Signal::HUP);
    guard.wait_for_log(|line| line.contains("keys_reload_failed ") && line.contains("a FIFO"));
    assert_eq!(status(&guard, &key), 200);
    file.folder.write("keys.json", &good);
    file.must(&["revoke", &file.id(&key)]);
    wait_for_status(&guard, &key, 401);
}

/// libfaketime, by which one process alone sees another time.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[test]
fn a_clock_that_is_set_back_makes_no_expired_key_good() {
    if !Path::new(LIBRARY).is_file() {
        return support::skip(&format!("needs {LIBRARY}; apt install libfaketime"));
    }
    let file = KeyFile::new("clock");
    let expired = file.add("expired", &["--expires", "1h"]);
    let endless = file.add("endless", &[]);
    let id = file.id(&expired);
    let clock = file.folder.path.join("clock");
    let set = |offset: &str| fs::write(&clock, offset).expect("written");
    set("+0");
    let mut command = gateway(&file);
    command
        .env("LD_PRELOAD", LIBRARY)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let guard = Guard::spawn(&mut command);
    let both = || [&expired, &endless].map(|key| status(&guard, key));
    assert_eq!(both(), [200, 200]);
    set("+1d");
    assert_eq!(both(), [401, 200]);
    set("-1d");
    assert_eq!(both(), [401, 401], "neither had been made yet");
    let denied =
        format!("<4>denied reason=clock_before_created client=127.0.0.1 path=/authorize key={id}");
    guard.wait_for_log(|line| line == denied);
    set("+0");
    assert_eq!(both(), [200, 200]);
    // The command says it too.
    let verify = support::command()
        .args(["keys", "list", "--file", file.text()])
        .env("LD_PRELOAD", LIBRARY)
        .env("FAKETIME", "-1d")
        .output()
        .expect("runs");
    let listed = String::from_utf8_lossy(&verify.stdout);
    assert!(listed.contains("future"), "{listed}");
}
