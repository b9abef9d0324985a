//! A check beside the guard that runs with the same variables.

use std::io::BufRead as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::checked::{Checked, Level::*};
use crate::mistakes::sound;
use crate::support::folder::{Folder, copy_program};
use crate::support::{Guard, SECRET, command, installed, skip};

/// A guard with two addresses of TCP and one of a Unix socket, and its variables.
fn running(folder: &Folder) -> (Guard, [(&'static str, String); 3]) {
    let socket = format!("unix:{}/admin.sock", folder.path.display());
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "127.0.0.1:0,127.0.0.1:0"),
        ("ADMIN_LISTEN", &socket),
    ]);
    let listen = format!("{},{}", guard.address, guard.second_address());
    let variables = [
        ("SHARED_SECRET", SECRET.to_owned()),
        ("LISTEN", listen),
        ("ADMIN_LISTEN", socket),
    ];
    (guard, variables)
}

#[test]
fn what_a_running_guard_holds_is_one_warning() {
    let folder = Folder::new("check-running");
    let (guard, variables) = running(&folder);
    // At its ADMIN_LISTEN it says that it is this one.
    let checked = Checked::run(command().envs(variables.clone()), &["--strict"]);
    checked.assert_is_ok();
    let held = format!(
        "{} and {} and unix:{}/admin.sock are this guard's own, which runs (process {})",
        guard.address,
        guard.second_address(),
        folder.path.display(),
        guard.pid()
    );
    let is_said = |finding: &serde_json::Value| {
        let what = finding["what"].as_str();
        what.is_some_and(|what| what.contains(&held))
    };
    assert!(checked.findings().iter().any(is_said), "{checked:#?}");
    let variables = variables.map(|(name, value)| match name {
        "ADMIN_LISTEN" => (name, String::new()),
        _ => (name, value),
    });
    let checked = Checked::run(command().envs(variables.clone()), &[]);
    let held = format!(
        "{} and {} are held by a running origin-guard (process {}): in order if that is this one",
        guard.address,
        guard.second_address(),
        guard.pid()
    );
    checked.assert_finds(Warning, "LISTEN", &held, "origin-guard check --local");
    assert_eq!(checked.complaints().len(), 1, "{:#?}", checked.findings());
    // What it advises is in order.
    Checked::run(command().envs(variables), &["--local"]).assert_is_ok();

    // To start is another matter.
    let one = sound().env("LISTEN", guard.address.to_string()).output();
    let said = String::from_utf8(one.expect("runs").stderr).expect("UTF-8");
    assert!(said.contains("in use"), "it does not start beside: {said}");
}

#[test]
fn who_is_not_root_recognises_a_guard_of_its_own() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let as_nobody = || as_user("65534", &[]);
    let folder = Folder::new("check-running-nobody");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder.path, open).expect("set");
    let socket = format!("unix:{}/guard.sock", folder.path.display());
    let guard = Guard::spawn(
        as_nobody()
            .env("LISTEN", "127.0.0.1:0")
            .env("ADMIN_LISTEN", &socket),
    );
    let variables = [
        ("LISTEN", guard.address.to_string()),
        ("ADMIN_LISTEN", socket.clone()),
    ];
    // With its ADMIN_LISTEN it is known to be this one.
    let checked = Checked::run(as_nobody().envs(variables.clone()), &["--strict"]);
    checked.assert_is_ok();
    let both = format!("{},{socket}", guard.address);
    let checked = Checked::run(as_nobody().env("LISTEN", both), &[]);
    // Without it another program of that user's could hold them.
    assert_names_no_holder(&checked, "LISTEN", "held by a program of user nobody");
    assert_eq!(checked.complaints().len(), 1, "{:#?}", checked.findings());
}

/// Asserts a warning that says of whom `what` is, and names no process on a guess.
fn assert_names_no_holder(checked: &Checked, variable: &str, what: &str) {
    checked.assert_finds(Warning, variable, what, "run check as root");
    for finding in checked.complaints() {
        let said = format!("{}{}", finding["what"], finding["remedy"]);
        assert!(
            !said.contains("process") && !said.contains("stop "),
            "{said}"
        );
    }
}

