//! When keys were last used, and how often: counted by real guards, kept through their
//! ends, and read as what anybody may have written.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use origin_guard::keys::text::Key;
use origin_guard::keys::time::Time;
use origin_guard::keys::{Id, KeyUse, add_uses};
use proptest::prelude::*;
use rustix::process::Signal;
use serde_json::{Value, json};
use support::folder::{Folder, copy_program};
use support::keys::{KeyFile, Said};
use support::metrics;
use support::{Guard, PATIENCE, command, installed, skip};

const HEAD: &str = "origin-guard-key-uses 1 since 2020-01-01T00:00:00Z\n";

fn use_key(guard: &Guard, key: &str, times: usize) {
    let request =
        format!("GET /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    for _ in 0..times {
        assert_eq!(guard.ask(&request).status, 200);
    }
}

/// What `keys list --json` says of each key, in the file's order.
fn listed(file: &KeyFile) -> Vec<Value> {
    let list = file.must(&["list", "--json"]);
    serde_json::from_str(&list).expect("JSON")
}

/// As `2026-11-26T07:02Z`.
fn to_the_minute(time: Time) -> String {
    time.to_string()[..16].to_owned() + "Z"
}

fn uses(file: &KeyFile, at: usize) -> Option<u64> {
    listed(file)[at]["uses"].as_u64()
}

fn wait_for_uses(file: &KeyFile, at: usize, wanted: u64) {
    let since = Instant::now();
    while uses(file, at) != Some(wanted) {
        let uses = uses(file, at);
        assert!(since.elapsed() < PATIENCE, "{uses:?}, never {wanted}");
        std::thread::yield_now();
    }
}

/// Waits until so many writes are counted that went well, and that did not.
fn wait_for_writes(admin: SocketAddr, [success, failure]: [u32; 2]) {
    let series = |result, count| format!("key_uses_writes_total{{result=\"{result}\"}} {count}");
    let lines = [series("success", success), series("failure", failure)];
    metrics::wait_for(admin, &lines);
}

fn end(mut guard: Guard, signal: Signal) {
    guard.signal(signal);
    guard.wait();
}

fn beside(file: &KeyFile) -> PathBuf {
    file.folder.path.join("keys.json.uses")
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("changed");
}

/// Keys made in 2020, each of the consumer that is named like its place; with their ids.
fn old_keys(file: &KeyFile, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let keys: Vec<_> = (0..count)
        .map(|number| {
            let digest = Key::fresh().expect("randomness").digest();
            let id = Id::of(&digest).to_string();
            ids.push(id.clone());
            json!({
                "id": id,
                "digest": HEXLOWER.encode(&digest),
                "consumer": number.to_string(),
                "created": "2020-01-01T00:00:00Z",
            })
        })
        .collect();
    write(&file.path, json!({"version": 1, "keys": keys}).to_string());
    ids
}

#[test]
fn a_use_is_counted_soon_and_what_is_left_at_the_end() {
    let file = KeyFile::new("uses");
    let (alice, _bob) = (file.add("alice", &[]), file.add("bob", &[]));
    assert_eq!(listed(&file)[0].get("uses"), None);
    assert!(file.must(&["list"]).contains("  -  "));
    let before = Time::now();
    let (guard, admin) = file.watched_gateway(&[]);
    // Who asks before the first use knows that there was none.
    wait_for_uses(&file, 0, 0);
    use_key(&guard, &alice, 3);
    wait_for_uses(&file, 0, 3);
    wait_for_writes(admin, [2, 0]);
    use_key(&guard, &alice, 4);
    end(guard, Signal::TERM);
    assert_eq!(uses(&file, 0), Some(7));
    assert_eq!(uses(&file, 1), Some(0));

    let keys = listed(&file);
    let last = keys[0]["last_used"].as_str().expect("a time");
    // To the minute, and never before the key was made.
    assert!(
        last.ends_with(":00Z") || keys[0]["created"] == last,
        "{last}"
    );
    let last = Time::parse(last).expect("a time");
    assert!(before.since(last) < 60 && Time::now() >= last, "{last}");
    assert_eq!(keys[1].get("last_used"), None);

    let table = file.must(&["list"]);
    let rows: Vec<Vec<_>> = table
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][4..6], ["LAST_USED", "USES"]);
    // The table is as precise as what is known.
    assert_eq!(rows[1][4..6], [&to_the_minute(last), "7"]);
    assert_eq!(rows[2][4..6], ["never", "0"]);

    // A restart goes on, and one that is killed has kept what it had written.
    let guard = file.gateway(&[]);
    use_key(&guard, &alice, 1);
    wait_for_uses(&file, 0, 8);
    end(guard, Signal::KILL);
    assert_eq!(uses(&file, 0), Some(8));
}

