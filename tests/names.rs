//! Names of backends, resolved in a root that holds /etc/hosts and /etc/resolv.conf alone.

#[path = "names/network.rs"]
mod network;
#[path = "names/server.rs"]
mod server;
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use network::Network;
use server::{Says, Zone};
use support::folder::{Folder, copy_program};
use support::metrics::wait_for;
use support::{Guard, SECRET, granted_request, installed};

const BINARY: &str = env!("CARGO_BIN_EXE_origin-guard");

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect()
}

/// The binary and what a dynamic one is loaded with; no module of the resolver's among it.
fn root(name: &str, hosts: &str, resolv_conf: &str) -> Folder {
    let root = Folder::new(name);
    let copy = |from: &Path, to: &str| {
        let to = root.path.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        copy_program(from, to);
    };
    copy(Path::new(BINARY), "origin-guard");
    let libraries = Command::new("ldd").arg(BINARY).output().expect("ldd");
    let libraries = String::from_utf8(libraries.stdout).expect("UTF-8");
    let paths = libraries.split_whitespace();
    for path in paths.filter(|word| word.starts_with('/')) {
        copy(&PathBuf::from(path), path);
    }
    fs::create_dir(root.path.join("etc")).expect("made");
    fs::write(root.path.join("etc/hosts"), hosts).expect("written");
    fs::write(root.path.join("etc/resolv.conf"), resolv_conf).expect("written");
    root
}

fn start(network: &Network, root: &Folder, backends: &str) -> Guard {
    network.within(|| {
        let mut command = Command::new("chroot");
        command
            .arg(&root.path)
            .arg("/origin-guard")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LISTEN", "127.0.0.1:0")
            .env("ADMIN_LISTEN", "127.0.0.1:0")
            .env("SHARED_SECRET", SECRET)
            .env("BACKEND", backends);
        Guard::spawn(&mut command)
    })
}

fn zone(names: &[(&str, Says)]) -> Zone {
    let zone = Zone::default();
    let entries = names
        .iter()
        .map(|(name, says)| ((*name).to_owned(), says.clone()));
    zone.lock().expect("the zone").extend(entries);
    zone
}

#[test]
fn an_empty_root_suffices() {
    if !installed("chroot", "apt install coreutils") {
        return;
    }
    let Some(network) = Network::new() else {
        return;
    };
    let root = root(
        "names-all",
        "127.0.0.1 localhost\n127.0.0.9 by-hosts # the backend\n",
        // Nothing listens at the first one.
        "nameserver 127.0.0.2\nnameserver 127.0.0.3\nsearch corp.test\n\
         options timeout:1 attempts:1\n",
    );
    let many: Vec<_> = (1..=100)
        .map(|last| IpAddr::from([127, 0, 1, last]))
        .collect();
    let zone = zone(&[
        (
            "app.corp.test",
            Says::Addresses(ips(&["127.0.0.10", "::1"])),
        ),
        ("big.example", Says::OverTcp(many)),
    ]);
    network.within(|| server::serve(Ipv4Addr::new(127, 0, 0, 3), &zone));
    let guard = start(
        &network,
        &root,
        "http://by-hosts:3001,http://app:3002,http://big.example:3003,http://late.test:3004,\
         http://localhost:3005",
    );
    let resolved = |name: &str, addresses: &str| {
        let expected = format!("backend_resolved backend={name} addresses={addresses}");
        guard.wait_for_log(|line| line.contains(&expected));
    };
    resolved("by-hosts:3001", "127.0.0.9:3001");
    resolved("app:3002", "127.0.0.10:3002,[::1]:3002");
    resolved("big.example:3003", "127.0.1.1:3003,127.0.1.2:3003,");
    resolved("localhost:3005", "127.0.0.1:3005");
    guard.wait_for_log(|line| {
        line.contains("backend_unresolved backend=late.test:3004 in_use=none")
    });

    // While one is not resolved, all are asked for more often.
    let tell = |name: &str, says: Says| {
        zone.lock().expect("the zone").insert(name.to_owned(), says);
    };
    tell("app.corp.test", Says::Failure);
    let line = guard
        .wait_for_log(|line| line.contains("backend_unresolved backend=app:3002 in_use=earlier"));
    let reason = "reason=\"the name server answered SERVFAIL (it could not find out: ";
    assert!(line.contains(reason), "{line}");
    tell("app.corp.test", Says::Addresses(ips(&["127.0.0.11"])));
    resolved("app:3002", "127.0.0.11:3002");
    tell("late.test", Says::Addresses(ips(&["127.0.0.12"])));
    resolved("late.test:3004", "127.0.0.12:3004");
}