#[test]
fn root_is_told_as_whom_a_guard_runs() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let folder = Folder::new("check-running-root");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder.path, open).expect("set");
    let socket = format!("unix:{}/guard.sock", folder.path.display());
    for admin in ["127.0.0.1:0", &socket] {
        let guard = Guard::spawn(
            as_user("65534", &[])
                .env("LISTEN", "127.0.0.1:0,127.0.0.1:0")
                .env("ADMIN_LISTEN", admin),
        );
        let listen = format!("{},{}", guard.address, guard.second_address());
        let admin = match admin {
            "127.0.0.1:0" => guard.address_of(2).to_string(),
            path => path.to_owned(),
        };
        let variables = [("LISTEN", listen), ("ADMIN_LISTEN", admin)];
        let check = |options| {
            let mut command = command();
            command.env("SHARED_SECRET", SECRET);
            Checked::run(command.envs(variables.clone()), options)
        };
        let checked = check(&[]);
        let held = format!(
            "(process {}) of user nobody: in order if that is the guard, which runs as that user",
            guard.pid()
        );
        checked.assert_finds(Warning, "LISTEN", &held, "else stop it");
        assert_eq!(checked.complaints().len(), 1, "{:#?}", checked.findings());
        assert_eq!(check(&["--strict"]).status, Some(1));
    }
}

#[test]
fn another_guard_s_operator_s_address_is_a_warning() {
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "127.0.0.1:0"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let free = TcpListener::bind("127.0.0.1:0").expect("bound");
    let listen = free.local_addr().expect("an address").to_string();
    drop(free);
    let admin = guard.second_address().to_string();
    let check = |name, address: &str| {
        let mut command = command();
        let variables = [("SHARED_SECRET", SECRET), ("ADMIN_LISTEN", &admin)];
        Checked::run(command.envs(variables).env(name, address), &[])
    };
    let another = format!(
        "{admin} is held by a guard, process {}, that listens elsewhere, at {}",
        guard.pid(),
        guard.address
    );
    let checked = check("LISTEN", &listen);
    checked.assert_finds(Warning, "ADMIN_LISTEN", &another, "needs another address");
    assert_eq!(checked.complaints().len(), 1, "{:#?}", checked.findings());
    // It is this one where one address of several is new.
    let own = guard.address.to_string();
    for more in [format!("{own},{listen}"), own] {
        check("LISTEN", &more).assert_is_ok();
    }
}

#[test]
fn what_a_stranger_holds_is_no_guard_s() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux")
        || !installed("python3", "apt install python3")
    {
        return;
    }
    let program = "\
import socket, sys
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
";
    let mut stranger = Command::new("setpriv")
        .args(["--reuid", "65530", "--regid", "65530", "--clear-groups"])
        .args(["python3", "-c", program])
        // One of another folder may be root's alone.
        .env("PATH", "/usr/bin:/bin")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut port = String::new();
    std::io::BufReader::new(stranger.stdout.take().expect("piped"))
        .read_line(&mut port)
        .expect("a port");
    let check = |listen: &str| Checked::run(as_user("65529", &[]).env("LISTEN", listen), &[]);
    // Guards of others say nothing of it.
    let guard = Guard::start();
    let checked = check(&format!("127.0.0.1:{}", port.trim()));
    drop(stranger.stdin.take());
    stranger.wait().expect("ended");
    checked.assert_finds(
        Fault,
        "LISTEN",
        "by a program of user 65530",
        "stop what listens there",
    );
    // Root has both a guard and this test.
    let roots = TcpListener::bind("127.0.0.1:0").expect("bound");
    let checked = check(&roots.local_addr().expect("an address").to_string());
    assert_names_no_holder(&checked, "LISTEN", "held by a program of user root");
    drop(guard);
}

/// The program as a user that is not root, in what `before` sets up.
fn as_user(user: &str, before: &[&str]) -> Command {
    let ids = ["setpriv", "--reuid", user, "--regid", user];
    // A change of the user takes back what unshare(1) sets, so that it would outlive that.
    let rest = ["--clear-groups", "--pdeathsig", "keep"];
    let mut words = [before, &ids, &rest].concat().into_iter();
    let mut command = Command::new(words.next().expect("one"));
    command
        .args(words)
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SHARED_SECRET", SECRET);
    command
}

