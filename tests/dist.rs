//! `make dist`: the same bytes for everyone, and a binary that needs no other file.
//! `make run`: the line that it prints works.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use support::folder::{Folder, copy_program};
use support::{Guard, PATIENCE, SECRET, installed, path_of, skip};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Where `make dist` puts what it makes here.
fn dist() -> &'static Path {
    static DIST: OnceLock<PathBuf> = OnceLock::new();
    DIST.get_or_init(|| make(Path::new(PROJECT), &cargo_home()))
}

fn make(folder: &Path, cargo_home: &Path) -> PathBuf {
    let output = Command::new("make")
        .args(["--silent", "dist"])
        .current_dir(folder)
        .env("CARGO_HOME", cargo_home)
        // Those of the build that this test belongs to.
        .env_remove("MAKEFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("make");
    assert_success(&output);
    folder.join("target/dist")
}

fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn cargo_home() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").expect("a home")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

#[test]
fn two_checkouts_and_two_cargo_homes_give_the_same_bytes() {
    let here = dist();
    let elsewhere = Folder::new("dist");
    let checkout = elsewhere.path.join("a/deeper/folder");
    let home = elsewhere.path.join("home");
    fs::create_dir_all(&checkout).expect("made");
    fs::create_dir_all(&home).expect("made");
    // The crates and the place that they come from, under another path.
    for name in ["registry", "config.toml"] {
        let there = cargo_home().join(name);
        if there.exists() {
            std::os::unix::fs::symlink(there, home.join(name)).expect("linked");
        }
    }
    let copied = Command::new("cp")
        .args(["-r", "Cargo.toml", "Cargo.lock", "Makefile", "src"])
        .arg(&checkout)
        .current_dir(PROJECT)
        .output();
    assert_success(&copied.expect("cp"));
    let there = make(&checkout, &home);
    let [one, other] = [here, &there].map(|folder| {
        let sums = Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(folder)
            .output();
        assert_success(&sums.expect("sha256sum"));
        fs::read(folder.join("origin-guard")).expect("a binary")
    });
    assert!(one == other, "the binaries differ");
}

/// Its binary with nothing around it, not even /dev, as a user that nobody has heard of.
#[test]
fn the_static_binary_needs_no_other_file() {
    let Some(chroot) = path_of("chroot") else {
        return skip("needs chroot; apt install coreutils, and be root");
    };
    let folder = Folder::new("root");
    let root = &folder.path.join("root");
    fs::create_dir(root).expect("made");
    copy_program(dist().join("origin-guard"), root.join("origin-guard"));
    for path in [root, &root.join("origin-guard")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).expect("set");
    }
    let inside = || {
        let mut command = Command::new(&chroot);
        command.arg("--userspec=65533:65534").arg(root);
        command.arg("/origin-guard").env_clear();
        command
    };
    let fresh = inside().arg("keygen").output().expect("runs");
    assert_success(&fresh);
    assert_eq!(fresh.stdout.len(), 44);
    let printed = inside().args(["print", "unit"]).output().expect("runs");
    assert_success(&printed);
    let mut serve = inside();
    serve
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "127.0.0.1:0")
        .env("ADMIN_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_LISTEN", "127.0.0.1:0");
    let mut guard = Guard::spawn(&mut serve);
    guard.assert_serves();
    guard.signal(Signal::TERM);
    assert_eq!(guard.wait().code(), Some(0));
    let log = guard.log().join("\n");
    assert!(!log.contains("error") && !log.contains("failed"), "{log}");
}

#[test]
fn make_run_fails_where_the_guard_does() {
    let output = Command::new("make")
        .args(["--silent", "-C", PROJECT, "run", "CARGO=true"])
        .arg(format!("RUN={}", env!("CARGO_BIN_EXE_origin-guard")))
        .env("BACKEND", "ftp://127.0.0.1")
        .env_remove("MAKEFLAGS")
        .output()
        .expect("make");
    let (said, error) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(said).contains("BACKEND"), "{error}");
    // make's own status is 2 where a command fails, and it says the command's.
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("Error 78"), "{error}");
}

#[test]
fn the_line_that_make_run_prints_works() {
    if !installed("curl", "apt install curl") {
        return;
    }
    let folder = Folder::new("run");
    let socket = format!("unix:{}", folder.path.join("socket").display());
    for listen in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", &socket] {
        let mut make = Command::new("make");
        make.args(["--silent", "-C", PROJECT, "run", "CARGO=true"])
            .arg(format!("RUN={}", env!("CARGO_BIN_EXE_origin-guard")))
            .env("LISTEN", listen)
            .env_remove("MAKEFLAGS")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut make, 0);
        let mut make = make.spawn().expect("make");
        let lines = BufReader::new(make.stdout.take().expect("piped")).lines();
        let typed = lines
            .map_while(Result::ok)
            .find(|line| line.contains("curl -i"));
        let typed = typed.expect("a line to type");
        let output = Command::new("sh")
            .args(["-c", &typed])
            .output()
            .expect("sh");
        let said = String::from_utf8_lossy(&output.stdout);
        // What reached the backend: everything but the secret.
        assert!(
            said.starts_with("HTTP/1.1 200 "),
            "{listen}: {typed}: {said}"
        );
        assert!(said.contains(r#""target": "/hello""#), "{listen}: {said}");
        assert!(!said.contains("X-Shared-Secret"), "{listen}: {said}");
        // As the keyboard does it: the whole group.
        let group = Pid::from_child(&make);
        kill_process_group(group, Signal::INT).expect("signalled");
        make.wait().expect("its own child");
        // The backend goes, too, though a shell's background ignores SIGINT.
        let deadline = Instant::now() + PATIENCE;
        while test_kill_process_group(group).is_ok() {
            assert!(Instant::now() < deadline, "a process is left over");
            std::thread::yield_now();
        }
    }
}
