//! What the README has a newcomer type, from nothing to a request through both halves.

mod support;

use std::process::{Command, Stdio};

use support::folder::Folder;
use support::{installed, readme};

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
    let mut commands = readme::commands("## Be the gateway", "$ ");
    assert!(commands.len() <= 8, "{commands:#?}");
    // What is tried is the binary of this test, where the first command puts one.
    let build = commands.remove(0);
    assert!(build.starts_with("make dist && "), "{build}");
    let folder = Folder::new("readme");
    let binary = folder.path.join("origin-guard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_origin-guard"), &binary).expect("linked");
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
    let said = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    let granted = said.find("{\"message\":\"Access granted\"}");
    let denied = said.find("{\"error\":\"No secret provided\"}");
    assert!(granted.is_some() && granted < denied, "{said}\n{faults}");
}
