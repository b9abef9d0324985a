//! Secrets: where they come from, and their rotation under load.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use rustix::process::Signal;
use support::folder::Folder;
use support::{Answer, Guard, command};

const OLD: &str = "old-secret-0123456789abcdef";
const NEW: &str = "new-secret-0123456789abcdef-longer";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn presenting(secret: &str) -> String {
    format!("GET /protected HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: {secret}\r\n\r\n")
}

fn statuses(guard: &Guard) -> [u16; 2] {
    [OLD, NEW].map(|secret| guard.ask(presenting(secret)).status)
}

/// Reloads, for the `number`th time, and waits until it has happened.
fn reload(guard: &Guard, number: usize) {
    guard.signal(Signal::HUP);
    let event = format!("reloaded number={number} ");
    guard.wait_for_log(|line| line.starts_with(&event));
}

/// Ends the load when dropped, also where an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn fault(variables: &[(&str, &str)]) -> String {
    let mut check = command();
    let output = check
        .arg("check")
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_file_holds_the_current_secret_and_others() {
    let folder = Folder::new("file");
    let file = folder.write("secrets", &format!("{NEW}\r\n\n{OLD}\n"));
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    assert_eq!(statuses(&guard), [200, 200]);
    assert_eq!(guard.ask(presenting(&OLD[1..])).status, 401);
}

#[test]
fn the_environment_holds_a_previous_one() {
    let guard = Guard::with(&[("SHARED_SECRET", NEW), ("SHARED_SECRET_PREVIOUS", OLD)]);
    assert_eq!(statuses(&guard), [200, 200]);
}

#[test]
fn a_credential_is_found_by_itself() {
    let folder = Folder::new("credential");
    folder.write("shared-secret", OLD);
    let guard = Guard::with(&[("CREDENTIALS_DIRECTORY", text(&folder.path))]);
    assert_eq!(statuses(&guard), [200, 401]);
}

#[test]
fn faults_name_source_line_and_byte_and_never_the_content() {
    let folder = Folder::new("faults");
    let good = folder.write("good", OLD);
    let faulty = folder.write("faulty", &format!("{NEW}\nsecret\u{e4}here-0123456\n"));
    let empty = folder.write("empty", "\n\n");
    let good = ("SHARED_SECRET_FILE", text(&good));

    let both = fault(&[("SHARED_SECRET", NEW), good]);
    assert!(
        both.contains("SHARED_SECRET:") && both.contains("SHARED_SECRET_FILE"),
        "{both}"
    );
    let alone = fault(&[("SHARED_SECRET_PREVIOUS", OLD)]);
    assert!(alone.contains("SHARED_SECRET_PREVIOUS"), "{alone}");
    let line = fault(&[("SHARED_SECRET_FILE", text(&faulty))]);
    assert!(
        line.contains("line 2") && line.contains("position 6"),
        "{line}"
    );
    assert!(!line.contains("here"), "{line}");
    let empty = fault(&[("SHARED_SECRET_FILE", text(&empty))]);
    assert!(empty.contains("holds no secret"), "{empty}");
    let missing = fault(&[("SHARED_SECRET_FILE", "/nonexistent/secret")]);
    assert!(missing.contains("/nonexistent/secret"), "{missing}");
    let folder_of_none = fault(&[good, ("SHARED_SECRET", NEW), ("LISTEN", "nowhere")]);
    assert!(
        folder_of_none.contains("LISTEN"),
        "all at once: {folder_of_none}"
    );
}

#[test]
fn a_faulty_file_leaves_the_secrets_that_were() {
    let folder = Folder::new("kept");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    folder.write("secrets", "");
    guard.signal(Signal::HUP);
    let line = guard.wait_for_log(|line| line.starts_with("reload_failed "));
    assert!(line.contains(text(&file)), "{line}");
    assert_eq!(statuses(&guard), [200, 401]);
    folder.write("secrets", NEW);
    reload(&guard, 2);
    assert_eq!(statuses(&guard), [401, 200]);
}

#[test]
fn a_file_that_everyone_can_read_earns_a_warning() {
    let folder = Folder::new("open");
    let file = folder.write("secrets", OLD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("public");
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    guard.wait_for_log(|line| line.starts_with("warning ") && line.contains("chmod o-r"));
}

#[test]
fn rotation_under_load_refuses_no_good_request() {
    let folder = Folder::new("rotation");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file)), ("WORKERS", "2")]);
    // What the gateway sends; it changes while both are accepted.
    let gateway_has_new = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = guard.connect();
                while !done.load(SeqCst) {
                    let secret = if gateway_has_new.load(SeqCst) {
                        NEW
                    } else {
                        OLD
                    };
                    stream
                        .write_all(presenting(secret).as_bytes())
                        .expect("sent");
                    let answer = Answer::read(&mut stream, false).expect("an answer");
                    assert_eq!(answer.status, 200);
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        let _stop = Stop(&done);
        let some_more = || {
            let (before, since) = (answered.load(SeqCst), Instant::now());
            while answered.load(SeqCst) < before + 200 {
                assert!(since.elapsed() < support::PATIENCE, "no answers");
                std::thread::yield_now();
            }
        };
        some_more();
        folder.write("secrets", &format!("{NEW}\n{OLD}\n"));
        reload(&guard, 1);
        some_more();
        gateway_has_new.store(true, SeqCst);
        // Every request under way with the old one is answered after this many more.
        some_more();
        folder.write("secrets", NEW);
        reload(&guard, 2);
        some_more();
        // A storm of signals, each of which reloads or joins one that waits.
        for _ in 0..1000 {
            guard.signal(Signal::HUP);
        }
        some_more();
    });
    assert_eq!(statuses(&guard), [401, 200]);
}

#[test]
fn keygen_prints_fresh_secrets_that_can_be_used() {
    let fresh = || {
        let output = command().arg("keygen").output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("ASCII")
    };
    let (one, other) = (fresh(), fresh());
    assert_ne!(one, other);
    assert_eq!(one.trim_end().len(), 43, "256 bits in base64url");
    let guard = Guard::with(&[("SHARED_SECRET", one.trim_end())]);
    assert_eq!(guard.ask(presenting(one.trim_end())).status, 200);
}

#[test]
fn no_secret_can_be_read_from_the_outside() {
    let folder = Folder::new("outside");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    assert_eq!(statuses(&guard), [200, 401]);
    let process = PathBuf::from(format!("/proc/{}", guard.pid()));
    for name in ["cmdline", "environ", "status"] {
        let shown = fs::read(process.join(name)).expect("readable by root and the owner");
        let found = shown
            .windows(OLD.len())
            .any(|window| window == OLD.as_bytes());
        assert!(!found, "{name}");
    }
    assert!(!guard.log().join("\n").contains(OLD));
    reload(&guard, 1);
    assert!(!guard.log().join("\n").contains(OLD));
}
