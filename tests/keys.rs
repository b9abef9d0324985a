//! API keys: their text, their file, and the commands, through the real binary.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use data_encoding::HEXLOWER;
use origin_guard::keys::text::{self, Key, LENGTH, Malformed};
use origin_guard::keys::time::{Time, span};
use origin_guard::keys::{Id, KeyVerdict, Keys};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::keys::{KeyFile, Said};
use support::{command, complaints, installed};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

/// Seconds from one time of the file to another.
fn between(from: &Value, to: &Value) -> u64 {
    let time = |value: &Value| Time::parse(value.as_str().expect("a string")).expect("a time");
    time(to).since(time(from))
}

/// A key's line as this program writes it, with the digest of a text.
fn line(key: &Key) -> Value {
    let digest = key.digest();
    json!({
        "id": Id::of(&digest).to_string(),
        "digest": HEXLOWER.encode(&digest),
        "consumer": "acme",
        "created": "2020-11-24T07:00:00Z",
    })
}

fn key_text(key: &Key) -> &str {
    std::str::from_utf8(key.as_bytes()).expect("ASCII")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_fresh_key_has_the_form_that_a_scanner_knows(_ in any::<bool>()) {
        let key = Key::fresh().expect("randomness");
        let text = key_text(&key);
        let (prefix, rest) = text.split_at(3);
        let (random, checksum) = rest.split_once('_').expect("a separator");
        let good = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        prop_assert!(prefix == "og_" && random.len() == 32 && checksum.len() == 6, "{}", text);
        prop_assert!(good(random) && good(checksum), "{}", text);
        prop_assert_eq!(text::check(text.as_bytes()), Ok(()));
    }

    #[test]
    fn a_typo_anywhere_is_told(at in 0..LENGTH, typo in 0x20_u8..0x7f) {
        let key = Key::fresh().expect("randomness");
        let mut text = *key.as_bytes();
        prop_assume!(text[at] != typo);
        text[at] = typo;
        prop_assert!(text::check(&text).is_err());
    }

    #[test]
    fn swapped_neighbours_and_other_lengths_are_told(at in 3..LENGTH - 1) {
        let key = Key::fresh().expect("randomness");
        let mut text = *key.as_bytes();
        prop_assert_eq!(text::check(&text[..at]), Err(Malformed::Length));
        prop_assert_eq!(text::check(&[&text[..], b"a"].concat()), Err(Malformed::Length));
        prop_assume!(text[at] != text[at + 1]);
        text.swap(at, at + 1);
        prop_assert!(text::check(&text).is_err());
    }

    #[test]
    fn times_read_as_they_are_written(seconds in 0_u64..253_402_300_800) {
        let start = Time::parse("1970-01-01T00:00:00Z").expect("a time");
        let time = start.after(seconds).expect("before the year 10000");
        prop_assert_eq!(Time::parse(&time.to_string()), Some(time));
        prop_assert_eq!(time.since(start), seconds);
    }

    #[test]
    fn what_is_no_time_or_span_never_panics(text in "\\PC{0,24}") {
        let _ = (Time::parse(&text), Time::of_date(&text), span(&text));
    }
}

/// The checksum by the words of the documentation alone: bits taken one by one.
#[test]
fn the_checksum_is_what_the_documentation_says() {
    use sha2::{Digest as _, Sha256};
    let key = Key::fresh().expect("randomness");
    let text = key_text(&key);
    let digest = Sha256::digest(&text.as_bytes()[..35]);
    let bit = |at: usize| usize::from(digest[at / 8] >> (7 - at % 8) & 1);
    let symbol = |at: usize| {
        let value = (0..5).fold(0, |sum, bit_at| 2 * sum + bit(5 * at + bit_at));
        char::from(b"abcdefghijklmnopqrstuvwxyz234567"[value])
    };
    let checksum: String = (0..6).map(symbol).collect();
    assert_eq!(&text[36..], checksum);
}

