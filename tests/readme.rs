//! What the README and docs/ have a newcomer type, from nothing to a guarded request.

mod support;

use std::process::{Command, Stdio};

use support::folder::Folder;
use support::{installed, page};

#[test]
fn both_halves_in_eight_commands() {
    for (program, package) in [
        ("caddy", "caddy"),
        ("curl", "curl"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
    ] {
        if !installed(program, &format!("apt install {package}, and be root")) {
            return;
        }
    }
    let mut commands = page::commands("docs/keys.md", "## Be the gateway", "$ ");
    assert!(commands.len() <= 8, "{commands:#?}");
    // What is tried is the binary of this test, where the first command puts one.
    let build = commands.remove(0);
    assert!(build.starts_with("make dist && "), "{build}");
    let folder = Folder::new("readme");
    let binary = folder.path.join("origin-guard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_origin-guard"), &binary).expect("linked");
    let (said, faults) = typed(&commands, &folder);
    let granted = said.find("{\"message\":\"Access granted\"}");
    let denied = said.find("{\"error\":\"No secret provided\"}");
    assert!(granted.is_some() && granted < denied, "{said}\n{faults}");
}

#[test]
fn from_nothing_to_a_guarded_request_in_five_commands() {
    for (program, package) in [
        ("curl", "curl"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
    ] {
        if !installed(program, &format!("apt install {package}, and be root")) {
            return;
        }
    }
    let section = "## From nothing to a guarded request";
    let mut commands = page::commands("docs/keys.md", section, "$ ");
    assert_eq!(commands.len(), 5, "{commands:#?}");
    let build = commands.remove(0);
    assert!(build.starts_with("make dist && "), "{build}");
    let folder = Folder::new("five");
    let binary = folder.path.join("origin-guard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_origin-guard"), &binary).expect("linked");
    // A reader types slower than the guard starts: curl asks again until it listens.
    for command in &mut commands {
        *command = command.replace(
            "curl -i",
            "curl -i --retry 100 --retry-connrefused --retry-delay 0",
        );
    }
    let (said, faults) = typed(&commands, &folder);
    assert!(said.contains("HTTP/1.1 200"), "{said}\n{faults}");
    let granted = "{\"message\":\"Access granted\"}";
    assert!(said.contains(granted), "{said}\n{faults}");
}

#[test]
fn the_first_example_shows_a_guarded_request_that_arrives_without_its_secret() {
    for (program, package) in [
        ("curl", "curl"),
        ("unshare", "util-linux"),
        ("ip", "iproute2"),
    ] {
        if !installed(program, &format!("apt install {package}, and be root")) {
            return;
        }
    }
    let folder = Folder::new("first");
    let binary = folder.path.join("origin-guard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_origin-guard"), &binary).expect("linked");
    let mut commands = page::commands("README.md", "## Try it", "$ ");
    // A reader types slower than the two start: curl asks again until they listen.
    for command in &mut commands {
        *command = command.replace(
            "curl -s",
            "curl -s --retry 100 --retry-connrefused --retry-delay 0",
        );
    }
    let (said, faults) = typed(&commands, &folder);
    let denied = said.find("{\"error\":\"No secret provided\"}");
    let arrived = said.find("/hello");
    assert!(denied.is_some() && denied < arrived, "{said}\n{faults}");
    assert!(!said.to_lowercase().contains("x-shared-secret"), "{said}");
}

#[test]
fn the_probe_prints_what_its_page_shows() {
    for (program, package) in [("unshare", "util-linux"), ("ip", "iproute2")] {
        if !installed(program, &format!("apt install {package}, and be root")) {
            return;
        }
    }
    let folder = Folder::new("probed");
    let binary = folder.path.join("origin-guard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_origin-guard"), &binary).expect("linked");
    let (page, section) = ("docs/probe.md", "## Try it");
    let mut commands = page::commands(page, section, "$ ");
    // A reader types slower than the guard starts.
    commands.insert(2, "until grep -q listening log; do sleep 0.05; done".into());
    commands[1] = commands[1].replace(" &", " 2>log &");
    // The terminal shows both.
    let probe = commands.last_mut().expect("a command");
    assert!(probe.starts_with("origin-guard probe "), "{probe}");
    *probe += " 2>&1";
    let (said, faults) = typed(&commands, &folder);
    let shown = page::commands(page, section, "");
    let shown: Vec<_> = shown
        .iter()
        .map(String::as_str)
        .skip_while(|line| !line.starts_with("$ origin-guard probe "))
        .skip(1)
        .take_while(|line| *line != "```")
        .collect();
    assert!(shown.len() > 12, "{shown:?}");
    // Nothing in it varies: the port is one of a namespace of its own.
    assert_eq!(said.lines().collect::<Vec<_>>(), shown, "{faults}");
}

/// What the shell and its programs say on stdout and stderr where a reader types these
/// lines.
fn typed(commands: &[String], folder: &Folder) -> (String, String) {
    // Its ports and processes are in namespaces of their own, and end with the shell.
    let script = format!("ip link set lo up && {}", commands.join("\n"));
    let output = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["bash", "-c", &script])
        .current_dir(&folder.path)
        .env_clear()
        .env("HOME", &folder.path)
        .env(
            "PATH",
            format!(
                "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                folder.path.display()
            ),
        )
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
