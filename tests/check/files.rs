//! Files that variables and arguments name: where they are looked for, and who may read and
//! change them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use origin_guard::private_file::MODES;
use serde_json::Value;

use crate::authority::{Authority, Key};
use crate::checked::{Checked, Level::Warning};
use crate::mistakes::sound;
use crate::support::folder::Folder;
use crate::support::{SECRET, command, installed, skip};

const NOBODY: &str = "65534";
/// A group that nobody has.
const GROUP: u32 = 4711;

#[test]
fn a_relative_path_is_shown_with_the_one_that_was_tried() {
    let folder = Folder::new("check-relative");
    let authority = Authority::new("check-relative");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let [certificate, key] = issued.variables();
    let ca = authority.path("ca.pem");
    let tls = ("LISTEN", "tls:127.0.0.1:0");
    let redirect = ("LISTEN", "tls:127.0.0.1:0,redirect:127.0.0.1:0");
    let gateway = ("GATEWAY_LISTEN", "127.0.0.1:0");
    let origin = ("ORIGIN", "https://127.0.0.1:1");
    let client_ca = ("TLS_CLIENT_CA", &*ca);
    let names = ("TLS_CLIENT_NAMES", "gateway.example");
    let tried = format!("none/file ({}/none/file)", folder.path.display());
    for (name, others) in [
        ("SHARED_SECRET_FILE", &[("SHARED_SECRET", "")][..]),
        ("ALLOW_FROM_FILE", &[]),
        ("TLS_CERT", &[tls, key]),
        ("TLS_KEY", &[tls, certificate]),
        ("ACME_WEBROOT", &[redirect, certificate, key]),
        ("TLS_CLIENT_CA", &[tls, certificate, key, names]),
        ("TLS_CLIENT_CRL", &[tls, certificate, key, client_ca, names]),
        ("API_KEYS_FILE", &[gateway]),
        ("ORIGIN_CA", &[gateway, origin]),
        (
            "ORIGIN_CLIENT_CERT",
            &[
                gateway,
                origin,
                ("ORIGIN_CA", &ca),
                ("ORIGIN_CLIENT_KEY", key.1),
            ],
        ),
        (
            "ORIGIN_CLIENT_KEY",
            &[
                gateway,
                origin,
                ("ORIGIN_CA", &ca),
                ("ORIGIN_CLIENT_CERT", certificate.1),
            ],
        ),
    ] {
        let mut command = sound();
        command.current_dir(&folder.path);
        command.envs(others.iter().copied()).env(name, "none/file");
        let checked = Checked::run(&mut command, &["--local"]);
        let is_said = |finding: &Value| {
            finding["subject"] == name
                && finding["what"]
                    .as_str()
                    .is_some_and(|what| what.contains(&tried))
        };
        let is_said = checked.findings().iter().any(is_said);
        assert!(is_said, "{name}: {:#?}", checked.findings());
    }
    for arguments in [
        &["keys", "list", "--file", "none/file"][..],
        &["keys", "add", "alice", "--file", "none/file"],
        &["secret", "rotate", "none/file"],
        &["secret", "status", "none/file", "--admin", "127.0.0.1:1"],
        &["probe", "http://127.0.0.1:1", "--secret-file", "none/file"],
        &["probe", "https://127.0.0.1:1", "--ca-file", "none/file"],
    ] {
        let option = arguments.iter().find(|word| **word == "--ca-file");
        let output = command().current_dir(&folder.path).args(arguments).output();
        let said = String::from_utf8(output.expect("runs").stderr).expect("UTF-8");
        let whole = format!("{}/none", folder.path.display());
        assert!(said.contains(&whole), "{arguments:?}: {said}");
        let makes_folder = format!("mkdir -p {whole}");
        assert!(
            !arguments.contains(&"add") || said.contains(&makes_folder),
            "{arguments:?}: {said}"
        );
        let is_named = option.is_none_or(|option| said.contains(&format!("{option}: ")));
        assert!(is_named, "{arguments:?}: {said}");
    }
}

/// A file of the secret with this mode; root's, and of this group.
fn secrets(folder: &Folder, mode: u32, group: u32) -> String {
    let file = folder.write(&format!("secrets-{mode:o}-{group}"), SECRET);
    if rustix::process::geteuid().is_root() {
        chown(&file, Some(0), Some(group)).expect("root");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
    file.to_str().expect("UTF-8").to_owned()
}

/// What is complained of where this user, with that group, reads the file.
fn complaint(file: &str, user: Option<(&str, &str)>) -> Option<String> {
    let mut command = match user {
        None => command(),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", user, "--regid", group, "--clear-groups"])
                .arg(env!("CARGO_BIN_EXE_origin-guard"))
                .env_clear();
            command
        }
    };
    command
        .env("LISTEN", "127.0.0.1:0")
        .env("SHARED_SECRET_FILE", file);
    let checked = Checked::run(&mut command, &["--local"]);
    let complaints = checked.complaints();
    assert!(complaints.len() < 2, "{complaints:#?}");
    let finding = complaints.first()?;
    let text = |name: &str| finding[name].as_str().expect("a text").to_owned();
    Some(format!(
        "{}: {}; {}",
        text("level"),
        text("what"),
        text("remedy")
    ))
}

