//! The package for Debian, the image, the list of parts and the crate, made by the Makefile
//! and used as their users do.

#[allow(dead_code, reason = "tests/systemd.rs uses all of it")]
#[path = "systemd/load.rs"]
mod load;
#[allow(dead_code, reason = "tests/systemd.rs uses all of it")]
#[path = "systemd/machine.rs"]
mod machine;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Instant;

use load::Load;
use machine::Machine;
use support::folder::Folder;
use support::{PATIENCE, SECRET, installed};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const SECRET_FILE: &str = "/etc/origin-guard/shared-secret";

/// A command of this machine, without what the build of this test has set.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(PROJECT)
        .env_remove("MAKEFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .env("BUILDAH_FLAGS", "--storage-driver vfs");
    command
}

fn succeeds(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("starts");
    assert!(
        status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("UTF-8")
}

/// What `make dist` makes.
fn dist() -> &'static Path {
    static DIST: OnceLock<PathBuf> = OnceLock::new();
    DIST.get_or_init(|| {
        succeeds(command("make").args(["--silent", "dist"]));
        Path::new(PROJECT).join("target/dist/origin-guard")
    })
}

/// A folder that no other test has.
fn own_folder() -> Folder {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    Folder::new(&format!("packages-{}", NUMBER.fetch_add(1, SeqCst)))
}

/// The package of this version, or of another one with the same binary.
fn deb(version: &str, folder: &Folder) -> PathBuf {
    let said = succeeds(
        command("src/deploy/deb/build")
            .arg(dist())
            .arg(version)
            .arg(&folder.path),
    );
    PathBuf::from(said.trim())
}

#[test]
fn lintian_finds_nothing_in_the_package() {
    if !installed("lintian", "apt install lintian") {
        return;
    }
    let folder = own_folder();
    let package = deb(VERSION, &folder);
    let said = succeeds(
        command("lintian")
            .args([
                "--no-cfg",
                "--allow-root",
                "--pedantic",
                "--fail-on=error,warning,pedantic",
            ])
            .arg(&package),
    );
    assert_eq!(said.trim(), "");
    // The same sources give the same package.
    let other = own_folder();
    assert!(fs::read(&package).expect("a package") == fs::read(deb(VERSION, &other)).expect("one"));
}

/// Puts a file into the machine.
fn copy(machine: &Machine, from: &Path) -> String {
    let inside = format!("/root/{}", from.file_name().expect("a name").display());
    fs::copy(from, machine.path(&inside)).expect("copied");
    inside
}

/// The package of this version and of a later one, in the machine.
fn packages(machine: &Machine) -> [String; 2] {
    let folder = own_folder();
    [VERSION, "99.0.0"].map(|version| copy(machine, &deb(version, &folder)))
}

/// As README.Debian has it, but for the editor.
fn set_up(machine: &Machine) {
    machine.sh(&format!(
        "umask 077; origin-guard keygen >{SECRET_FILE}; echo {SECRET} >{SECRET_FILE}"
    ));
    machine.sh("systemctl enable --now origin-guard.socket origin-guard.service");
}

#[test]
fn an_upgrade_under_load_refuses_no_request() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    let [old, new] = packages(&machine);
    machine.sh(&format!("dpkg -i {old}"));
    // Nothing is started while there is no secret.
    assert!(
        !machine
            .try_sh("systemctl is-active origin-guard.socket")
            .status
            .success()
    );
    set_up(&machine);
    let load = Load::start(&machine, 8, SECRET);
    let mut pids = vec![machine.show("MainPID")];
    for package in [&new, &old, &new] {
        machine.sh(&format!("dpkg -i {package}"));
        load.some_more();
        pids.push(machine.show("MainPID"));
    }
    let report = load.stop();
    assert_eq!(report.lost, Vec::<String>::new());
    pids.dedup();
    assert_eq!(pids.len(), 4, "each upgrade starts the new program");
    support::say(&format!(
        "3 upgrades, {} requests, {} asked again on a new connection, none lost",
        report.answered, report.retried
    ));
}

#[test]
fn what_an_operator_wrote_survives_upgrade_and_removal() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    let [old, new] = packages(&machine);
    machine.sh(&format!("dpkg -i {old}"));
    set_up(&machine);
    let settings = "/etc/origin-guard/environment";
    machine.sh(&format!("echo SECRET_HEADER=X-Mine >>{settings}"));
    machine.sh(&format!(
        "systemctl restart origin-guard && dpkg --force-confdef -i {new}"
    ));
    let pid = machine.show("MainPID");
    let environment = machine.sh(&format!("tr '\\0' '\\n' </proc/{pid}/environ"));
    assert!(
        environment.contains("SECRET_HEADER=X-Mine"),
        "{environment}"
    );

    machine.sh("dpkg --remove origin-guard");
    assert_eq!(machine.show("LoadState"), "not-found");
    assert!(
        !machine
            .try_sh("systemctl is-active origin-guard.socket")
            .status
            .success()
    );
    machine.sh(&format!(
        "test -e {settings} && ! test -e /usr/bin/origin-guard"
    ));

    machine.sh("dpkg --purge origin-guard");
    // The secret is the operator's; nothing else is left.
    assert_eq!(machine.sh("ls /etc/origin-guard").trim(), "shared-secret");
    let left = machine.sh(
        "find /etc/systemd /usr/lib/systemd /usr/share /var/lib/systemd -name '*origin-guard*'",
    );
    assert_eq!(left, "");
}

/// A container that ends with the test.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman()
            .args(["rm", "--force", "--time", "0", &self.0])
            .output();
    }
}