/// Uses are kept to the minute, and keys to the second.
#[test]
fn no_key_is_shown_as_used_before_it_was_made() {
    let file = KeyFile::new("uses-before");
    let id = file.id(&file.add("alice", &[]));
    let made = listed(&file)[0]["created"].clone();
    let text = made.as_str().expect("a time");
    let time = humantime::parse_rfc3339(text).expect("a time") - Duration::from_secs(59);
    let minute = humantime::format_rfc3339_seconds(time);
    write(&beside(&file), format!("{HEAD}{id} {minute} 1\n"));
    assert_eq!(listed(&file)[0]["last_used"], made);
    let minute = to_the_minute(Time::parse(text).expect("a time"));
    let row = file.must(&["list"]);
    assert!(row.contains(&format!("  {minute} ")), "{row}");
    let shown = file.must(&["show", &id]);
    assert!(shown.contains(&format!("last_used  {minute}\n")), "{shown}");
}

#[test]
fn show_prints_all_of_one_key_but_the_key() {
    let file = KeyFile::new("uses-show");
    let key = file.add("alice", &["--rate", "5/1m", "--metadata", r#"{"a":1}"#]);
    file.add("bob", &[]);
    let id = file.id(&key);
    write(
        &beside(&file),
        format!("{HEAD}{id} 2899-11-25T12:34:00Z 12\n"),
    );
    let lines = file.must(&["show", &id]);
    for line in [
        &*format!("id         {id}"),
        "state      active",
        "consumer   alice",
        "expires    never",
        "last_used  2899-11-25T12:34Z",
        "uses       12",
        "rate       5/1m",
        "metadata   {\"a\":1}",
    ] {
        assert!(lines.lines().any(|shown| shown == line), "{line}: {lines}");
    }
    assert!(!lines.contains(&key) && !lines.contains("bob"), "{lines}");
    let shown: Value = serde_json::from_str(&file.must(&["show", &id, "--json"])).expect("JSON");
    assert_eq!(shown, listed(&file)[0]);
    assert_eq!(shown["last_used"], "2899-11-25T12:34:00Z");
    let said = file.run(&["show", "aaaaaaaaaa"]);
    assert_eq!((said.status, &*said.out), (Some(1), ""), "{said:?}");
    assert!(said.err.contains("keys list"), "{said:?}");
    // A key in the place of an id is not shown.
    let said = file.run(&["show", &key]);
    assert!(said.status == Some(64) && !said.err.contains(&key));
}

/// docs/keys.md has every field of the JSON, in order, and no other one.
#[test]
fn the_documented_fields_are_those_of_the_json() {
    let text = fs::read_to_string("docs/keys.md").expect("readable");
    let table = text
        .split_once("| field | what it holds |\n")
        .expect("a table")
        .1;
    let rows = table
        .lines()
        .skip(1)
        .map_while(|row| row.strip_prefix("| `"));
    let documented: Vec<_> = rows
        .map(|row| row.split('`').next().expect("a name"))
        .collect();

    let file = KeyFile::new("uses-fields");
    let options = [
        "--expires",
        "90d",
        "--rate",
        "5/1m",
        "--metadata",
        r#"{"a":1}"#,
    ];
    let id = file.id(&file.add("alice", &options));
    file.must(&["rotate", &id, "--overlap", "1h"]);
    file.must(&["revoke", &id]);
    write(
        &beside(&file),
        format!("{HEAD}{id} 2899-11-25T12:34:00Z 12\n"),
    );
    let json = file.must(&["show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&json).expect("JSON");
    let fields = shown.as_object().expect("an object");
    let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
    names.sort_by_key(|name| json.find(&format!("\"{name}\":")));
    assert_eq!(names, documented);
}

#[test]
fn unused_keys_are_those_of_which_that_is_known() {
    let file = KeyFile::new("uses-unused");
    let ids = old_keys(&file, 4);
    let time = |seconds| -> String {
        let now = Time::now().to_string();
        let now = humantime::parse_rfc3339(&now).expect("a time");
        humantime::format_rfc3339_seconds(now - Duration::from_secs(seconds)).to_string()
    };
    let unused = |span: &str| {
        let said = file.run(&["list", "--unused", span, "--json"]);
        assert_eq!(said.status, Some(0), "{said:?}");
        let list: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
        let names = list
            .iter()
            .map(|key| key["consumer"].as_str().expect("a name"));
        (names.collect::<Vec<_>>().concat(), said.err)
    };
    // Nobody counts: that is no reason to call a key unused.
    let said = file.run(&["list", "--unused", "90d"]);
    assert_eq!((said.status, &*said.out), (Some(1), ""), "{said:?}");
    assert!(said.err.contains("STATE_DIRECTORY"), "{said:?}");

    let day = 86_400;
    let mut lines = [
        format!("{} {} 5\n", ids[0], time(100 * day)),
        format!("{} {} 5\n", ids[1], time(80 * day)),
        // A clock that was wrong: nothing tells that the key is not used.
        format!("{} 2900-01-01T00:00:00Z 5\n", ids[2]),
    ];
    lines.sort_by_key(|line| Id::parse(&line[..10]));
    write(&beside(&file), HEAD.to_owned() + &lines.concat());
    assert_eq!(unused("90d"), ("03".into(), String::new()));
    assert_eq!(unused("79d"), ("013".into(), String::new()));
    assert_eq!(unused("1200w").0, "");
    // Uses are counted for 50 days only.
    let head = format!("origin-guard-key-uses 1 since {}\n", time(50 * day));
    write(&beside(&file), head + &lines.concat());
    assert_eq!(unused("49d"), ("013".into(), String::new()));
    let (names, said) = unused("90d");
    assert_eq!(names, "0");
    assert!(said.contains("uses are counted since"), "{said}");
    // No key is older than what is asked for, so that nothing is kept back.
    assert_eq!(unused("1200w"), (String::new(), String::new()));
    let said = file.run(&["list", "--unused", "long"]);
    assert_eq!(said.status, Some(64), "{said:?}");
    // A table without keys is empty, and that is said.
    let said = file.run(&["list", "--unused", "1200w"]);
    assert_eq!((said.status, &*said.out), (Some(0), ""), "{said:?}");
    assert!(said.err.contains("no key that is good"), "{said:?}");
    // Those that are not good have not to be revoked.
    file.must(&["revoke", &ids[0]]);
    file.must(&["rotate", &ids[1], "--overlap", "0s"]);
    assert_eq!(unused("49d").0, "3");
    file.must(&["rotate", &ids[3], "--overlap", "1h"]);
    assert_eq!(unused("49d").0, "3", "still good");
    assert_eq!(file.must(&["list", "--unused", "1200w", "--json"]), "[]\n");
}

#[test]
fn the_folder_of_systemd_comes_first_and_all_are_read() {
    let file = KeyFile::new("uses-folders");
    let state = Folder::new("uses-state");
    let folders = format!("{}:/nonexistent", state.path.display());
    let key = file.add("alice", &[]);
    let guard = file.gateway(&[("STATE_DIRECTORY", &folders)]);
    use_key(&guard, &key, 2);
    end(guard, Signal::TERM);
    assert!(!beside(&file).exists());
    let list = |folders: &str| {
        let mut list = command();
        list.args(["keys", "list", "--json", "--file", file.text()])
            .env("STATE_DIRECTORY", folders);
        let said = Said::from(list.output().expect("runs"));
        serde_json::from_str::<Value>(&said.out).expect("JSON")[0]["uses"].clone()
    };
    assert_eq!(list(&folders), 2);
    // Another guard had no such folder.
    let guard = file.gateway(&[]);
    use_key(&guard, &key, 3);
    end(guard, Signal::TERM);
    assert_eq!((list(&folders), list("")), (json!(5), json!(3)));
}

#[test]
fn two_guards_that_share_a_file_of_keys_add_up() {
    let file = KeyFile::new("uses-shared");
    let (alice, bob) = (file.add("alice", &[]), file.add("bob", &[]));
    let guards = [file.gateway(&[]), file.gateway(&[])];
    for guard in &guards {
        use_key(guard, &alice, 10);
        use_key(guard, &bob, 1);
    }
    let [one, other] = guards;
    std::thread::scope(|scope| {
        scope.spawn(|| end(one, Signal::TERM));
        scope.spawn(|| end(other, Signal::TERM));
    });
    assert_eq!((uses(&file, 0), uses(&file, 1)), (Some(20), Some(2)));
}

#[test]
fn uses_outlast_each_change_of_the_keys() {
    let file = KeyFile::new("uses-reload");
    let key = file.add("alice", &["--rate", "1000000/1s"]);
    let guard = file.gateway(&[]);
    let done = std::sync::atomic::AtomicBool::new(false);
    let used = std::thread::scope(|scope| {
        let (guard, done) = (&guard, &done);
        let threads = [1, 2].map(|_| {
            scope.spawn(|| {
                let mut used = 0;
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    use_key(guard, &key, 1);
                    used += 1;
                }
                used
            })
        });
        let reloads = || {
            let log = guard.log();
            log.iter()
                .filter(|line| line.contains("keys_reloaded"))
                .count()
        };
        for number in 0..3 {
            let (since, before) = (Instant::now(), reloads());
            file.add(&format!("other-{number}"), &[]);
            while reloads() == before {
                assert!(since.elapsed() < PATIENCE, "{:#?}", guard.log());
                std::thread::yield_now();
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        threads
            .map(|thread| thread.join().expect("used"))
            .iter()
            .sum::<u64>()
    });
    end(guard, Signal::TERM);
    assert_eq!(uses(&file, 0), Some(used));
}

/// Once a minute at most, and at least: what a kill takes away is no older.
#[test]
fn it_is_written_once_a_minute() {
    let file = KeyFile::new("uses-minute");
    let key = file.add("alice", &[]);
    let guard = file.gateway(&[]);
    use_key(&guard, &key, 1);
    wait_for_uses(&file, 0, 1);
    let written = || {
        fs::metadata(beside(&file))
            .expect("there")
            .modified()
            .expect("a time")
    };
    let first = written();
    let (mut used, since) = (1, Instant::now());
    while written() == first {
        assert!(since.elapsed() < Duration::from_secs(75), "never again");
        use_key(&guard, &key, 1);
        used += 1;
        // A client that is slow, because others want the processor in this minute.
        std::thread::sleep(Duration::from_millis(200));
    }
    let between = written().duration_since(first).expect("later");
    assert!(between > Duration::from_secs(59), "{between:?}");
    end(guard, Signal::KILL);
    // But for those that came while it was written.
    let kept = uses(&file, 0).expect("counted");
    assert!(used - kept < 10, "{kept} of {used}");
}

#[test]
fn a_full_disk_loses_nothing_and_delays_nobody() {
    if !installed("prlimit", "apt install util-linux") {
        return;
    }
    let file = KeyFile::new("uses-full");
    let key = file.add("alice", &[]);
    let guard = file.gateway(&[]);
    wait_for_uses(&file, 0, 0);
    let limit = |bytes: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--pid={}", guard.pid()));
        prlimit.arg(format!("--fsize={bytes}:unlimited"));
        assert!(prlimit.status().expect("runs").success());
    };
    limit("10");
    use_key(&guard, &key, 5);
    let line = guard.wait_for_log(|line| line.contains("key_uses_unwritten"));
    assert!(
        line.contains("kept=1") && line.contains("keys.json.uses"),
        "{line}"
    );
    use_key(&guard, &key, 5);
    assert_eq!(uses(&file, 0), Some(0));
    let litter = || file.files().iter().any(|name| name.contains(".tmp"));
    assert!(!litter(), "{:?}", file.files());
    limit("unlimited");
    end(guard, Signal::TERM);
    assert_eq!(uses(&file, 0), Some(10));
}

#[test]
fn a_folder_that_cannot_be_written_is_said_once_and_serves() {
    let file = KeyFile::new("uses-denied");
    let key = file.add("alice", &[]);
    let (guard, admin) = file.watched_gateway(&[("STATE_DIRECTORY", "/nonexistent")]);
    let line = guard.wait_for_log(|line| line.contains("key_uses_unwritten"));
    wait_for_writes(admin, [0, 1]);
    assert!(
        line.contains("StateDirectory=") && line.contains("/nonexistent"),
        "{line}"
    );
    use_key(&guard, &key, 1);
    end(guard, Signal::TERM);
}

#[test]
fn faulty_lines_are_left_out_and_said_without_being_shown() {
    let file = KeyFile::new("uses-faulty");
    let key = file.add("alice", &[]);
    let id = file.id(&key);
    let text = format!(
        "{HEAD}aaaaaaaaaa 2026-01-01T00:00:00Z 1\nhush hush\n{id} 2026-01-01T00:00:00Z 7\n\
         aaaaaaaaaa 2026-01-01T00:00:00Z 1\n{}\n\u{0}\u{e4}\n",
        "x".repeat(100_000)
    );
    write(&beside(&file), &text);
    let said = file.run(&["list", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(
        said.err.contains("keys.json.uses, line 3 is left out"),
        "{said:?}"
    );
    assert!(said.err.contains("3 more lines") && !said.err.contains("hush"));
    assert_eq!(uses(&file, 0), Some(7));
    let guard = file.gateway(&[]);
    use_key(&guard, &key, 1);
    let line = guard.wait_for_log(|line| line.contains("key_uses_skipped"));
    assert!(line.contains("line 3") && !line.contains("hush"), "{line}");
    end(guard, Signal::TERM);
    assert_eq!(file.run(&["list"]).err, "");
    assert_eq!(uses(&file, 0), Some(8));
    // Those lines may have been any key's, so that counting has begun anew.
    let kept = fs::read_to_string(beside(&file)).expect("readable");
    assert!(!kept.starts_with(HEAD), "{kept}");
}

#[test]
fn what_is_no_file_of_uses_is_put_aside_or_refused() {
    let file = KeyFile::new("uses-nofile");
    let key = file.add("alice", &[]);
    let path = beside(&file);
    write(&path, "root:hush:19000:0:99999:7:::\n");
    let said = file.run(&["list"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("is not a file of uses") && !said.err.contains("hush"));
    let said = file.run(&["list", "--unused", "90d"]);
    assert_eq!((said.status, &*said.out), (Some(1), ""), "{said:?}");
    let guard = file.gateway(&[]);
    use_key(&guard, &key, 1);
    guard.wait_for_log(|line| line.contains("key_uses_put_aside"));
    end(guard, Signal::TERM);
    assert_eq!(uses(&file, 0), Some(1));
    let aside = fs::read_to_string(file.folder.path.join("keys.json.uses.faulty"));
    assert!(aside.expect("readable").contains("hush"));

    // Opening a FIFO waits for who writes into it.
    fs::remove_file(&path).expect("removed");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("runs").success());
    let said = file.run(&["list"]);
    assert!(
        said.status == Some(0) && said.err.contains("is a FIFO"),
        "{said:?}"
    );
    let guard = file.gateway(&[]);
    use_key(&guard, &key, 1);
    guard.wait_for_log(|line| line.contains("key_uses_unwritten") && line.contains("a FIFO"));
    end(guard, Signal::TERM);

    // A link of somebody else's shows nothing.
    fs::remove_file(&path).expect("removed");
    symlink("/dev/zero", &path).expect("linked");
    let said = file.run(&["list"]);
    assert!(
        said.status == Some(0) && said.err.contains("is a symbolic link"),
        "{said:?}"
    );
    fs::remove_file(&path).expect("removed");
    write(&path, HEAD);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("changed");
    let said = file.run(&["list"]);
    assert!(said.err.contains("can be written by everyone"), "{said:?}");
}

#[test]
fn who_may_read_the_keys_may_read_their_uses_and_others_hear_the_remedy() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to be another user");
    }
    let file = KeyFile::new("uses-others");
    let state = Folder::new("uses-others-state");
    let key = file.add("alice", &[]);
    // The folder itself is another matter.
    for folder in [&file.folder.path, &state.path] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("changed");
    }
    chown(&file.path, None, Some(NOBODY)).expect("changed");
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).expect("changed");
    let binary = state.path.join("origin-guard");
    copy_program(env!("CARGO_BIN_EXE_origin-guard"), &binary);
    let text = state.path.to_str().expect("UTF-8");
    let guard = file.gateway(&[("STATE_DIRECTORY", text)]);
    use_key(&guard, &key, 2);
    end(guard, Signal::TERM);
    let uses = state.path.join("keys.json.uses");
    let metadata = fs::metadata(&uses).expect("there");
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o640, NOBODY));
    let list = |options: &[&str]| {
        let mut list = Command::new(&binary);
        list.args(["keys", "list", "--file", file.text()])
            .args(options)
            .env_clear()
            .env("STATE_DIRECTORY", text)
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .stdin(Stdio::null());
        Said::from(list.output().expect("runs"))
    };
    let said = list(&["--json"]);
    assert!(
        said.out.contains("\"uses\":2") && said.err.is_empty(),
        "{said:?}"
    );
    // As the folder of a DynamicUser is.
    fs::set_permissions(&uses, fs::Permissions::from_mode(0o600)).expect("changed");
    let said = list(&[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(
        said.out.contains("alice") && said.out.contains("  -  "),
        "{said:?}"
    );
    assert!(said.err.contains("run this as root"), "{said:?}");
    let said = list(&["--unused", "90d"]);
    assert_eq!((said.status, &*said.out), (Some(1), ""), "{said:?}");
    assert!(said.err.contains("run this as root"), "{said:?}");
}

#[test]
fn lines_of_keys_that_are_gone_go_a_month_later() {
    let folder = Folder::new("uses-gone");
    let path = folder.path.join("keys.json.uses");
    let keys = folder.path.join("keys.json");
    let time = |text| Time::parse(text).expect("a time");
    let text = format!(
        "{HEAD}aaaaaaaaaa 2026-01-01T00:00:00Z 1\nbbbbbbbbbb 2026-01-01T00:00:00Z 2\n\
         cccccccccc 2026-03-01T00:00:00Z 3\nddddddddddd 1\n"
    );
    write(&path, &text);
    let id = |text| Id::parse(text).expect("an id");
    let now = time("2026-03-02T00:00:00Z");
    let used = KeyUse {
        id: id("bbbbbbbbbb"),
        last: now,
        count: 5,
    };
    let ids = [id("bbbbbbbbbb")];
    let added = add_uses::add(&path, &keys, &[used], Some(&ids), now).expect("added");
    assert_eq!(added.skipped.count(), 1);
    let kept = fs::read_to_string(&path).expect("readable");
    assert_eq!(
        kept,
        "origin-guard-key-uses 1 since 2026-03-02T00:00:00Z\n\
         bbbbbbbbbb 2026-03-02T00:00:00Z 7\ncccccccccc 2026-03-01T00:00:00Z 3\n"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is there, uses are added to it, and then the file is a good one.
    #[test]
    fn any_file_takes_more_uses(
        has_head in any::<bool>(),
        lines in proptest::collection::vec(
            prop_oneof![
                "[a-z2-7]{10} 20[0-9]{2}-0[1-9]-1[0-9]T00:00:00Z [0-9]{1,20}",
                "\\PC{0,80}",
            ],
            0..8,
        ),
        end in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let folder = Folder::new("uses-any");
        let path = folder.path.join("keys.json.uses");
        let text = if has_head { HEAD } else { "" }.to_owned() + &lines.join("\n");
        write(&path, [text.as_bytes(), &end].concat());
        let keys = folder.path.join("keys.json");
        let now = Time::parse("2026-03-02T00:00:00Z").expect("a time");
        let id = Id::parse("mmmmmmmmmm").expect("an id");
        let used = KeyUse { id, last: now, count: 1 };
        for _ in 0..2 {
            add_uses::add(&path, &keys, &[used], None, now).expect("added");
        }
        let again = add_uses::add(&path, &keys, &[used], None, now).expect("added");
        prop_assert_eq!(again.skipped.count(), 0);
        prop_assert!(again.put_aside.is_none());
        let kept = fs::read_to_string(&path).expect("UTF-8");
        prop_assert!(kept.contains("\nmmmmmmmmmm 2026-03-02T00:00:00Z "));
    }
}

#[test]
fn a_link_in_the_place_of_the_file_leads_nowhere() {
    let file = KeyFile::new("linked");
    let key = file.add("alice", &[]);
    let path = beside(&file);
    let refused = |why: &str| {
        let guard = file.gateway(&[]);
        use_key(&guard, &key, 1);
        guard.wait_for_log(|line| line.contains("key_uses_unwritten") && line.contains(why));
        end(guard, Signal::TERM);
    };
    // Whatever it leads to stays, be it no file of uses, one, or nothing.
    for (name, held) in [
        ("victim", Some("mine\n")),
        ("uses", Some(HEAD)),
        ("none", None),
    ] {
        let victim = file.folder.path.join(name);
        if let Some(held) = held {
            write(&victim, held);
        }
        symlink(&victim, &path).expect("linked");
        refused("a symbolic link");
        assert_eq!(fs::read_to_string(&victim).ok().as_deref(), held);
        assert!(path.is_symlink());
        let faulty = file.folder.path.join(format!("{name}.faulty"));
        assert!(!faulty.exists() && !beside(&file).with_extension("uses.faulty").exists());
        fs::remove_file(&path).expect("removed");
    }
    // Nor is a link followed that is where a faulty file is put.
    write(&path, "no file of uses\n");
    let victim = file.folder.path.join("behind");
    write(&victim, "mine\n");
    symlink(&victim, path.with_extension("uses.faulty")).expect("linked");
    let guard = file.gateway(&[]);
    use_key(&guard, &key, 1);
    wait_for_uses(&file, 0, 1);
    end(guard, Signal::TERM);
    assert_eq!(fs::read_to_string(&victim).expect("there"), "mine\n");

    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    refused("is a folder");
}