/// Runs what the message advises behind `before`.
fn follow(said: &str, before: &str) {
    let line = said.split(before).nth(1).expect("a command");
    let line = line.split(", and ").next().expect("a command");
    let status = Command::new("sh").args(["-c", line]).status();
    assert!(status.expect("runs").success(), "{line}");
}

#[test]
fn the_modes_of_the_documentation_are_those_that_are_taken() {
    let folder = Folder::new("check-modes");
    let own_group = rustix::process::getegid().as_raw();
    let modes = |(modes, meaning): &(&'static str, &'static str)| {
        let modes = modes.split(", ");
        let meaning = *meaning;
        let read = |mode| u32::from_str_radix(mode, 8).expect("octal");
        modes
            .map(move |mode| (read(mode), meaning))
            .collect::<Vec<_>>()
    };
    let modes: Vec<_> = MODES.iter().flat_map(modes).collect();
    assert_eq!(modes.len(), 8);
    for (mode, meaning) in modes {
        let file = secrets(&folder, mode, own_group);
        let what = match mode & 0o066 {
            more if more & 0o002 != 0 => "can be written by everyone on this machine",
            more if more & 0o020 != 0 => "can be written by its group",
            more if more & 0o004 != 0 => "can be read by everyone on this machine",
            _ => {
                assert_eq!(complaint(&file, None), None, "{mode:o}");
                continue;
            }
        };
        let level = match meaning.split(':').next() {
            Some("a warning") => "warning",
            Some("refused") => "fault",
            _ => panic!("{meaning}"),
        };
        let said = complaint(&file, None).expect("a complaint");
        assert!(said.starts_with(level) && said.contains(what), "{said}");
        let found = format!("(mode {mode:04o}, user 0, group {own_group})");
        assert!(
            !rustix::process::geteuid().is_root() || said.contains(&found),
            "{said}"
        );
        assert!(said.contains(&format!("run: chmod 600 {file}")), "{said}");
        follow(&said, "run: ");
        assert_eq!(complaint(&file, None), None, "{mode:o}");
    }
    // The page says so.
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = fs::read_to_string(page).expect("readable");
    for mode in ["0600", "0640", "0644", "0660", "0666"] {
        assert!(page.contains(&format!("`{mode}`")), "{mode}");
    }
}

#[test]
fn a_folder_in_which_everyone_can_replace_the_file_is_a_warning() {
    let folder = Folder::new("check-open-folder");
    let own_group = rustix::process::getegid().as_raw();
    let set = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(&folder.path, mode).expect("set");
    };
    let file = secrets(&folder, 0o600, own_group);
    let below = folder.path.join("below");
    fs::create_dir(&below).expect("made");
    let deep = below.join("link");
    std::os::unix::fs::symlink(&file, &deep).expect("linked");
    let closed = Folder::new("check-closed-folder");
    let link = closed.path.join("link");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    for file in [
        &*file,
        deep.to_str().expect("UTF-8"),
        link.to_str().expect("UTF-8"),
    ] {
        set(0o777);
        let said = complaint(file, None).expect("a complaint");
        let what = "can be replaced by everyone on this machine";
        assert!(said.starts_with("warning") && said.contains(what), "{said}");
        follow(&said, "run: ");
        assert_eq!(complaint(file, None), None);
        // As /tmp is.
        set(0o1777);
        assert_eq!(complaint(file, None), None);
    }
}