fn podman() -> Command {
    let mut podman = command("podman");
    podman.args([
        "--storage-driver",
        "vfs",
        "--cgroup-manager",
        "cgroupfs",
        "--runtime",
        "runc",
    ]);
    podman
}

/// What this kind of container needs here: limits that may be set, and no filter of calls.
const UNCONFINED: [&str; 3] = [
    "--security-opt=seccomp=unconfined",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1000:1000",
];

/// The image's name, once it is built and loaded. `None`, with a visible line, where this
/// cannot be had.
fn image() -> Option<String> {
    static IMAGE: OnceLock<Option<String>> = OnceLock::new();
    let build = || {
        for program in ["buildah", "podman", "runc"] {
            if !installed(program, &format!("apt install {program}, and be root")) {
                return None;
            }
        }
        let folder = Folder::new("image");
        let mut build = command("src/deploy/image/build");
        let said = succeeds(build.arg(dist()).arg(VERSION).arg(&folder.path));
        let loaded = succeeds(podman().args(["load", "--quiet", "--input", said.trim()]));
        let image = format!("origin-guard:{VERSION}");
        assert!(loaded.contains(&image), "{loaded}");
        Some(image)
    };
    IMAGE.get_or_init(build).clone()
}

/// As any user, on a root that nobody can write to, without capabilities.
#[test]
fn the_image_serves_as_any_user_on_a_root_that_is_read_only() {
    let Some(image) = image() else { return };
    let name = format!("origin-guard-{}", std::process::id());
    let mut running = podman()
        .args(["run", "--name", &name, "--read-only", "--cap-drop=all"])
        .args(["--user=12345:6789", "--network=host"])
        .args(UNCONFINED)
        .args(["--env", &format!("SHARED_SECRET={SECRET}")])
        .args(["--env=LISTEN=127.0.0.1:0", "--env=ADMIN_LISTEN=127.0.0.1:0"])
        .arg(image)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("podman");
    let container = Container(name);
    let lines = BufReader::new(running.stderr.take().expect("piped")).lines();
    let address = lines
        .map(|line| line.expect("UTF-8"))
        .find_map(|line| Some(line.split_once(" listening address=")?.1.to_owned()))
        .expect("an address");
    let answer = succeeds(command("curl").args(["-s", "-H"]).args([
        format!("X-Shared-Secret: {SECRET}"),
        format!("http://{}/protected", address.trim()),
    ]));
    assert!(answer.contains("Access granted"), "{answer}");
    drop(container);
    running.wait().expect("its own child");
}

/// `HEALTHCHECK`, at the address that the image sets.
#[test]
fn the_image_checks_its_own_health() {
    let Some(image) = image() else { return };
    let start = |name: &str, admin: &[&str]| {
        let name = format!("origin-guard-{name}-{}", std::process::id());
        succeeds(
            podman()
                .args([
                    "run",
                    "--detach",
                    "--name",
                    &name,
                    "--network=none",
                    "--read-only",
                ])
                .args(UNCONFINED)
                .args(["--env", &format!("SHARED_SECRET={SECRET}")])
                .args(admin)
                .arg(&image),
        );
        Container(name)
    };
    let check = |container: &Container| {
        let output = podman().args(["healthcheck", "run", &container.0]).output();
        output.expect("podman").status.success()
    };
    let well = start("well", &[]);
    let since = Instant::now();
    while !check(&well) {
        assert!(since.elapsed() < PATIENCE, "it is not healthy");
    }
    // It is asked where nobody listens.
    let unwell = start("unwell", &["--env=ADMIN_LISTEN="]);
    assert!(!check(&unwell));
}

#[test]
fn the_list_of_parts_names_every_crate() {
    let folder = Folder::new("sbom");
    succeeds(
        command("make")
            .args(["--silent", "sbom"])
            .arg(format!("ARTIFACTS={}", folder.path.display())),
    );
    let file = folder.path.join(format!("origin-guard-{VERSION}.cdx.json"));
    let list: serde_json::Value =
        serde_json::from_slice(&fs::read(file).expect("a list")).expect("JSON");
    let parts: Vec<_> = list["components"]
        .as_array()
        .expect("parts")
        .iter()
        .collect();
    let tree =
        succeeds(command("cargo").args(["tree", "--locked", "-e", "normal", "--prefix=none"]));
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (name, version) = (
            words.next().expect("a name"),
            words.next().expect("a version"),
        );
        let is_there = parts.iter().any(|part| {
            part["name"] == name && part["version"].as_str() == version.strip_prefix('v')
        });
        assert!(
            is_there || name == "origin-guard",
            "{name} {version} is not in the list"
        );
    }
}

/// `cargo install` builds from what `cargo package` packs.
#[test]
fn the_crate_builds_from_what_is_packed() {
    succeeds(command("cargo").args(["package", "--locked", "--allow-dirty", "--no-verify"]));
    let folder = Folder::new("crate");
    let crate_file = format!("target/package/origin-guard-{VERSION}.crate");
    succeeds(
        command("tar")
            .args(["-xzf", &crate_file, "-C"])
            .arg(&folder.path),
    );
    let source = folder.path.join(format!("origin-guard-{VERSION}"));
    for name in [
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "Cargo.lock",
    ] {
        assert!(source.join(name).is_file(), "{name}");
    }
    succeeds(
        command("cargo")
            .args(["check", "--locked", "--bins", "--manifest-path"])
            .arg(source.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(Path::new(PROJECT).join("target/crate")),
    );
}