#[test]
fn who_is_not_root_tells_several_guards_apart_by_what_they_say() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let user = "65533";
    let folder = Folder::new("check-running-several");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder.path, open).expect("set");
    let start = |admin: &str, before: &[&str]| {
        Guard::spawn(
            as_user(user, before)
                .env("LISTEN", "127.0.0.1:0")
                .env("ADMIN_LISTEN", admin),
        )
    };
    let socket = format!("unix:{}/guard.sock", folder.path.display());
    let (one, other) = (start("127.0.0.1:0", &[]), start(&socket, &[]));
    let check = |listen: String, admin: &str| {
        let variables = [("LISTEN", listen), ("ADMIN_LISTEN", admin.to_owned())];
        Checked::run(as_user(user, &[]).envs(variables), &[])
    };
    let listen = |guard: &Guard| guard.address.to_string();
    let admin = one.second_address().to_string();
    for (guard, admin) in [(&one, &*admin), (&other, &*socket)] {
        let checked = check(listen(guard), admin);
        checked.assert_is_ok();
        let own = format!(
            "{} and {admin} are this guard's own, which runs (process {})",
            guard.address,
            guard.pid()
        );
        let findings = checked.findings();
        let mut what = findings.iter().filter_map(|found| found["what"].as_str());
        assert!(what.any(|what| what.contains(&own)), "{own}: {findings:#?}");
    }
    // Another guard's LISTEN is not in order because this one's ADMIN_LISTEN is.
    for (guard, admin) in [(&other, &*admin), (&one, &*socket)] {
        let checked = check(listen(guard), admin);
        let another = format!("{admin} is held by a guard");
        checked.assert_finds(Warning, "ADMIN_LISTEN", &another, "needs another address");
        let complaints = checked.complaints();
        assert_eq!(complaints.len(), 2, "{complaints:#?}");
        assert!(
            complaints.iter().any(|found| found["subject"] == "LISTEN"),
            "{complaints:#?}"
        );
    }
    // Without one nothing tells which of them it is.
    let checked = check(listen(&one), "");
    assert_names_no_holder(&checked, "LISTEN", "held by a program of user 65533");

    // In a namespace of its own a guard has another number, which says nothing here.
    if !installed("unshare", "apt install util-linux") {
        return;
    }
    let apart = ["unshare", "--pid", "--fork", "--kill-child"];
    let hidden = format!("unix:{}/hidden.sock", folder.path.display());
    let contained = start(&hidden, &apart);
    let checked = check(listen(&contained), &hidden);
    for (variable, address) in [("LISTEN", &listen(&contained)), ("ADMIN_LISTEN", &hidden)] {
        let complaints = checked.complaints();
        let mut said = complaints.iter().filter_map(|found| found["what"].as_str());
        assert!(
            said.any(|what| what.contains(address.as_str())),
            "{variable}: {complaints:#?}"
        );
    }
}

#[test]
fn a_stranger_s_word_puts_nothing_in_order() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux")
        || !installed("python3", "apt install python3")
    {
        return;
    }
    let user = "65532";
    let start = || Guard::spawn(as_user(user, &[]).env("LISTEN", "127.0.0.1:0"));
    let (one, other) = (start(), start());
    // It says that it is that guard.
    let said = format!(
        r#"{{"secrets": {{}}, "ok": true, "pid": {}, "listeners": ["{}"]}}"#,
        one.pid(),
        one.address
    );
    let program = "\
import socket, sys
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    client.recv(4096)
    body = sys.argv[1].encode()
    client.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
    client.close()
";
    let mut liar = Command::new("setpriv")
        .args(["--reuid", "65531", "--regid", "65531", "--clear-groups"])
        .args(["python3", "-c", program, &said])
        // One of another folder may be root's alone.
        .env("PATH", "/usr/bin:/bin")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut port = String::new();
    std::io::BufReader::new(liar.stdout.take().expect("piped"))
        .read_line(&mut port)
        .expect("a port");
    let admin = format!("127.0.0.1:{}", port.trim());
    let checked = Checked::run(
        as_user(user, &[])
            .env("LISTEN", one.address.to_string())
            .env("ADMIN_LISTEN", &admin),
        &[],
    );
    liar.kill().expect("killed");
    liar.wait().expect("ended");
    checked.assert_finds(Fault, "ADMIN_LISTEN", &admin, "stop what listens there");
    let complaints = checked.complaints();
    let mut of_listen = complaints
        .iter()
        .filter(|found| found["subject"] == "LISTEN");
    assert!(
        of_listen.any(|found| found["level"] == "warning"),
        "{complaints:#?}"
    );
    drop(other);
}

