//! Secrets, and the files that they are in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{Level, assert_all_are_named, mistake};
use crate::checked::Level::*;
use crate::support::SECRET;
use crate::support::folder::Folder;

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn secrets() {
    let guessable = |secret: &str, what| {
        mistake(
            &[("SHARED_SECRET", secret)],
            Warning,
            "SHARED_SECRET",
            what,
            "keygen",
        )
    };
    assert_all_are_named(&[
        mistake(
            &[("SHARED_SECERT", "hush-0123456789abcdef")],
            Warning,
            "SHARED_SECERT",
            "no such variable",
            "did you mean SHARED_SECRET?",
        ),
        mistake(
            &[("SHARED_SECRET", "")],
            Fault,
            "SHARED_SECRET",
            "not set",
            "set it",
        ),
        mistake(
            &[("SHARED_SECRET", ""), ("SHARED_SECRET_PREVIOUS", SECRET)],
            Fault,
            "SHARED_SECRET_PREVIOUS",
            "SHARED_SECRET is not",
            "set SHARED_SECRET to the current secret",
        ),
        mistake(
            &[("SHARED_SECRET", "abc")],
            Warning,
            "SHARED_SECRET",
            "shorter",
            "keygen",
        ),
        mistake(
            &[("SHARED_SECRET", "your_shared_secret_here")],
            Warning,
            "SHARED_SECRET",
            "placeholder",
            "keygen",
        ),
        guessable("passwordpassword", "repeats a few characters"),
        guessable("aaaaaaaaaaaaaaaaaaaa", "repeats a few characters"),
        guessable("1234567890123456", "as in an alphabet"),
        guessable("your-secret-here-please", "words that are tried first"),
        mistake(
            &[("SHARED_SECRET", "${PRODUCTION_SECRET}")],
            Warning,
            "SHARED_SECRET",
            "template",
            "keygen",
        ),
        mistake(
            &[("SHARED_SECRET", "\"correct-horse-battery\"")],
            Warning,
            "SHARED_SECRET",
            "in quotes",
            "remove them",
        ),
        mistake(
            &[("SHARED_SECRET", "tr\u{e4}umerei-0123456789")],
            Fault,
            "SHARED_SECRET",
            "byte 3",
            "use letters, digits and signs",
        ),
        mistake(
            &[("SHARED_SECRET", "correct-horse-battery\r")],
            Fault,
            "SHARED_SECRET",
            "byte 22 is a line break",
            "one at the end of a file",
        ),
        mistake(
            &[("SHARED_SECRET", " correct-horse-battery")],
            Fault,
            "SHARED_SECRET",
            "begins or ends with a space",
            "remove it",
        ),
        mistake(
            &[("SHARED_SECRET_PREVIOUS", SECRET)],
            Warning,
            "SHARED_SECRET_PREVIOUS",
            "the same as SHARED_SECRET",
            "unset it",
        ),
        mistake(
            &[("SHARED_SECRET", ""), ("SHARED_SECRET_PREVIOUS", SECRET)],
            Fault,
            "SHARED_SECRET_PREVIOUS",
            "SHARED_SECRET is not",
            "set SHARED_SECRET",
        ),
        mistake(
            &[("SHARED_SECRET_FILE", "/etc/hostname")],
            Fault,
            "SHARED_SECRET",
            "also in SHARED_SECRET_FILE",
            "keep one of the two",
        ),
        mistake(
            &[("SECRET_HEADER", "X Secret")],
            Fault,
            "SECRET_HEADER",
            "byte 2",
            "use letters, digits and hyphens",
        ),
        mistake(
            &[("SECRET_HEADER", "X_Secret")],
            Warning,
            "SECRET_HEADER",
            "drop a header with an underscore",
            "write hyphens",
        ),
        mistake(
            &[("API_KEYS_FILE", "/nowhere.json")],
            Warning,
            "API_KEYS_FILE",
            "does nothing",
            "set GATEWAY_LISTEN",
        ),
        mistake(
            &[("SECRET_HEADER", "Content-Length")],
            Fault,
            "SECRET_HEADER",
            "a meaning of its own",
            "choose another header",
        ),
        mistake(
            &[
                ("SECRET_HEADER", "Authorization"),
                ("BACKEND", "http://127.0.0.1:1"),
            ],
            Fault,
            "SECRET_HEADER",
            "Authorization",
            "choose another header",
        ),
    ]);
}

#[test]
fn secret_files() {
    let folder = Folder::new("check-secrets");
    let path = |name: &str| folder.path.join(name).to_str().expect("UTF-8").to_owned();
    let file = |name: &str, text: &str, mode: u32| {
        let file = folder.write(name, text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        path(name)
    };
    let line = format!("{SECRET}\n");
    let of = |path: &str, level: Level, what: &str, remedy: &'static str| {
        let variables = [("SHARED_SECRET", ""), ("SHARED_SECRET_FILE", path)];
        let mut mistake = mistake(&variables, level, "SHARED_SECRET_FILE", what, remedy);
        mistake.what = what.to_owned();
        mistake
    };
    let fifo = path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("runs");
    assert!(made.success());
    let twice = format!("# current\n{SECRET}\n{SECRET}\n");
    let mistakes = [
        of(
            &path("none"),
            Fault,
            "No such file",
            "mend its path or mode",
        ),
        of(&fifo, Fault, "a FIFO", "name a regular file"),
        of(&path(""), Fault, "a folder", "name a regular file"),
        of(
            &file("world", &line, 0o666),
            Fault,
            "by everyone",
            "chmod 600",
        ),
        of(
            &file("read", &line, 0o644),
            Warning,
            "can be read by everyone",
            "chmod 600",
        ),
        of(
            &file("group", &line, 0o620),
            Warning,
            "written by its group",
            "chmod 600",
        ),
        of(
            &file("crlf", &format!("{SECRET}\r\n"), 0o600),
            Warning,
            "end in CR LF",
            "'s/\\r$//' /",
        ),
        of(
            &file("twice", &twice, 0o600),
            Fault,
            "line 3: it repeats",
            "remove one",
        ),
        of(
            &file("env", &format!("SHARED_SECRET={SECRET}\n"), 0o600),
            Fault,
            "line 1: it looks like an assignment",
            "write the value alone",
        ),
        of(
            &file("json", "{\"secret\":\"abc\"}\n", 0o600),
            Fault,
            "line 1: it looks like JSON",
            "write the secret alone",
        ),
        of(
            &file("bom", &format!("\u{feff}{SECRET}\n"), 0o600),
            Fault,
            "byte order mark",
            "without one",
        ),
        of(
            &file("empty", "# none yet\n\n", 0o600),
            Fault,
            "no secret",
            "write one",
        ),
        of(
            &file("large", &"x".repeat(70_000), 0o600),
            Fault,
            "larger than",
            "write a secret a line",
        ),
    ];
    assert_all_are_named(&mistakes);
}