#[test]
fn a_name_that_leads_to_the_guard_itself_is_a_fault() {
    if !installed("chroot", "apt install coreutils") {
        return;
    }
    let Some(network) = Network::new() else {
        return;
    };
    let root = root(
        "names-itself",
        "127.0.1.1 by-hosts\n",
        "nameserver 127.0.0.3\noptions timeout:1 attempts:1\n",
    );
    let zone = zone(&[(
        "app.test",
        Says::Addresses(ips(&["127.0.0.9", "127.0.0.1"])),
    )]);
    network.within(|| server::serve(Ipv4Addr::new(127, 0, 0, 3), &zone));
    let run = |arguments: &[&str], name: &str| {
        let output = network.within(|| {
            Command::new("chroot")
                .arg(&root.path)
                .arg("/origin-guard")
                .args(arguments)
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .env("LISTEN", "127.0.0.1:3001,127.0.1.1:3001")
                .env("SHARED_SECRET", SECRET)
                .env("BACKEND", format!("http://{name}:3001"))
                .output()
                .expect("runs")
        });
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let fault = format!("BACKEND: {name}:3001 is the guard itself, which listens on 127.0.");
        assert_eq!(said.matches(&fault).count(), 1, "{said}");
        assert_eq!(output.status.code(), Some(78), "{said}");
    };
    // What /etc/hosts says is known at the start, and what a server says to check alone: the
    // start does not wait for one.
    run(&[], "by-hosts");
    run(&["check", "--local"], "by-hosts");
    run(&["check"], "by-hosts");
    run(&["check"], "app.test");
}

#[test]
fn a_name_is_a_502_until_it_resolves_and_each_address_is_tried() {
    if !installed("chroot", "apt install coreutils") {
        return;
    }
    let Some(network) = Network::new() else {
        return;
    };
    let root = root(
        "names-late",
        "",
        "nameserver 127.0.0.3\noptions timeout:1 attempts:1\n",
    );
    let zone = zone(&[]);
    network.within(|| {
        server::serve(Ipv4Addr::new(127, 0, 0, 3), &zone);
        let backend = TcpListener::bind("[::1]:3001").expect("bound");
        std::thread::spawn(move || {
            for mut stream in backend.incoming().map_while(Result::ok) {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).expect("a request");
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup";
                stream.write_all(answer).expect("sent");
            }
        });
    });
    let guard = start(&network, &root, "http://app.test:3001");
    let ask = || network.within(|| guard.ask(granted_request()));
    assert_eq!(ask().status, 502);
    let counted = "backend_failures_total{backend=\"app.test:3001\",reason=\"unresolved\"} 1";
    network.within(|| wait_for(guard.second_address(), &[counted.to_owned()]));
    // Nothing listens at the first two.
    let addresses = ips(&["127.0.0.8", "127.0.0.9", "::1"]);
    let says = Says::Addresses(addresses);
    zone.lock()
        .expect("the zone")
        .insert("app.test".to_owned(), says);
    guard.wait_for_log(|line| line.contains("backend_resolved backend=app.test:3001"));
    let answer = ask();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"up"[..]));
}

#[test]
fn localhost_needs_no_file_and_no_server() {
    if !installed("chroot", "apt install coreutils") {
        return;
    }
    let Some(network) = Network::new() else {
        return;
    };
    let root = root("names-none", "", "");
    let guard = start(
        &network,
        &root,
        "http://localhost:3001,http://app.localhost:3002",
    );
    for line in [
        "backend=localhost:3001 addresses=127.0.0.1:3001,[::1]:3001",
        "backend=app.localhost:3002 addresses=127.0.0.1:3002,[::1]:3002",
    ] {
        guard.wait_for_log(|logged| logged.contains(line));
    }
}

#[test]
fn the_binary_has_no_getaddrinfo() {
    let binary = fs::read(BINARY).expect("readable");
    let holds = |name: &[u8]| binary.windows(name.len()).any(|window| window == name);
    assert!(!holds(b"getaddrinfo") && !holds(b"gethostbyname"));
    // The search finds what is there.
    assert!(holds(b"connect"));
}
