//! The file of keys under kill -9 and under several writers at once: what a command
//! acknowledged by its exit status is there, and the file can always be read.

mod support;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::keys::KeyFile;
use support::{command, installed};

fn start(file: &KeyFile, arguments: &[&str]) -> Child {
    let mut keys = command();
    keys.arg("keys")
        .args(arguments)
        .env("API_KEYS_FILE", &file.path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    keys.spawn().expect("starts")
}

fn keys(file: &KeyFile) -> Vec<Value> {
    let list = file.must(&["list", "--json"]);
    let Value::Array(keys) = serde_json::from_str(&list).expect("JSON") else {
        panic!("no array: {list}")
    };
    keys
}

/// Waits without giving up the processor: a sleep is coarser than a command is long.
fn spin(time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn kills_at_random_points_lose_nothing_that_was_acknowledged() {
    const KILLS: usize = 500;
    let file = KeyFile::new("kills");
    for number in 0..50 {
        file.add(&format!("early-{number}"), &[]);
    }
    let since = Instant::now();
    file.add("measured", &[]);
    let whole = since.elapsed();
    // Whose key must be there, and whose must not.
    let mut there: Vec<String> = (0..50).map(|number| format!("early-{number}")).collect();
    let mut gone = Vec::new();
    let (mut killed, mut finished, mut litter) = (0, 0, 0);
    let mut turn: u32 = 0;
    while killed < KILLS {
        turn += 1;
        let removes = turn.is_multiple_of(4);
        let consumer = if removes {
            there.remove(there.len() / 2)
        } else {
            format!("consumer-{turn}")
        };
        let mut child = start(&file, &[if removes { "rm" } else { "add" }, &consumer]);
        let mut random = [0];
        origin_guard::random::fill(&mut random).expect("randomness");
        spin(whole * u32::from(random[0]) / 160);
        child.kill().expect("its own child");
        let status = child.wait().expect("its own child");
        litter += usize::from(file.files().len() > 2);
        let is_there = if status.success() {
            finished += 1;
            !removes
        } else {
            // It may have come so far or not, and what it is now it must stay.
            assert_eq!(status.code(), None, "killed, or done: {status:?}");
            killed += 1;
            keys(&file)
                .iter()
                .any(|key| key["consumer"] == consumer.as_str())
        };
        if is_there { &mut there } else { &mut gone }.push(consumer);
        if turn.is_multiple_of(10) {
            assert_there(&file, &there, &gone);
        }
    }
    assert!(
        finished > 0 && litter > 0,
        "{finished} finished, {litter} left something"
    );
    assert_there(&file, &there, &gone);
    file.add("last", &[]);
    assert_eq!(file.files(), ["keys.json", "keys.json.lock"]);
}

fn assert_there(file: &KeyFile, there: &[String], gone: &[String]) {
    let keys = keys(file);
    let is_there = |consumer: &String| keys.iter().any(|key| key["consumer"] == consumer.as_str());
    let lost: Vec<_> = there
        .iter()
        .filter(|consumer| !is_there(consumer))
        .collect();
    let back: Vec<_> = gone.iter().filter(|consumer| is_there(consumer)).collect();
    assert!(
        lost.is_empty() && back.is_empty(),
        "lost {lost:?}, back {back:?}"
    );
}

/// Each system call by which the file changes, cut off as it is entered.
#[test]
fn a_kill_at_each_system_call_leaves_the_old_file_or_the_new() {
    if !installed("strace", "apt install strace") {
        return;
    }
    let file = KeyFile::new("calls");
    file.add("first", &[]);
    let trace = file.folder.path.join("trace");
    let mut outcomes = [0; 2];
    for call in [
        "openat", "flock", "fchmod", "write", "fsync", "rename", "unlink", "close",
    ] {
        for number in 1..=20 {
            let before = keys(&file);
            let mut traced = std::process::Command::new("strace");
            traced
                .args(["-f", "-qq", "-e", &format!("trace={call}"), "-o"])
                .arg(&trace)
                .args(["-e", &format!("inject={call}:signal=KILL:when={number}")])
                .arg(env!("CARGO_BIN_EXE_origin-guard"))
                .args(["keys", "add", "acme", "--file"])
                .arg(&file.path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let status = traced.status().expect("runs");
            let after = keys(&file);
            let added = after.len() - before.len();
            assert_eq!(after[..before.len()], before, "{call} {number}");
            assert!(added <= 1, "{call} {number}");
            if status.success() {
                assert_eq!(added, 1, "{call} {number} was acknowledged");
                break;
            }
            outcomes[added] += 1;
        }
    }
    assert!(
        outcomes[0] > 5 && outcomes[1] > 0,
        "old and new: {outcomes:?}"
    );
    file.add("last", &[]);
    assert_eq!(file.files(), ["keys.json", "keys.json.lock", "trace"]);
}

#[test]
fn two_writers_at_once_lose_nothing() {
    const EACH: usize = 50;
    let file = KeyFile::new("writers");
    std::thread::scope(|scope| {
        for writer in ["one", "two"] {
            let file = &file;
            scope.spawn(move || {
                for number in 0..EACH {
                    file.add(&format!("{writer}-{number}"), &[]);
                }
            });
        }
    });
    let keys = keys(&file);
    assert_eq!(keys.len(), 2 * EACH);
    for writer in ["one", "two"] {
        let of = |key: &&Value| {
            key["consumer"]
                .as_str()
                .is_some_and(|name| name.starts_with(writer))
        };
        assert_eq!(keys.iter().filter(of).count(), EACH);
    }
    assert_eq!(file.files(), ["keys.json", "keys.json.lock"]);
}

/// Many at the same moment, the first of whom makes the file.
#[test]
fn a_crowd_of_first_writers_loses_nothing() {
    let file = KeyFile::new("crowd");
    let mut children: Vec<_> = (0..30)
        .map(|number| start(&file, &["add", &format!("consumer-{number}")]))
        .collect();
    for child in &mut children {
        assert!(child.wait().expect("its own child").success());
    }
    assert_eq!(keys(&file).len(), 30);
}
