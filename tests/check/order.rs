//! What is in order is said to be, and what `--local` and JSON are.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;

use crate::authority::{Authority, Key};
use crate::checked::{Checked, Level::*};
use crate::mistakes::sound;
use crate::support::folder::Folder;
use crate::support::{Guard, SECRET};

#[test]
fn sound_settings_are_ok() {
    let folder = Folder::new("check-order");
    let authority = Authority::new("check-order");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let tls = issued.variables();
    let backend = Guard::start();
    let backend = format!("http://{}", backend.address);
    let socket = format!("unix:{}/socket", folder.path.display());
    // A socket that a crash has left behind is replaced.
    let stale = folder.path.join("stale");
    drop(UnixListener::bind(&stale).expect("bound"));
    let stale = format!("unix:{}", stale.display());
    for variables in [
        &[][..],
        &[("LISTEN", "[::1]:0,127.0.0.1:0")],
        &[("LISTEN", &socket)],
        &[("LISTEN", &stale)],
        &[("BACKEND", &backend), ("PUBLIC_PATHS", "/healthz")],
        &[("LISTEN", "tls:127.0.0.1:0"), tls[0], tls[1]],
        &[("ADMIN_LISTEN", "127.0.0.1:0"), ("WORKERS", "1")],
    ] {
        let checked = Checked::run(sound().envs(variables.iter().copied()), &["--strict"]);
        checked.assert_is_ok();
    }
    assert!(
        !folder.path.join("socket").exists(),
        "what is bound is gone again"
    );
    assert!(folder.path.join("stale").exists(), "nothing is taken away");
}

#[test]
fn both_wildcards_of_port_443_can_be_had() {
    if !crate::support::installed("unshare", "apt install util-linux, and be root") {
        return;
    }
    let authority = Authority::new("check-both");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--net", env!("CARGO_BIN_EXE_origin-guard")])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "tls:0.0.0.0:443,tls:[::]:443")
        .envs(issued.variables());
    let checked = Checked::run(&mut command, &["--strict"]);
    checked.assert_is_ok();
}

#[test]
fn what_answers_is_said() {
    let backend = Guard::start();
    let mut command = sound();
    let output = command
        .args(["check"])
        .env("BACKEND", format!("http://{}", backend.address))
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let answer = format!(
        "note: BACKEND: {} answers 404 (origin-guard)",
        backend.address
    );
    assert!(said.lines().any(|line| line == answer), "{said}");
    assert_eq!(said.lines().last(), Some("ok"));
}

#[test]
fn local_binds_nothing_and_connects_to_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let backend = TcpListener::bind("127.0.0.1:0").expect("bound");
    backend.set_nonblocking(true).expect("set");
    let text = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();
    let variables = [
        ("LISTEN", text(&taken)),
        ("BACKEND", format!("http://{}", text(&backend))),
    ];
    let checked = Checked::run(sound().envs(variables.clone()), &["--local"]);
    checked.assert_is_ok();
    let nobody = backend.accept().expect_err("nobody");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    let checked = Checked::run(sound().env("LISTEN", text(&taken)), &[]);
    checked.assert_finds(Fault, "LISTEN", &text(&taken), "stop what listens there");
}

#[test]
fn sockets_that_it_inherits_are_in_order() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = socket.local_addr().expect("an address").to_string();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("inherited");
    // The shell passes the socket on as the third file, and its own process id.
    let line = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$GUARD\" \"$@\" 3<&\"$SOCKET\"";
    let run = |listen: &str| {
        let mut command = std::process::Command::new("bash");
        command
            .args(["-c", line, "bash"])
            .env_clear()
            .env("SOCKET", socket.as_raw_fd().to_string())
            .env("GUARD", env!("CARGO_BIN_EXE_origin-guard"))
            .env("SHARED_SECRET", SECRET)
            .env("LISTEN", listen);
        Checked::run(&mut command, &[])
    };
    let checked = run("");
    checked.assert_is_ok();
    let said = checked
        .findings()
        .iter()
        .map(|finding| finding["what"].as_str());
    let opened = format!("systemd opens {address}");
    assert!(said.flatten().any(|what| what == opened), "{checked:#?}");
    // Named in LISTEN as well, it would have to be opened twice.
    run(&address).assert_finds(Fault, "LISTEN", &address, "leave it out of LISTEN");
}

#[test]
fn the_json_has_its_documented_shape() {
    let checked = Checked::run(sound().env("WORKERS", "256"), &[]);
    let report = checked.report.as_object().expect("an object");
    let mut names: Vec<_> = report.keys().map(String::as_str).collect();
    names.sort_unstable();
    let documented = ["configuration", "faults", "findings", "result", "warnings"];
    assert_eq!(names, documented);
    assert_eq!(report["result"], "warnings");
    assert_eq!(
        (&report["faults"], &report["warnings"]),
        (&0.into(), &1.into())
    );
    let finding = checked.complaints()[0].as_object().expect("an object");
    let mut names: Vec<_> = finding.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["level", "remedy", "subject", "what"]);
    let configuration = report["configuration"].as_array().expect("a list");
    let workers = serde_json::json!({"name": "WORKERS", "value": "256"});
    assert!(configuration.contains(&workers), "{configuration:?}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(page).expect("readable");
    for name in documented
        .iter()
        .chain(&["level", "remedy", "subject", "what"])
    {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not documented"
        );
    }
}