#[test]
fn add_prints_the_key_alone_and_keeps_its_digest_alone() {
    let file = KeyFile::new("add");
    let said = file.run(&["add", "acme", "--metadata", r#"{ "plan": "pro" }"#]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let key = said.out.strip_suffix('\n').expect("a line");
    assert_eq!(text::check(key.as_bytes()), Ok(()));
    let id = file.id(key);
    assert!(
        said.err.contains(&id) && !said.err.contains(key),
        "{said:?}"
    );
    assert_eq!(mode(&file.path), 0o600);
    assert_eq!(file.files(), ["keys.json", "keys.json.lock"]);
    let kept = fs::read_to_string(&file.path).expect("readable");
    assert!(!kept.contains(key) && !kept.contains(&key[3..35]), "{kept}");
    let kept = &file.json()["keys"][0];
    assert_eq!(kept["id"], id.as_str());
    assert_eq!(kept["consumer"], "acme");
    assert_eq!(kept["metadata"], json!({"plan": "pro"}));
    assert_eq!(kept.get("expires"), None);
    assert_ne!(file.add("acme", &[]), key);
    assert_eq!(file.json()["keys"].as_array().map(Vec::len), Some(2));
}

#[test]
fn expiry_is_a_span_a_date_or_a_time() {
    let file = KeyFile::new("expiry");
    for (text, seconds) in [
        ("90d", 90 * 86400),
        ("12h", 12 * 3600),
        ("30m", 1800),
        ("2w", 14 * 86400),
    ] {
        file.add("acme", &["--expires", text]);
        let keys = file.json();
        let key = keys["keys"].as_array().and_then(|keys| keys.last());
        let key = key.expect("a key");
        assert_eq!(between(&key["created"], &key["expires"]), seconds, "{text}");
    }
    for (text, kept) in [
        ("9999-12-31", "9999-12-31T00:00:00Z"),
        ("2096-02-29", "2096-02-29T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ] {
        file.add("acme", &["--expires", text]);
        let keys = file.json();
        let key = keys["keys"].as_array().and_then(|keys| keys.last());
        assert_eq!(key.expect("a key")["expires"], kept);
    }
    let before = file.json();
    for bad in [
        "0d",
        "2020-01-01",
        "2097-02-29",
        "10000-01-01",
        "9999999d",
        "90",
        "d",
        "soon",
        "-1d",
        "99999999999999999999d",
        "2099-01-01T00:00:00+01:00",
    ] {
        let said = file.run(&["add", "acme", &format!("--expires={bad}")]);
        assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{bad}");
        assert!(said.err.contains("90d"), "{bad}: {said:?}");
        // What is advised is none of what is refused.
        assert!(!said.err.contains("0s"), "{bad}: {said:?}");
    }
    let said = file.run(&["add", "acme", "--expires", "0h"]);
    assert!(said.err.contains("\"0h\" ends at once;"), "{said:?}");
    assert_eq!(file.json(), before);
}

#[test]
fn a_consumer_and_metadata_must_fit_a_header() {
    let file = KeyFile::new("fit");
    for bad in [
        "",
        " acme",
        "acme ",
        "ac\nme",
        "ac\rme",
        "\u{e4}",
        "a\tb",
        &"x".repeat(256),
    ] {
        let said = file.run(&["add", "--", bad]);
        assert_eq!(said.status, Some(64), "{bad:?}: {said:?}");
    }
    let long = format!("{{\"a\":\"{}\"}}", "\u{e4}".repeat(700));
    for bad in [
        "",
        "[1]",
        "{",
        "{}{}",
        "{\"a\":1e999}",
        r#"{"a":"\ud800"}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"b":[{"a":1,"\u0061":2}]}"#,
        &long,
    ] {
        let said = file.run(&["add", "acme", "--metadata", bad]);
        assert_eq!(said.status, Some(64), "{bad:?}: {said:?}");
        assert!(said.err.contains("--metadata"), "{said:?}");
    }
    assert!(!file.path.exists());
    let said = file.run(&["add", "acme", "--metadata", "{ }"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("the metadata is empty"), "{said:?}");
    assert_eq!(file.json()["keys"][0].get("metadata"), None);
    let long = "x".repeat(255);
    for (good, shown) in [
        (&*long, &*long),
        // Where it would not end at its end, it is in quotes.
        ("a b", "\"a b\""),
        ("\"it's\" <b>, =;", "\"\\\"it's\\\" <b>, =;\""),
        ("-dash", "-dash"),
    ] {
        let key = file.must(&["add", "--", good]);
        assert!(
            file.verify(&key)
                .out
                .ends_with(&format!("consumer={shown}\n"))
        );
    }
}

#[test]
fn verify_tells_whose_a_key_is_or_why_it_is_not_good() {
    let file = KeyFile::new("verify");
    let key = file.add("acme", &[]);
    let other = file.add("other", &[]);
    let id = file.id(&key);
    for input in [&key, &format!("{key}\n"), &format!(" {key}\r\n")] {
        let said = file.verify(input);
        assert_eq!(said.status, Some(0), "{said:?}");
        assert_eq!(said.out, format!("id={id} consumer=acme\n"));
    }
    let refused = |input: &str, why: &str| {
        let said = file.verify(input);
        assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains(why), "{why}: {said:?}");
        assert!(!said.err.contains(input.trim()) || input.trim().is_empty());
    };
    let mut typo = key.clone().into_bytes();
    typo[10] = if typo[10] == b'a' { b'b' } else { b'a' };
    refused(&String::from_utf8(typo).expect("ASCII"), "typo");
    refused(&key.to_uppercase(), "not a key");
    refused(&key[1..], "41 bytes");
    refused("", "nothing came on standard input");
    refused(&"x".repeat(10_000), "bytes");
    // What could have been imported is compared with what was.
    let imported = "nor is it an imported key of the file";
    refused(&key[1..], imported);
    refused("sk_live_9aF3kQ27xLmPz0Rt", imported);
    refused("sk_live_9aF3", "an imported key has 16 to 255 bytes");
    refused(
        key_text(&Key::fresh().expect("randomness")),
        "none of the file's",
    );
    // A key in the place of standard input is told where it belongs; so is a file.
    let said = file.run(&["verify", &key]);
    assert!(said.err.contains("keys verify < FILE"), "{said:?}");
    let said = file.run(&["import", "old.txt", "--consumer", "bob smith"]);
    let line = "origin-guard keys import --consumer 'bob smith' < FILE";
    assert!(said.err.contains(line), "{said:?}");
    file.must(&["revoke", &id]);
    refused(&key, "revoked");
    file.must(&["rm", "other"]);
    refused(&other, "none of the file's");
}

#[test]
fn revoking_again_changes_nothing() {
    let file = KeyFile::new("revoke");
    let key = file.add("acme", &[]);
    let id = file.id(&key);
    file.must(&["revoke", &id]);
    let first = file.json();
    assert!(first["keys"][0]["revoked"].is_string());
    let made = || {
        let made = fs::metadata(&file.path).expect("there");
        (made.ino(), made.mtime(), made.mtime_nsec())
    };
    let before = made();
    let since = first["keys"][0]["revoked"].as_str().expect("a time");
    let said = file.run(&["revoke", &id]);
    assert_eq!((said.status, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(
        said.err.contains("unchanged, it was revoked already") && said.err.contains(since),
        "{said:?}"
    );
    assert_eq!(file.json(), first);
    // It is not even replaced by the same.
    assert_eq!(made(), before);
    assert_eq!(file.files(), ["keys.json", "keys.json.lock"]);
}

#[test]
fn a_rate_that_is_there_already_changes_nothing() {
    let file = KeyFile::new("same-rate");
    file.add("acme", &["--rate", "100/1m"]);
    let made = || fs::metadata(&file.path).expect("there").ino();
    let before = made();
    let said = file.run(&["limit", "acme", "--rate", "100/1m"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.starts_with("unchanged: rate="), "{said:?}");
    assert_eq!(made(), before);
    let said = file.run(&["limit", "acme", "--rate", "100/1m", "--burst", "5"]);
    assert!(said.err.starts_with("rate="), "{said:?}");
    assert_ne!(made(), before);
}

#[test]
fn a_consumer_in_the_place_of_an_id_is_told_its_ids() {
    let file = KeyFile::new("mistaken");
    // The second name could be an id.
    for name in ["alice smith", "abcdefghij"] {
        let keys = [file.add(name, &[]), file.add(name, &[])];
        let [first, second] = [file.id(&keys[0]), file.id(&keys[1])];
        file.must(&["revoke", &second]);
        let before = fs::read(&file.path).expect("readable");
        for arguments in [
            &["show", name][..],
            &["show", name, "--json"],
            &["revoke", name],
            &["rotate", name, "--overlap", "24h"],
        ] {
            let said = file.run(arguments);
            assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{said:?}");
            let options = arguments[2..].join(" ");
            for (id, state) in [(&first, "active"), (&second, "revoked")] {
                let line = format!("origin-guard keys {} {id} {options}", arguments[0]);
                let line = line.trim_end();
                let found = said.err.lines().find(|found| found.contains(line));
                let found = found.unwrap_or_else(|| panic!("no {line}: {said:?}"));
                assert!(
                    found.contains(&format!("# {state}, created 20")),
                    "{said:?}"
                );
            }
            for key in &keys {
                assert!(!said.err.contains(key.as_str()), "{said:?}");
            }
        }
        assert_eq!(fs::read(&file.path).expect("readable"), before);
    }
    // A file that the line names is named in what it is to be.
    let said: Said = command()
        .args(["keys", "revoke", "alice smith", "--file"])
        .arg(&file.path)
        .output()
        .expect("runs")
        .into();
    assert!(
        said.err.contains(&format!(" --file {}", file.text())),
        "{said:?}"
    );
    // What is shown runs.
    let line = said.err.lines().nth(1).expect("a line");
    let line = line.split_once("origin-guard keys ").expect("a command").1;
    let script = format!("exec \"$0\" keys {line}");
    let mut shell = std::process::Command::new("sh");
    let guard = env!("CARGO_BIN_EXE_origin-guard");
    let typed: Said = shell
        .args(["-c", &script, guard])
        .output()
        .expect("runs")
        .into();
    assert_eq!(typed.status, Some(0), "{typed:?}");
    assert_eq!(
        file.json()["keys"][0]["revoked"].as_str().map(str::len),
        Some(20)
    );
    // Ten of many are enough.
    for _ in 0..11 {
        file.add("many", &[]);
    }
    let said = file.run(&["show", "many"]);
    assert_eq!(said.err.lines().count(), 12, "{said:?}");
    assert!(said.err.contains("and 1 older ones"), "{said:?}");
}

#[test]
fn an_id_in_the_place_of_a_consumer_is_told_whose_it_is() {
    let file = KeyFile::new("mistaken-id");
    let id = file.id(&file.add("alice smith", &[]));
    let before = fs::read(&file.path).expect("readable");
    for (arguments, line) in [
        (&["rm", &id][..], "origin-guard keys rm 'alice smith'"),
        (
            &["limit", &id, "--rate", "5/1s burst=9"],
            "origin-guard keys limit 'alice smith' --rate '5/1s burst=9'",
        ),
    ] {
        let said = file.run(arguments);
        assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{said:?}");
        assert!(
            said.err.lines().any(|found| found.ends_with(line)),
            "{said:?}"
        );
    }
    assert_eq!(fs::read(&file.path).expect("readable"), before);
}

#[test]
fn rotation_keeps_all_but_the_key() {
    let file = KeyFile::new("rotate");
    let old = file.add(
        "acme",
        &["--expires", "90d", "--metadata", r#"{"plan":"pro"}"#],
    );
    let mut json = file.json();
    json["keys"][0]["ticket"] = json!("OPS-7");
    file.folder.write("keys.json", &json.to_string());
    let id = file.id(&old);
    let said = file.run(&["rotate", &id, "--overlap", "24h"]);
    let json = file.json();
    let end = json["keys"][0]["expires"].as_str().expect("a time");
    let line = format!("the old key {id} is good until {end}");
    assert!(said.err.lines().any(|said| said == line), "{said:?}");
    let new = said.out.trim_end().to_owned();
    for key in [&old, &new] {
        let said = file.verify(key);
        assert_eq!(said.status, Some(0));
        let shows_end = said.out.contains(&format!(" expires={end} "));
        assert_eq!(shows_end, key == &old, "{said:?}");
    }
    let [old_kept, new_kept] = [&json["keys"][0], &json["keys"][1]];
    assert_eq!(between(&old_kept["rotated"], &old_kept["expires"]), 86400);
    assert_eq!(
        between(&new_kept["created"], &new_kept["expires"]),
        90 * 86400
    );
    for same in ["consumer", "metadata", "ticket"] {
        assert_eq!(old_kept[same], new_kept[same]);
    }
    assert_eq!(new_kept.get("rotated"), None);

    // An overlap does not make a key live longer than it was to, and that is said.
    let short = file.id(&file.add("short", &["--expires", "1h"]));
    let said = file.run(&["rotate", &short, "--overlap", "24h"]);
    let end = file.json()["keys"][2]["expires"].clone();
    let end = end.as_str().expect("a time");
    assert!(
        said.err.contains(&format!(
            "the old key {short} is good until {end}, when it was to end"
        )) && said.err.contains("--overlap 24h"),
        "{said:?}"
    );
    let json = file.json();
    let kept = &json["keys"][2];
    assert_eq!(between(&kept["created"], &kept["expires"]), 3600);

    // None at all ends it at once, and one without an end has a successor without.
    let endless = file.add("endless", &[]);
    let id = file.id(&endless);
    let next = file.must(&["rotate", &id, "--overlap", "0s"]);
    assert_eq!(file.verify(&endless).status, Some(1));
    assert!(file.verify(&endless).err.contains("expired"));
    assert_eq!(file.verify(&next).status, Some(0));
    let json = file.json();
    assert_eq!(json["keys"][5].get("expires"), None);

    for (id, why) in [(&id, "rotated"), (&file.id(&new), "revoked")] {
        if why == "revoked" {
            file.must(&["revoke", id]);
        }
        let said = file.run(&["rotate", id, "--overlap", "1h"]);
        assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
}

#[test]
fn a_key_is_rotated_once_and_its_successor_is_named() {
    let file = KeyFile::new("twice");
    let old = file.id(&file.add("acme", &["--expires", "90d"]));
    let new = file.id(&file.must(&["rotate", &old, "--overlap", "1h"]));
    let before = fs::read(&file.path).expect("readable");
    let said = file.run(&["rotate", &old, "--overlap", "24h"]);
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.err.contains("was rotated at") && said.err.contains(&new),
        "{said:?}"
    );
    assert_eq!(fs::read(&file.path).expect("readable"), before);
    file.must(&["rotate", &new, "--overlap", "24h"]);
}

#[test]
fn a_rate_that_changes_other_keys_is_told() {
    let file = KeyFile::new("told");
    file.add("alice", &[]);
    let said = file.run(&["add", "alice", "--rate", "10/1s"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(
        said.err.contains("1 other key of this consumer"),
        "{said:?}"
    );
    let said = file.run(&["add", "alice", "--rate", "10/1s"]);
    assert!(!said.err.contains("other key"), "{said:?}");
}

#[test]
fn who_cannot_be_told_reads_the_status_of_what_was_done() {
    let file = KeyFile::new("untold");
    let untold = |arguments: &[&str]| {
        let full = fs::File::options().write(true).open("/dev/full");
        let mut keys = command();
        keys.arg("keys")
            .args(arguments)
            .env("API_KEYS_FILE", &file.path)
            .stderr(full.expect("a device"));
        let output = keys.output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("ASCII")
    };
    let key = untold(&["add", "acme"]);
    let id = file.id(&key);
    untold(&["limit", "acme", "--rate", "5/1s"]);
    untold(&["rotate", &id, "--overlap", "1h"]);
    untold(&["revoke", &id]);
    untold(&["rm", "acme"]);
    untold(&["list"]);
}

#[test]
fn a_line_is_written_at_once() {
    let file = KeyFile::new("at-once");
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
    let mut keys = command();
    let status = keys
        .args(["keys", "list"])
        .env("API_KEYS_FILE", &file.path)
        .stderr(std::os::fd::OwnedFd::from(theirs))
        .status();
    assert!(!status.expect("runs").success());
    // Each write is a datagram.
    let mut line = [0; 4096];
    let length = ours.recv(&mut line).expect("a line");
    let line = String::from_utf8_lossy(&line[..length]);
    assert!(
        line.starts_with("origin-guard: ") && line.ends_with('\n'),
        "{line:?}"
    );
}

#[test]
fn a_lock_that_another_process_keeps_is_given_up() {
    let file = KeyFile::new("kept");
    let lock = file.folder.write("keys.json.lock", "");
    let lock = fs::File::open(lock).expect("there");
    lock.lock().expect("locked");
    let said = file.run(&["add", "acme"]);
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
    for what in [
        "waiting for another process",
        "keys.json.lock",
        "for 10 seconds",
    ] {
        assert!(said.err.contains(what), "{said:?}");
    }
    drop(lock);
    file.add("acme", &[]);
}

#[test]
fn what_is_called_as_a_temporary_file_and_is_none_is_in_nobody_s_way() {
    let file = KeyFile::new("alike");
    let alike = file.folder.path.join(".keys.json.0123456789abcdef.tmp");
    fs::create_dir(&alike).expect("made");
    file.add("acme", &[]);
    assert!(alike.is_dir());
}

#[test]
fn a_lock_that_is_another_one_again_and_again_is_given_up() {
    let file = KeyFile::new("renewed");
    let path = file.folder.write("keys.json.lock", "");
    let is_over = AtomicBool::new(false);
    let status = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = fs::File::open(&path).expect("there");
            held.lock().expect("locked");
            while !is_over.load(SeqCst) {
                // Who has waited for the one before finds that it is gone.
                let next = file.folder.write("next", "");
                let another = fs::File::open(&next).expect("there");
                another.lock().expect("locked");
                fs::rename(&next, &path).expect("replaced");
                held = another;
            }
            drop(held);
        });
        let status = Command::new("timeout")
            .args([
                "60",
                env!("CARGO_BIN_EXE_origin-guard"),
                "keys",
                "add",
                "acme",
            ])
            .env("API_KEYS_FILE", &file.path)
            .status();
        is_over.store(true, SeqCst);
        status.expect("runs").code()
    });
    assert_eq!(status, Some(1));
}

#[test]
fn list_shows_every_key_and_its_state() {
    let file = KeyFile::new("list");
    let mut ids = Vec::new();
    for consumer in ["active", "revoked", "rotated"] {
        ids.push(file.id(&file.add(consumer, &["--metadata", r#"{"a":1}"#])));
    }
    file.must(&["revoke", &ids[1]]);
    let end = file.must(&["rotate", &ids[2], "--overlap", "1h"]);
    file.must(&["rotate", &file.id(&end), "--overlap", "0s"]);
    let table = file.must(&["list"]);
    let rows: Vec<Vec<_>> = table
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "ID",
            "STATE",
            "CREATED",
            "EXPIRES",
            "LAST_USED",
            "USES",
            "RATE",
            "BURST",
            "CONSUMER"
        ]
    );
    let states: Vec<_> = rows[1..].iter().map(|row| (row[1], row[8])).collect();
    let wanted = [
        ("active", "active"),
        ("revoked", "revoked"),
        ("rotated", "rotated"),
        ("expired", "rotated"),
        ("active", "rotated"),
    ];
    assert_eq!(states, wanted);
    let json: Value = serde_json::from_str(&file.must(&["list", "--json"])).expect("JSON");
    for (at, (state, consumer)) in wanted.iter().enumerate() {
        assert_eq!(json[at]["state"], *state);
        assert_eq!(json[at]["consumer"], *consumer);
        assert_eq!(json[at]["metadata"], json!({"a": 1}));
        assert_eq!(json[at]["id"], rows[at + 1][0]);
    }
    for consumer in ["active", "revoked", "rotated"] {
        file.must(&["rm", consumer]);
    }
    assert_eq!(file.must(&["list"]), "");
    assert_eq!(file.run(&["list"]).err, "there are no keys\n");
    assert_eq!(file.must(&["list", "--json"]), "[]\n");
}

#[test]
fn a_rate_is_shown_as_it_is_set() {
    let file = KeyFile::new("rates");
    let rates = [
        ("alice", &["--rate", "100/1m", "--burst", "20"][..]),
        ("bob", &["--rate", "5/1s"]),
        ("carol", &[]),
    ];
    let ids = rates.map(|(consumer, options)| file.id(&file.add(consumer, options)));
    let limit = || -> Vec<Vec<String>> {
        let table = file.must(&["list"]);
        let cells = |row: &str| row.split_whitespace().skip(6).map(str::to_owned).collect();
        table.lines().skip(1).map(cells).collect()
    };
    let wanted = [
        ["100/1m", "20", "alice"],
        ["5/1s", "5", "bob"],
        ["-", "-", "carol"],
    ];
    assert_eq!(limit(), wanted);
    for (id, [rate, burst, _]) in ids.iter().zip(wanted) {
        let lines = file.must(&["show", id]);
        for line in [format!("rate       {rate}"), format!("burst      {burst}")] {
            assert!(lines.lines().any(|shown| shown == line), "{line}: {lines}");
        }
    }
    let json: Value = serde_json::from_str(&file.must(&["list", "--json"])).expect("JSON");
    assert_eq!(json[0]["rate"], "100/1m burst=20");
    assert_eq!(json[1]["rate"], "5/1s");
    assert_eq!(json[2].get("rate"), None);
    // What is shown is what is taken.
    let rate = json[0]["rate"].as_str().expect("a rate");
    file.must(&["limit", "carol", "--rate", rate]);
    assert_eq!(limit()[2], ["100/1m", "20", "carol"]);
    file.must(&["limit", "alice", "--rate", "none"]);
    assert_eq!(limit()[0], ["-", "-", "alice"]);
}

/// Of a rate the part is named that is at fault, and what it may be.
#[test]
fn of_a_faulty_rate_the_part_at_fault_is_named() {
    let file = KeyFile::new("rate-parts");
    file.add("alice", &["--rate", "5/1s"]);
    let before = file.json();
    for (options, named) in [
        (
            &["--rate", "100/1w"][..],
            "has a span out of bounds, 1s to 1d;",
        ),
        (&["--rate", "100/2d"], "has a span out of bounds"),
        (
            &["--rate", "0/1m"],
            "has a count out of bounds, 1 to 1000000 requests;",
        ),
        (
            &["--rate", "5/1m burst=0"],
            "has a burst out of bounds, 1 to 1000000;",
        ),
        (
            &["--rate", "5/1m", "--burst", "0"],
            "--burst: \"0\" is not a number from 1 to 1000000;",
        ),
        (
            &["--rate", "none", "--burst", "3"],
            "--burst: there is nothing to burst",
        ),
        (
            &["--rate", "100/1m burst=20", "--burst", "30"],
            "--burst: \"100/1m burst=20\" names a burst already",
        ),
    ] {
        for command in ["add", "limit"] {
            let said = file.run(&[&[command, "alice"], options].concat());
            assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{said:?}");
            assert!(said.err.contains(named), "{named}: {said:?}");
        }
    }
    // A key that is added takes no rate away, and says so.
    let said = file.run(&["add", "alice", "--rate", "none"]);
    assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{said:?}");
    assert!(said.err.contains("keys limit"), "{said:?}");
    assert_eq!(file.json(), before);
}

#[test]
fn what_is_not_there_is_named_and_changes_nothing() {
    let file = KeyFile::new("absent");
    for command in [&["list"][..], &["revoke", "aaaaaaaaaa"], &["rm", "acme"]] {
        let said = file.run(command);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(
            said.err.contains("keys.json") && said.err.contains("keys add"),
            "{said:?}"
        );
    }
    let key = file.add("acme", &[]);
    let before = file.json();
    for command in [
        &["revoke", "aaaaaaaaaa"][..],
        &["rotate", "aaaaaaaaaa", "--overlap", "1h"],
        &["rm", "acm"],
    ] {
        let said = file.run(command);
        assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains("keys list"), "{said:?}");
    }
    // A key in the place of an id is not shown, as it would be in a terminal's history.
    // Where its id is to be had is said.
    for arguments in [
        &["revoke", &key][..],
        &["show", &key],
        &["rotate", &key, "--overlap", "1h"],
        &["rm", &key],
        &["limit", &key, "--rate", "5/1s"],
        &["add", &key],
        &[&key],
        &["verify", &key],
        &["import", "--consumer", "acme", &key],
    ] {
        let said = file.run(arguments);
        assert!(matches!(said.status, Some(1 | 64)), "{said:?}");
        assert!(!said.err.contains(&key) && said.out.is_empty(), "{said:?}");
        if arguments[0] != "add" && arguments[0] != "import" {
            assert!(said.err.contains("origin-guard keys verify"), "{said:?}");
        }
        assert_eq!(file.json(), before);
    }
    assert_eq!(file.json(), before);
}

#[test]
fn a_faulty_command_line_is_a_64() {
    let file = KeyFile::new("usage");
    for arguments in [
        &[][..],
        &["ad"],
        &["add"],
        &["add", "a", "b"],
        &["add", "a", "--expires"],
        &["add", "a", "--json"],
        &["add", "a", "--expires", "1d", "--expires", "2d"],
        &["list", "a"],
        &["list", "--overlap", "1h"],
        &["revoke"],
        &["revoke", "short"],
        &["rotate", "aaaaaaaaaa"],
        &["rotate", "aaaaaaaaaa", "--overlap", "long"],
        &["rm"],
        &["verify", "--metadata", "{}"],
        &["--nonsense"],
    ] {
        let said = file.run(arguments);
        assert_eq!(
            (said.status, said.out.as_str()),
            (Some(64), ""),
            "{arguments:?}: {said:?}"
        );
        assert!(!said.err.is_empty());
    }
    let unnamed = command().args(["keys", "list"]).output().expect("runs");
    assert_eq!(unnamed.status.code(), Some(64), "{unnamed:?}");
    assert!(String::from_utf8_lossy(&unnamed.stderr).contains("API_KEYS_FILE"));
    assert_eq!(file.files(), [""; 0]);
    let help = file.run(&["add", "--help"]);
    assert!(
        help.status == Some(0) && help.out.contains("keys add CONSUMER"),
        "{help:?}"
    );
}

#[test]
fn unknown_fields_are_kept_as_they_are() {
    let file = KeyFile::new("unknown");
    let key = Key::fresh().expect("randomness");
    let line = line(&key).to_string();
    let line = line.strip_suffix('}').expect("an object");
    // A number that no float holds, and an order that no map keeps.
    let of_a_key = r#""team":{"z":123456789012345678901234567890,"a":[1.50,null]},"note":"\u00e4"#;
    let beside = r#""managed-by":{"tool":"x","b":1,"a":2},"serial":1e400"#;
    file.folder.write(
        "keys.json",
        &format!("{{{beside},\"keys\":[{line},{of_a_key}\"}}],\"version\":1}}"),
    );
    let id = file.id(key_text(&key));
    file.add("other", &[]);
    file.must(&["revoke", &id]);
    let new = file.add("another", &[]);
    file.must(&["rotate", &file.id(&new), "--overlap", "1h"]);
    file.must(&["rm", "other"]);
    let text = fs::read_to_string(&file.path).expect("readable");
    assert!(text.contains(of_a_key) && text.contains(beside), "{text}");
}

/// Faulty files, the line that is at fault in each, and a part of what is said of it.
#[allow(clippy::too_many_lines, reason = "a table")]
fn faults(key: &Key) -> Vec<(String, u32, &'static str)> {
    let good = line(key);
    let with = |field: &str, value: Value| {
        let mut line = good.clone();
        line[field] = value;
        format!("{{\"version\":1,\"keys\":[\n{line}\n]}}\n")
    };
    let without = |field: &str| {
        let mut line = good.clone();
        line.as_object_mut().expect("an object").remove(field);
        format!("{{\"version\":1,\"keys\":[\n{line}\n]}}\n")
    };
    let secret = key_text(key);
    let twice = format!("{{\"version\":1,\"keys\":[\n{good},\n{good}\n]}}\n");
    let repeated = format!(
        "{{\"version\":1,\"keys\":[\n{}\n]}}",
        good.to_string()
            .replace("\"id\"", "\"consumer\":\"x\",\"id\"")
    );
    vec![
        (String::new(), 1, "too early"),
        ("{\"version\":1,\"keys\":[\n".into(), 2, "too early"),
        ("{\"version\":1,\n\"keys\":[}".into(), 2, "expected value"),
        ("\n[]".into(), 2, "version and keys"),
        (format!("\"{secret}\""), 1, "version and keys"),
        (
            format!("{{\"version\":1,\n\"keys\":\"{secret}\"}}"),
            2,
            "array of keys",
        ),
        (
            format!("{{\"version\":1,\"keys\":[\n\"{secret}\"]}}"),
            2,
            "one key",
        ),
        ("{\"keys\":[]\n}".into(), 2, "no version"),
        ("{\"version\":1\n}".into(), 2, "no keys"),
        (
            "{\"version\":1,\"keys\":[],\n\"keys\":[]}".into(),
            2,
            "keys is there twice",
        ),
        ("{\"keys\":[],\n\"version\":2}".into(), 2, "version 2"),
        (format!("{{\"version\":\"{secret}\"}}"), 1, "the number 1"),
        (
            "{\"version\":1,\"keys\":[]}\n\n{}".into(),
            3,
            "something comes behind the end",
        ),
        (twice, 3, "there twice"),
        (repeated, 2, "consumer is there twice"),
        (without("digest"), 2, "no digest"),
        (without("consumer"), 2, "no consumer"),
        (without("created"), 2, "no created"),
        (without("id"), 2, "no id"),
        (
            with("id", json!("aaaaaaaaaa")),
            2,
            "one of the two was changed",
        ),
        (with("id", json!(secret)), 2, "id: is not an id"),
        (with("digest", json!("00")), 2, "digest: is not a SHA-256"),
        (with("digest", json!(secret)), 2, "digest: is not a SHA-256"),
        (
            with("digest", json!("A".repeat(64))),
            2,
            "digest: is not a SHA-256",
        ),
        (
            with("consumer", json!("a\r\nSet-Cookie: b")),
            2,
            "consumer: byte 2",
        ),
        (
            with("consumer", json!("")),
            2,
            "consumer: a consumer's name has",
        ),
        (
            with("consumer", json!(["a"])),
            2,
            "consumer: must be a string",
        ),
        (
            with("created", json!(1_764_000_000)),
            2,
            "created: must be a string",
        ),
        (with("created", json!(null)), 2, "no created"),
        (
            with("expires", json!("2026-02-30T00:00:00Z")),
            2,
            "expires: is not a time",
        ),
        (
            with("rotated", json!("yesterday")),
            2,
            "rotated: is not a time",
        ),
        (with("revoked", json!(true)), 2, "revoked: must be a string"),
        (
            with("revoked", json!({"a": 1})),
            2,
            "revoked: must be a string",
        ),
        (
            with("metadata", json!("text")),
            2,
            "metadata: is not a JSON object",
        ),
        (
            with("metadata", json!({"a": "x".repeat(5000)})),
            2,
            "metadata: takes",
        ),
    ]
}

#[test]
fn a_faulty_file_is_refused_with_line_and_column_and_stays() {
    let file = KeyFile::new("faulty");
    let key = Key::fresh().expect("randomness");
    let secret = key_text(&key);
    for (text, line, why) in faults(&key) {
        let path = file.folder.write("keys.json", &text);
        for command in [&["list"][..], &["add", "acme"], &["rm", "acme"]] {
            let said = file.run(command);
            let context = format!("{why}: {said:?}");
            assert_eq!(said.status, Some(78), "{context}");
            // A list is printed as it is read.
            assert!(said.out.is_empty() || command == ["list"], "{context}");
            let place = format!("keys.json, line {line}, column ");
            assert!(
                said.err.contains(&place) && said.err.contains(why),
                "{context}"
            );
            assert!(!said.err.contains(secret), "{context}");
        }
        let check = command()
            .args(["check", "--local"])
            .envs([
                ("GATEWAY_LISTEN", "127.0.0.1:0"),
                ("API_KEYS_FILE", file.text()),
            ])
            .output()
            .expect("runs");
        assert_eq!(check.status.code(), Some(78), "{check:?}");
        let check = complaints(&check.stdout);
        assert!(
            check.contains("API_KEYS_FILE: ") && check.contains(why),
            "{check}"
        );
        assert_eq!(fs::read_to_string(&path).expect("readable"), text);
    }
    assert_eq!(file.files(), ["keys.json"]);
}

#[test]
fn whoever_could_read_the_file_still_can_after_an_edit() {
    let file = KeyFile::new("modes");
    file.add("acme", &[]);
    for mode_before in [0o644, 0o640, 0o660, 0o600, 0o400] {
        set_mode(&file.path, mode_before);
        file.add("acme", &[]);
        assert_eq!(mode(&file.path), mode_before);
    }
    set_mode(&file.path, 0o644);
    let said = file.run(&["list"]);
    let remedy = format!("chmod 600 {}", file.text());
    assert!(
        said.status == Some(0) && said.err.contains(&remedy),
        "{said:?}"
    );
    set_mode(&file.path, 0o640);
    assert_eq!(file.run(&["list"]).err, "");
}

#[test]
fn a_file_that_everyone_can_write_is_refused() {
    let file = KeyFile::new("writable");
    let key = file.add("acme", &[]);
    let id = file.id(&key);
    let before = file.json();
    for mode in [0o602, 0o622, 0o666] {
        set_mode(&file.path, mode);
        for command in [&["list"][..], &["add", "acme"], &["revoke", &id]] {
            let said = file.run(command);
            let remedy = format!("chmod 600 {}", file.text());
            assert_eq!(said.status, Some(78), "{said:?}");
            assert!(said.err.contains(&remedy), "{said:?}");
        }
    }
    assert_eq!(file.json(), before);
}

#[test]
fn an_access_control_list_survives_an_edit_and_none_is_inherited() {
    if !installed("setfacl", "apt install acl") {
        return;
    }
    let file = KeyFile::new("acl");
    file.add("acme", &[]);
    let set = |arguments: &[&str], path: &Path| {
        let done = Command::new("setfacl").args(arguments).arg(path).status();
        assert!(done.expect("runs").success(), "{arguments:?}");
    };
    let list = || {
        let mut get = Command::new("getfacl");
        let output = get
            .args(["-cn", "--absolute-names"])
            .arg(&file.path)
            .output();
        String::from_utf8(output.expect("runs").stdout).expect("UTF-8")
    };
    let without = list();
    // What a new file in the folder would get.
    set(&["-d", "-m", "u:54321:rw"], &file.folder.path);
    file.add("acme", &[]);
    assert_eq!(list(), without);
    set(&["-m", "u:12345:r,g:23456:r,m::r"], &file.path);
    let with = list();
    assert!(with.contains("user:12345:r--"), "{with}");
    file.add("acme", &[]);
    assert_eq!(list(), with);
    file.must(&["revoke", &file.id(&file.add("other", &[]))]);
    assert_eq!(list(), with);
}

#[test]
fn an_edit_that_would_shut_a_reader_out_fails_and_changes_nothing() {
    const USER: u32 = 12345;
    const GROUP: u32 = 23456;
    let file = KeyFile::new("foreign");
    let key = file.add("acme", &[]);
    let id = file.id(&key);
    let chown = std::os::unix::fs::chown(&file.path, Some(USER), Some(GROUP));
    if chown.is_err() {
        return support::skip("needs root; run the tests as root");
    }
    // A folder and a lock that others may write, as of an operator's group.
    set_mode(&file.path, 0o644);
    set_mode(&file.folder.path, 0o777);
    let lock = file.folder.path.join("keys.json.lock");
    set_mode(&lock, 0o666);
    let before = (file.json(), fs::metadata(&file.path).expect("there").ino());
    let mut revoke = command();
    revoke
        .args(["keys", "revoke", &id, "--file", file.text()])
        .uid(USER + 1)
        .gid(GROUP);
    let said = support::keys::Said::from(revoke.output().expect("runs"));
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(
        said.err.contains("as it was") && said.err.contains("as root"),
        "{said:?}"
    );
    let after = (file.json(), fs::metadata(&file.path).expect("there").ino());
    assert_eq!(before, after);
    assert_eq!(file.files(), ["keys.json", "keys.json.lock"]);
}

#[test]
fn a_lock_that_is_no_regular_file_holds_no_command_up() {
    let file = KeyFile::new("lock");
    let lock = file.folder.path.join("keys.json.lock");
    let add = || {
        let mut add = Command::new("timeout");
        add.args([
            "30",
            env!("CARGO_BIN_EXE_origin-guard"),
            "keys",
            "add",
            "acme",
        ]);
        let output = add.env("API_KEYS_FILE", &file.path).output();
        support::keys::Said::from(output.expect("runs"))
    };
    let made = Command::new("mkfifo").arg(&lock).status();
    assert!(made.expect("runs").success());
    let said = add();
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.err.contains("keys.json.lock cannot be locked"),
        "{said:?}"
    );
    fs::remove_file(&lock).expect("removed");
    let elsewhere = file.folder.write("elsewhere", "");
    symlink(&elsewhere, &lock).expect("linked");
    assert_eq!(add().status, Some(1));
    fs::remove_file(&lock).expect("removed");
    assert_eq!(add().status, Some(0));
}

#[test]
fn a_file_with_another_name_is_not_edited_under_one_alone() {
    let file = KeyFile::new("names");
    let key = file.add("acme", &[]);
    let other = file.folder.path.join("other.json");
    fs::hard_link(&file.path, &other).expect("linked");
    let said = file.run(&["revoke", &file.id(&key)]);
    assert_eq!(said.status, Some(78), "{said:?}");
    assert!(said.err.contains("2 names"), "{said:?}");
    assert_eq!(file.verify(&key).status, Some(0));
    fs::remove_file(&other).expect("removed");
    file.must(&["revoke", &file.id(&key)]);
}

#[test]
fn owner_and_group_stay_when_root_changes_the_file() {
    let file = KeyFile::new("owner");
    file.add("acme", &[]);
    if std::os::unix::fs::chown(&file.path, Some(12345), Some(23456)).is_err() {
        return support::skip("needs root; run the tests as root");
    }
    file.add("acme", &[]);
    let metadata = fs::metadata(&file.path).expect("there");
    assert_eq!((metadata.uid(), metadata.gid()), (12345, 23456));
}

#[test]
fn a_symbolic_link_stays_one() {
    let file = KeyFile::new("link");
    let behind = file.folder.path.join("behind");
    fs::create_dir(&behind).expect("a folder");
    symlink("behind/real.json", &file.path).expect("linked");
    let said = file.run(&["add", "acme"]);
    assert_eq!(said.status, Some(1), "a link to nothing: {said:?}");
    let elsewhere = KeyFile {
        folder: support::folder::Folder::new("link-elsewhere"),
        path: behind.join("real.json"),
    };
    elsewhere.add("acme", &[]);
    file.add("other", &[]);
    assert!(file.path.is_symlink());
    assert_eq!(elsewhere.json()["keys"].as_array().map(Vec::len), Some(2));
    assert_eq!(file.files(), ["behind", "keys.json"]);
}

#[test]
fn what_is_no_file_is_no_file_of_keys() {
    let file = KeyFile::new("nofile");
    let said = file.run(&["list", "--file", "/dev/null"]);
    assert_eq!(said.status, Some(78), "{said:?}");
    // Nobody is told to remove it.
    let said = file.run(&["add", "acme", "--file", "/dev/null"]);
    assert_eq!(said.status, Some(78), "{said:?}");
    assert!(
        said.err.contains("a device") && said.err.contains("name another file"),
        "{said:?}"
    );
    let said = file.run(&["add", "acme", "--file", "/nonexistent/keys.json"]);
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
    fs::create_dir(&file.path).expect("a folder");
    assert_eq!(file.run(&["list"]).status, Some(78));
    assert_ne!(file.run(&["add", "acme"]).status, Some(0));
    fs::remove_dir(&file.path).expect("removed");
    // Opening a FIFO waits for who writes into it.
    let made = Command::new("mkfifo").arg(&file.path).status();
    assert!(made.expect("runs").success());
    for command in [&["list"][..], &["add", "acme"], &["rm", "acme"]] {
        let said = file.run(command);
        assert_eq!(said.status, Some(78), "{said:?}");
        assert!(said.err.contains("is a FIFO"), "{said:?}");
    }
}

/// Many keys: each that is asked for is found, and none that is not there.
#[test]
fn many_keys_are_told_apart() {
    const COUNT: u32 = 100_000;
    let folder = support::folder::Folder::new("many");
    let path = many(&folder, COUNT);
    let keys = Keys::open(&path).expect("a good file").keys;
    assert_eq!(keys.len(), 100_000);
    let verdict = |text: &str| {
        keys.judge(text.as_bytes(), |judgement| {
            (judgement.verdict, judgement.consumer().to_owned())
        })
    };
    for number in (0..COUNT).step_by(97) {
        let (got, consumer) = verdict(&numbered(number));
        assert_eq!(got, KeyVerdict::Granted);
        assert_eq!(consumer, format!("consumer-{number}"));
    }
    for number in (COUNT..2 * COUNT).step_by(97) {
        assert_eq!(verdict(&numbered(number)).0, KeyVerdict::Unknown);
    }
}

/// A key that is good by its form; its random part is a number in base32.
fn numbered(number: u32) -> String {
    use sha2::{Digest as _, Sha256};
    let mut text = String::from("og_");
    let symbol = |value: u32| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[value as usize % 32]);
    text.extend((0..32_u32).map(|at| symbol(number.checked_shr(5 * at).unwrap_or(0))));
    let digest = Sha256::digest(text.as_bytes());
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    text.push('_');
    text.extend((0..6).map(|at| symbol(first >> (27 - 5 * at))));
    text
}

fn many(folder: &support::folder::Folder, count: u32) -> PathBuf {
    let path = folder.path.join("keys.json");
    let file = fs::File::create(&path).expect("made");
    let mut to = std::io::BufWriter::with_capacity(1 << 20, file);
    to.write_all(b"{\"version\":1,\"keys\":[").expect("written");
    for number in 0..count {
        let text: [u8; LENGTH] = numbered(number).as_bytes().try_into().expect("a key");
        let digest = text::digest(&text);
        let separator = if number == 0 { "\n" } else { ",\n" };
        write!(
            to,
            "{separator}{{\"id\":\"{}\",\"digest\":\"{}\",\"consumer\":\"consumer-{number}\",\
             \"created\":\"2020-11-24T07:00:00Z\"}}",
            Id::of(&digest),
            HEXLOWER.encode(&digest)
        )
        .expect("written");
    }
    to.write_all(b"\n]}\n").expect("written");
    to.flush().expect("written");
    path
}

/// Which key and which field is at fault: by the key's id, or before that is known by its
/// number.
#[test]
fn a_fault_names_the_key_and_its_field() {
    let file = KeyFile::new("named");
    let [first, second] = [(); 2].map(|()| line(&Key::fresh().expect("randomness")));
    let id = second["id"].as_str().expect("an id");
    let rest = second.to_string().replace(&format!("\"id\":\"{id}\","), "");
    let rest = rest.strip_prefix('{').expect("an object");
    for (faulty, named) in [
        (
            format!("{{\"id\":\"{id}\",\"expires\":\"soon\",{rest}"),
            format!("key {id}, expires: "),
        ),
        (
            format!("{{\"expires\":\"soon\",\"id\":\"{id}\",{rest}"),
            "number 2, expires: ".into(),
        ),
    ] {
        let text = format!("{{\"version\":1,\"keys\":[\n{first},\n{faulty}\n]}}");
        file.folder.write("keys.json", &text);
        let said = file.run(&["rm", "acme"]);
        assert_eq!(said.status, Some(78), "{said:?}");
        let place = said.err.contains("line 3, column ");
        assert!(place && said.err.contains(&named), "{named}: {said:?}");
    }
}

#[test]
fn an_empty_name_of_the_file_is_named() {
    let output = command().args(["keys", "list", "--file", ""]).output();
    let said = String::from_utf8(output.expect("runs").stderr).expect("UTF-8");
    assert!(said.contains("--file is empty; write the path"), "{said}");
}
