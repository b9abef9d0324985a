//! What the machine, the user or the clock is at fault for.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::authority::{Authority, Key};
use crate::checked::{Checked, Level::*};
use crate::support::folder::Folder;
use crate::support::{Guard, SECRET, installed, skip};

const BINARY: &str = env!("CARGO_BIN_EXE_origin-guard");
/// libfaketime, by which one process alone sees another time.
const CLOCK: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const NOBODY: u32 = 65534;

/// Runs the program by `words`, which come before it.
fn through(words: &[&str], variables: &[(&str, &str)]) -> Checked {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(BINARY)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "127.0.0.1:0")
        .envs(variables.iter().copied());
    Checked::run(&mut command, &[])
}

/// Another user, who can run the program and see the folder.
fn as_nobody(variables: &[(&str, &str)]) -> Option<Checked> {
    for (program, package) in [("setpriv", "util-linux"), ("unshare", "util-linux")] {
        if !installed(program, &format!("apt install {package}, and be root")) {
            return None;
        }
    }
    if !rustix::process::geteuid().is_root() {
        skip("needs root, to become another user");
        return None;
    }
    let nobody = NOBODY.to_string();
    Some(through(
        &[
            "unshare",
            "--net",
            "setpriv",
            "--reuid",
            &nobody,
            "--regid",
            &nobody,
            "--clear-groups",
        ],
        variables,
    ))
}

#[test]
fn a_port_that_takes_a_privilege_is_denied() {
    let Some(checked) = as_nobody(&[("LISTEN", "0.0.0.0:80")]) else {
        return;
    };
    let remedy = "origin-guard print socket --role plain";
    checked.assert_finds(Fault, "LISTEN", "0.0.0.0:80: Permission denied", remedy);
}

#[test]
fn files_and_folders_of_another_user_are_denied() {
    let folder = Folder::new("check-denied");
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755)).expect("set");
    let secrets = folder.write("secrets", SECRET);
    let keys = folder.write("keys.json", "{\"version\":1,\"keys\":[]}");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (secrets, keys) = (text(&secrets), text(&keys));
    let socket = format!("unix:{}/socket", folder.path.display());
    for (variables, subject, remedy) in [
        (
            vec![("SHARED_SECRET", ""), ("SHARED_SECRET_FILE", &*secrets)],
            "SHARED_SECRET_FILE",
            "mend its path or mode",
        ),
        (
            vec![
                ("GATEWAY_LISTEN", "unix:/tmp/og-check-g"),
                ("API_KEYS_FILE", &*keys),
            ],
            "API_KEYS_FILE",
            "mend its path or mode",
        ),
        (
            vec![("LISTEN", &*socket)],
            "LISTEN",
            "let the user that runs origin-guard write",
        ),
    ] {
        let Some(checked) = as_nobody(&variables) else {
            return;
        };
        checked.assert_finds(Fault, subject, "Permission denied", remedy);
    }
    // One that this user could change is doubted.
    chown(folder.path.join("secrets"), Some(4711), None).expect("root");
    let variables = [("SHARED_SECRET", ""), ("SHARED_SECRET_FILE", &*secrets)];
    let checked = through(&["env"], &variables);
    checked.assert_finds(
        Warning,
        "SHARED_SECRET_FILE",
        "belongs to user 4711",
        "its owner",
    );
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    if !installed("unshare", "apt install util-linux, and be root") {
        return;
    }
    let backend = [
        ("LISTEN", "0.0.0.0:0"),
        ("BACKEND", "http://no-such-host.invalid:3000"),
    ];
    let checked = through(&["unshare", "--net"], &backend);
    checked.assert_finds(Warning, "BACKEND", "no-such-host.invalid", "getent hosts");
}