#[test]
fn a_file_that_one_group_reads_is_in_order_and_the_command_makes_it_one() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let folder = Folder::new("check-groups");
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755)).expect("set");
    let group = GROUP.to_string();
    let member = Some((NOBODY, &*group));
    let stranger = Some((NOBODY, NOBODY));
    let file = secrets(&folder, 0o640, GROUP);
    assert_eq!(complaint(&file, member), None);
    assert_eq!(complaint(&file, None), None);
    // What everyone else may do is taken away, and what its group may do stays.
    for mode in [0o644, 0o666] {
        for user in [None, member] {
            let file = secrets(&folder, mode, GROUP);
            let said = complaint(&file, user).expect("a complaint");
            assert!(said.contains(&format!("run: chmod 640 {file}")), "{said}");
            follow(&said, "run: ");
            assert_eq!(complaint(&file, member), None, "{said}");
        }
    }
    for (mode, group, user) in [
        (0o600, 0, stranger),
        (0o600, GROUP, member),
        (0o640, GROUP, stranger),
    ] {
        let file = secrets(&folder, mode, group);
        let said = complaint(&file, user).expect("a complaint");
        let found = format!("to user {NOBODY} (mode {mode:04o}, user 0, group {group})");
        assert!(said.starts_with("fault") && said.contains(&found), "{said}");
        follow(&said, "mend its path or mode: ");
        assert_eq!(complaint(&file, user), None, "{said}");
    }
    // Who reads a file as everyone does can still read it.
    for mode in [0o644, 0o666] {
        let file = secrets(&folder, mode, 0);
        let said = complaint(&file, stranger).expect("a complaint");
        assert!(said.contains(&format!("run: chgrp {NOBODY} ")), "{said}");
        follow(&said, "run: ");
        assert_eq!(complaint(&file, stranger), None, "{said}");
    }
    // A folder may be what is closed.
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o700)).expect("set");
    let said = complaint(&file, member).expect("a complaint");
    let closed = format!(
        "may not enter the folder {} (mode 0700",
        folder.path.display()
    );
    assert!(said.contains(&closed), "{said}");
}

#[test]
fn a_relative_path_is_shown_as_a_whole_in_a_doubt_of_its_mode() {
    let folder = Folder::new("check-relative-mode");
    let ends = folder.write("ends", &format!("{SECRET}\r\n"));
    fs::set_permissions(&ends, fs::Permissions::from_mode(0o600)).expect("set");
    let mut command = sound();
    command
        .current_dir(&folder.path)
        .env("SHARED_SECRET", "")
        .env("SHARED_SECRET_FILE", "ends");
    let remedy = format!("sed -i 's/\\r$//' {}", ends.display());
    Checked::run(&mut command, &["--local"]).assert_finds(
        Warning,
        "SHARED_SECRET_FILE",
        "CR LF",
        &remedy,
    );
    let file = folder.write("secrets", SECRET);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
    let mut command = sound();
    command
        .current_dir(&folder.path)
        .env("SHARED_SECRET", "")
        .env("SHARED_SECRET_FILE", "secrets");
    let checked = Checked::run(&mut command, &["--local"]);
    let whole = folder.path.join("secrets");
    let (shown, remedy) = (
        format!("secrets ({}) can be read", whole.display()),
        format!("chmod 600 {}", whole.display()),
    );
    checked.assert_finds(Warning, "SHARED_SECRET_FILE", &shown, &remedy);
}

/// The mode of a file that is no secret may let everyone read it.
#[test]
fn a_list_of_networks_may_be_read_by_everyone() {
    let folder = Folder::new("check-networks");
    let file = folder.write("networks", "127.0.0.1\n");
    let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
    let check = |file: &Path| Checked::run(sound().env("ALLOW_FROM_FILE", file), &["--local"]);
    set(0o644);
    check(&file).assert_is_ok();
    set(0o664);
    let found = check(&file);
    let found = found.complaints()[0]["what"].to_string();
    assert!(
        found.contains("can be written by its group (mode 0664, user "),
        "{found}"
    );
    // The remedy leaves it to its readers.
    set(0o666);
    let found = check(&file);
    let found = &found.complaints()[0];
    let told = format!("{} {}", found["what"], found["remedy"]);
    assert!(told.contains("can be written by everyone"), "{told}");
    let remedy = format!("chmod go-w {}", file.display());
    assert!(told.contains(&remedy), "{told}");
    let run = Command::new("sh").args(["-c", &remedy]).status();
    assert!(run.expect("runs").success());
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    check(&file).assert_is_ok();
}

/// A file of `nobody` is another user's as any other, but for a namespace that shows all
/// whom it does not know as that one.
#[test]
fn a_secret_of_nobody_is_a_warning_where_there_is_such_a_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to give a file away");
    }
    let folder = Folder::new("check-nobody");
    let file = secrets(&folder, 0o600, 0);
    for owner in [65534, 4711] {
        chown(&file, Some(owner), Some(0)).expect("root");
        let said = complaint(&file, None).expect("a complaint");
        let belongs = format!("warning: SHARED_SECRET_FILE: {file} belongs to user {owner}");
        let belongs = belongs.replace("SHARED_SECRET_FILE: ", "");
        assert!(said.starts_with(&belongs), "{said}");
        assert!(said.contains(&format!("chown 0 {file}")), "{said}");
    }
    // Who is root there alone does not know the owner, and cannot give the file to itself.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
    let namespace = Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .output();
    if !namespace.is_ok_and(|output| output.status.success()) {
        return skip("needs unshare(1) of util-linux, and user namespaces");
    }
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user"])
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .env("LISTEN", "127.0.0.1:0")
        .env("SHARED_SECRET_FILE", &file);
    Checked::run(&mut command, &["--local"]).assert_is_ok();
}