#[test]
fn a_part_of_all_addresses_that_another_holds_stays_a_fault() {
    // What begins to listen last is found first.
    let other = TcpListener::bind("127.0.0.2:0").expect("bound");
    let port = other.local_addr().expect("an address").port();
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("LISTEN", &format!("127.0.0.1:{port}")),
    ]);
    let checked = Checked::run(sound().env("LISTEN", format!("0.0.0.0:{port}")), &[]);
    checked.assert_finds(Fault, "LISTEN", "in use", "stop what listens there");
    drop(other);
    let checked = Checked::run(sound().env("LISTEN", format!("0.0.0.0:{port}")), &[]);
    let held = format!(
        "127.0.0.1:{port} (a part of 0.0.0.0:{port}) is held by a running origin-guard (process {})",
        guard.pid()
    );
    checked.assert_finds(Warning, "LISTEN", &held, "--local");
}

#[test]
fn a_guard_in_a_file_of_another_name_is_recognised() {
    let folder = Folder::new("check-running-named");
    let program = folder.path.join("origin-guard-0.1.0");
    copy_program(env!("CARGO_BIN_EXE_origin-guard"), &program);
    let link = folder.path.join("og");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_origin-guard"), &link).expect("made");
    for program in [program, link] {
        let guard = Guard::spawn(
            Command::new(program)
                .env_clear()
                .env("SHARED_SECRET", SECRET)
                .env("LISTEN", "127.0.0.1:0"),
        );
        let listen = guard.address.to_string();
        let checked = Checked::run(sound().env("LISTEN", listen), &[]);
        let held = format!("held by a running origin-guard (process {})", guard.pid());
        checked.assert_finds(Warning, "LISTEN", &held, "--local");
    }
}

#[test]
fn what_another_program_holds_stays_a_fault() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    let checked = Checked::run(sound().env("LISTEN", &address), &[]);
    let own = format!("(process {})", std::process::id());
    checked.assert_finds(Fault, "LISTEN", &own, "stop what listens there");
}

#[test]
fn a_socket_s_name_with_a_line_break_makes_no_guard_of_a_stranger() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("python3", "apt install python3") {
        return;
    }
    let folder = Folder::new("forged");
    let guard = Guard::start();
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", guard.pid())).expect("root");
    let inode = sockets
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .find_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.strip_suffix(']')?.to_owned())
        })
        .expect("a socket");
    let path = folder.path.join("s");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder.path, open).expect("set");
    // The table of sockets shows each name in two lines, and the second one tells of the
    // guard's socket. Their order is that of their inodes.
    let script = folder.write(
        "forge.py",
        "import os, socket, sys\n\
         path, inode = sys.argv[1:]\n\
         os.setgid(65534)\n\
         os.setuid(65534)\n\
         real = socket.socket(socket.AF_UNIX)\n\
         real.bind(path)\n\
         real.listen()\n\
         os.chdir(os.path.dirname(path))\n\
         forged = [socket.socket(socket.AF_UNIX) for _ in range(64)]\n\
         for number, one in enumerate(forged):\n\
         \u{20}name = f'{number}\\n0: 00000002 00000000 00010000 0001 01 {inode} {path}'\n\
         \u{20}os.makedirs(os.path.dirname(name))\n\
         \u{20}one.bind(name)\n\
         print('bound', flush=True)\n\
         sys.stdin.read()\n",
    );
    let mut stranger = Command::new("/usr/bin/python3")
        .args([&script, &path])
        .arg(&inode)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    let mut bound = [0; 6];
    let mut said = stranger.stdout.take().expect("piped");
    std::io::Read::read_exact(&mut said, &mut bound).expect("bound");
    let listen = format!("unix:{}", path.display());
    let checked = Checked::run(sound().env("LISTEN", &listen), &[]);
    drop(stranger.stdin.take());
    stranger.wait().expect("ends");
    checked.assert_finds(Fault, "LISTEN", "address in use", "stop what listens there");
}