#[test]
fn connections_that_the_limit_of_files_denies_are_named() {
    if !installed("prlimit", "apt install util-linux") {
        return;
    }
    let checked = through(
        &["prlimit", "--nofile=256:256"],
        &[("MAX_CONNECTIONS", "1000")],
    );
    checked.assert_finds(
        Warning,
        "MAX_CONNECTIONS",
        "1000 connections take ",
        "LimitNOFILE=",
    );
    checked.assert_finds(Warning, "MAX_CONNECTIONS", "the limit is 256", "ulimit -n ");
    let remedy = checked.complaints()[0]["remedy"].as_str().expect("a text");
    // What it advises is in order.
    let fitting = remedy.rsplit('=').next().expect("a number").to_owned();
    let checked = through(
        &["prlimit", "--nofile=256:256"],
        &[("MAX_CONNECTIONS", &fitting)],
    );
    checked.assert_is_ok();
    for default in [false, true] {
        let set = [("MAX_CONNECTIONS", "1000")];
        let set = if default { &[][..] } else { &set };
        let limited =
            |files: &str| through(&["prlimit", &format!("--nofile={files}:{files}")], set);
        let said = |checked: &Checked| {
            let found = checked.findings().iter();
            let mut found = found.filter(|found| found["subject"] == "MAX_CONNECTIONS");
            let text = |name: &str, found: &serde_json::Value| {
                found[name].as_str().expect("a text").to_owned()
            };
            let found = found.next()?;
            Some(text("what", found) + &text("remedy", found))
        };
        let found = said(&limited("256")).expect("it is said");
        let files = found.split("LimitNOFILE=").nth(1).expect("a number");
        let files = files.split(' ').next().expect("a number");
        assert!(found.contains(&format!("ulimit -n {files} ")), "{found}");
        assert!(
            !default || found.contains("the default is 10000"),
            "{found}"
        );
        assert_eq!(said(&limited(files)), None);
    }
}

/// `check` and the guard that is started with the same variables name the same numbers.
#[test]
fn what_fits_under_the_limit_of_files_is_what_the_guard_says() {
    if !installed("prlimit", "apt install util-linux") {
        return;
    }
    let folder = Folder::new("check-files");
    let keys = folder.write("keys.json", "{\"version\":1,\"keys\":[]}");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("set");
    let keys = keys.to_str().expect("UTF-8");
    let gateway = [("GATEWAY_LISTEN", "127.0.0.1:0"), ("API_KEYS_FILE", keys)];
    let admin = ("ADMIN_LISTEN", "127.0.0.1:0,127.0.0.1:0");
    let backend = ("BACKEND", "http://127.0.0.1:1");
    for more in [
        &[][..],
        &[backend],
        &[backend, admin],
        &[gateway[0], gateway[1], ("ORIGIN", "http://127.0.0.1:1")],
        &[("ORIGIN", "http://127.0.0.1:1")],
    ] {
        let most = [("MAX_CONNECTIONS", "1000"), ("WORKERS", "1")];
        let variables = [&most, more].concat();
        let words = ["prlimit", "--nofile=256:256"];
        let checked = through(&words, &variables);
        let mut found = checked.findings().iter();
        let found = found.find(|found| found["subject"] == "MAX_CONNECTIONS");
        let remedy = found.expect("it is said")["remedy"].as_str();
        let mut command = Command::new(words[0]);
        let guard = Guard::spawn(
            command
                .arg(words[1])
                .arg(BINARY)
                .env_clear()
                .env("SHARED_SECRET", SECRET)
                .env("LISTEN", "127.0.0.1:0")
                .envs(variables.iter().copied()),
        );
        let said = guard.wait_for_log(|line| line.starts_with("max_connections_lowered "));
        let remedy = remedy.expect("a text");
        assert!(
            said.contains(&format!("remedy=\"{remedy}\"")),
            "{said}: {remedy}"
        );
    }
}

#[test]
fn a_clock_that_cannot_be_right_is_named() {
    if !Path::new(CLOCK).is_file() {
        return skip(&format!("needs {CLOCK}; apt install libfaketime"));
    }
    let authority = Authority::new("check-clock");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let keys = authority.path("keys.json");
    let made = crate::support::command()
        .args(["keys", "add", "alice", "--file", &keys])
        .output()
        .expect("runs");
    assert!(made.status.success(), "{made:?}");
    let [certificate, key] = issued.variables();
    let early = through(
        &["env"],
        &[
            ("LD_PRELOAD", CLOCK),
            ("FAKETIME", "1999-12-31 00:00:00"),
            ("LISTEN", "tls:127.0.0.1:0"),
            certificate,
            key,
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("API_KEYS_FILE", &keys),
        ],
    );
    early.assert_finds(Warning, "clock", "1999-12-31T", "timedatectl");
    early.assert_finds(Warning, "TLS_CERT", "not valid before", "look at the clock");
    early.assert_finds(Warning, "API_KEYS_FILE", "1 of its keys", "set the clock");
}
