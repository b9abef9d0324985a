//! Keys that clients had before: read on standard input, kept as digests, and good.

mod support;

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use support::command;
use support::keys::{KeyFile, Said};

const OLD: &str = "sk_live_9aF3kQ27xLmPz0Rt";
const OTHER: &str = "4f1c9a7b-e02d-5386-99aa-0c7be1";

fn import(file: &KeyFile, consumer: &str, lines: &[u8]) -> Said {
    let mut import = command();
    import
        .args(["keys", "import", "--consumer", consumer, "--file"])
        .arg(&file.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = import.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may refuse before it has read all.
    let _ = stdin.write_all(lines);
    drop(stdin);
    child.wait_with_output().expect("ends").into()
}

#[test]
fn imported_keys_are_good_and_are_not_kept_themselves() {
    let file = KeyFile::new("import");
    let own = file.add("alice", &[]);
    let said = import(&file, "alice", format!("{OLD}\r\n\n{OTHER}").as_bytes());
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.err, "imported=2 already_there=0 consumer=alice\n");
    assert_eq!(said.out.lines().count(), 2);
    let text = std::fs::read_to_string(&file.path).expect("readable");
    assert!(!text.contains(OLD) && !text.contains(OTHER), "{text}");
    for key in [&own, OLD, OTHER] {
        let said = file.verify(key);
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(said.out.ends_with("consumer=alice\n"), "{said:?}");
    }
    // Each is a key like others: revoked, it is no longer good.
    let guard = file.gateway(&[]);
    let status = |key: &str| {
        let get =
            format!("GET /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
        guard.ask(get).status
    };
    assert_eq!((status(OLD), status(OTHER), status(&own)), (200, 200, 200));
    file.must(&["revoke", &file.id(OLD)]);
    guard.wait_for_log(|line| line.contains("keys_reloaded"));
    assert_eq!((status(OLD), status(OTHER)), (401, 200));
    let near = [OLD, "x"].concat();
    for wrong in [&near, &OLD[1..], &OLD.to_lowercase(), &"x".repeat(300)] {
        assert_eq!(status(wrong), 401, "{wrong}");
    }
    // The longest that can be imported, and one byte more.
    let mut state = 1_u32;
    let mut digit = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_digit(state >> 28, 16).expect("a digit")
    };
    let long: String = (0..255).map(|_| digit()).collect();
    assert_eq!(import(&file, "bob", long.as_bytes()).status, Some(0));
    assert_eq!(file.verify(&long).status, Some(0));
    assert_ne!(file.verify(&(long + "0")).status, Some(0));
}

#[test]
fn importing_again_changes_nothing_and_another_consumers_key_is_refused() {
    let file = KeyFile::new("import-again");
    assert_eq!(import(&file, "alice", OLD.as_bytes()).status, Some(0));
    let before = file.json();
    let inode = || std::fs::metadata(&file.path).expect("there").ino();
    let made = inode();
    let said = import(&file, "alice", OLD.as_bytes());
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("imported=0 already_there=1"), "{said:?}");
    assert_eq!((file.json(), inode()), (before.clone(), made));
    let said = import(&file, "bob", format!("{OTHER}\n{OLD}\n").as_bytes());
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(
        said.err.contains("line 2") && said.err.contains("another consumer"),
        "{said:?}"
    );
    assert!(!said.err.contains(OLD), "{said:?}");
    assert_eq!(file.json(), before, "all or none");
}

#[test]
fn what_could_be_guessed_or_is_no_key_is_refused_by_its_line_and_not_shown() {
    let file = KeyFile::new("import-refused");
    let typo = {
        let key = file.add("alice", &[]);
        let last = if key.ends_with('a') { 'b' } else { 'a' };
        format!("{}{last}", &key[..key.len() - 1])
    };
    let before = file.json();
    for (bad, named) in [
        ("aaaaaaaaaaaaaaaaaaaa", "repeats"),
        ("abcabcabcabcabcabc", "repeats"),
        ("abcdefghijklmnopqrst", "alphabet"),
        ("12345678900987654321", "alphabet"),
        ("password-password-1", "words"),
        ("my-secret-api-key-2024", "words"),
        ("9aF3kQ27xLmPz0R", "15 bytes"),
        ("9aF3kQ27 xLmPz0Rtu", "byte 9"),
        ("# keys of the old gateway", "takes no comments"),
        ("9aF3kQ27\u{e4}xLmPz0Rtu", "byte 9"),
        (&"9aF3kQ27xLmPz0Rt".repeat(16), "256 bytes"),
        (&typo, "checksum"),
    ] {
        let said = import(&file, "alice", format!("{OLD}\n{bad}\n").as_bytes());
        assert_eq!(said.status, Some(1), "{bad}: {said:?}");
        assert!(
            said.err.contains("line 2") && said.err.contains(named),
            "{bad}: {said:?}"
        );
        assert!(
            !said.err.contains(bad) && said.out.is_empty(),
            "{bad}: {said:?}"
        );
        assert_eq!(file.json(), before, "{bad}");
    }
    let said = import(&file, "alice", b"\n\n");
    assert_eq!(said.status, Some(64), "{said:?}");
    let said = file.run(&["import"]);
    assert_eq!(said.status, Some(64), "{said:?}");
    assert!(said.err.contains("--consumer"), "{said:?}");
}

#[test]
fn of_a_bad_line_it_is_said_that_nothing_was_imported() {
    let file = KeyFile::new("nothing");
    file.add("alice", &[]);
    let before = std::fs::read(&file.path).expect("readable");
    let said = import(&file, "alice", format!("{OLD}\nshort\n").as_bytes());
    assert!(
        said.status == Some(1) && said.err.contains("nothing was imported"),
        "{said:?}"
    );
    assert_eq!(std::fs::read(&file.path).expect("readable"), before);
}

#[test]
fn input_that_is_too_long_is_no_key() {
    let file = KeyFile::new("long");
    let key = file.add("alice", &[]);
    let said = file.verify(&format!("{key}{}more", " ".repeat(5000)));
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
}
