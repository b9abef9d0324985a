//! `ALLOW_FROM` and `ALLOW_FROM_FILE`: other peers are denied before anything is read.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "tls/authority.rs"]
mod authority;
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use authority::{Authority, Key};
use rustix::net::{AddressFamily, SocketType};
use support::folder::Folder;
use support::health;
use support::metrics::{metrics, wait_for};
use support::{Answer, Guard, PATIENCE, SECRET, command, complaints, granted_request, installed};

const FORBIDDEN: &[u8] = br#"{"error":"Forbidden"}"#;

fn guard(variables: &[(&str, &str)]) -> Guard {
    Guard::with(&[&[("SHARED_SECRET", SECRET)], variables].concat())
}

/// A connection that comes from `source`, an address of loopback.
fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
    let socket = socket.expect("a socket");
    rustix::net::bind(&socket, &SocketAddr::from((source, 0))).expect("bound");
    rustix::net::connect(&socket, &to).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn ask(stream: &mut TcpStream) -> u16 {
    stream
        .write_all(granted_request().as_bytes())
        .expect("sent");
    Answer::read(stream, false).expect("an answer").status
}

/// All that comes until the end, be it a reset.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn another_peer_is_told_so_before_it_says_anything() {
    let guard = guard(&[
        ("ALLOW_FROM", "192.0.2.0/24, 127.0.0.2"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let mut silent = guard.connect();
    let answer = Answer::read(&mut silent, false).expect("an answer");
    assert_eq!((answer.status, &answer.body[..]), (403, FORBIDDEN));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("connection"), Some("close"));
    // The right secret helps nobody.
    assert_eq!(ask(&mut guard.connect()), 403);
    assert_eq!(ask(&mut connect_from([127, 0, 0, 2], guard.address)), 200);
    let line = guard.wait_for_log(|line| line.starts_with("denied "));
    assert_eq!(line, "denied reason=not_allowed peer=127.0.0.1");
    // Whoever watches is not the gateway.
    let counted = r#"origin_guard_connections_closed_total{reason="not_allowed"} "#;
    let deadline = Instant::now() + PATIENCE;
    drop(silent);
    while !metrics(guard.second_address()).contains(&format!("{counted}2\n")) {
        assert!(
            Instant::now() < deadline,
            "{}",
            metrics(guard.second_address())
        );
    }
}

#[test]
fn what_it_sends_all_the_same_does_not_reset_the_answer() {
    let guard = guard(&[("ALLOW_FROM", "192.0.2.1")]);
    let mut stream = guard.connect();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    for _ in 0..40 {
        stream.write_all(&vec![b'x'; 100_000]).expect("read off");
    }
    let bytes = rest(&mut stream);
    assert!(bytes.starts_with(b"HTTP/1.1 403 ") && bytes.ends_with(FORBIDDEN));
}

#[test]
fn tls_is_closed_before_the_handshake() {
    if !installed("openssl", "apt install openssl") {
        return;
    }
    let authority = Authority::new("allow");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let listen = "tls:127.0.0.1:0,redirect:127.0.0.1:0";
    let own = [("LISTEN", listen), ("ALLOW_FROM", "192.0.2.1")];
    let guard = guard(&[&own[..], &issued.variables()].concat());
    for hello in [&b""[..], b"\x16\x03\x01\x00\x05hello"] {
        let mut stream = guard.connect();
        let _ = stream.write_all(hello);
        assert_eq!(rest(&mut stream), b"");
    }
    guard.wait_for_log(|line| line == "denied reason=not_allowed peer=127.0.0.1");
    // Those who are sent to https, and ACME's validators, come from anywhere.
    let mut redirect = TcpStream::connect(guard.second_address()).expect("connects");
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    redirect.write_all(request.as_bytes()).expect("sent");
    let answer = Answer::read(&mut redirect, false).expect("an answer");
    assert_eq!(answer.status, 308);
}

#[test]
fn the_peer_counts_and_not_whom_a_proxy_header_names() {
    let header = "PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n";
    for (allowed, status) in [("203.0.113.0/24", 403), ("127.0.0.1", 200)] {
        let guard = guard(&[("ALLOW_FROM", allowed), ("PROXY_PROTOCOL", "127.0.0.1")]);
        let answer = guard.ask([header, &granted_request()].concat());
        assert_eq!(answer.status, status, "{allowed}");
    }
    let guard = guard(&[
        ("ALLOW_FROM", "203.0.113.0/24"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let forwarded = "\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
    let request = granted_request().replace("\r\n\r\n", forwarded);
    assert_eq!(guard.ask(request).status, 403);
}

#[test]
fn unix_peers_and_ipv4_at_an_ipv6_listener_are_who_they_are() {
    let folder = Folder::new("allow-unix");
    let path = folder.path.join("guard.sock");
    let listen = format!("unix:{}", path.display());
    let _unix = guard(&[("LISTEN", &listen), ("ALLOW_FROM", "192.0.2.1")]);
    let mut stream = UnixStream::connect(&path).expect("connects");
    stream
        .write_all(granted_request().as_bytes())
        .expect("sent");
    let answer = Answer::read(&mut stream, false).expect("an answer");
    assert_eq!(answer.status, 200);

    let guard = guard(&[("LISTEN", "[::]:0"), ("ALLOW_FROM", "127.0.0.2")]);
    let mapped = SocketAddr::from(([127, 0, 0, 1], guard.address.port()));
    assert_eq!(ask(&mut connect_from([127, 0, 0, 2], mapped)), 200);
    assert_eq!(ask(&mut connect_from([127, 0, 0, 3], mapped)), 403);
}

#[test]
fn the_gateway_s_listener_is_for_its_own_clients() {
    let keys = support::keys::KeyFile::new("allow-gateway");
    let key = keys.add("alice", &[]);
    let path = keys.path.display().to_string();
    let gateway = guard(&[
        ("LISTEN", "none"),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("API_KEYS_FILE", &path),
        ("ALLOW_FROM", "192.0.2.1"),
    ]);
    let request =
        format!("GET /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    assert_eq!(gateway.ask(request).status, 200);
}

#[test]
fn a_crowd_of_denied_peers_pushes_nobody_out_and_fills_no_log() {
    let guard = guard(&[("ALLOW_FROM", "127.0.0.2"), ("MAX_CONNECTIONS", "8")]);
    let mut allowed: Vec<_> = (0..8)
        .map(|_| connect_from([127, 0, 0, 2], guard.address))
        .collect();
    for stream in &mut allowed {
        stream
            .write_all(b"GET /protected HTTP/1.1\r\n")
            .expect("sent");
    }
    let crowd: Vec<_> = (0..300).map(|_| guard.connect()).collect();
    for mut stream in crowd {
        // It is told so, or has no place.
        let bytes = rest(&mut stream);
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 403 "));
    }
    let end = format!("Host: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n");
    for stream in &mut allowed {
        stream.write_all(end.as_bytes()).expect("sent");
        let answer = Answer::read(stream, false).expect("it is still there");
        assert_eq!(answer.status, 200);
    }
    guard.wait_for_log(|line| line.starts_with("refusals_left_out count="));
    let lines = guard.log();
    let denied = lines.iter().filter(|line| line.starts_with("denied "));
    assert!(denied.count() < 200, "{}", lines.len());
}

#[test]
fn the_file_is_read_again_and_a_faulty_one_keeps_what_there_was() {
    let folder = Folder::new("allow-file");
    let path = folder.write(
        "networks",
        "# the gateway\n127.0.0.2\n\n192.0.2.0/24, 2001:db8::/32\n",
    );
    let path = path.to_str().expect("UTF-8");
    let guard = guard(&[("ALLOW_FROM_FILE", path), ("ADMIN_LISTEN", "127.0.0.1:0")]);
    let status = |source| ask(&mut connect_from(source, guard.address));
    assert_eq!((status([127, 0, 0, 2]), status([127, 0, 0, 3])), (200, 403));
    let kept = connect_from([127, 0, 0, 2], guard.address);
    folder.write("networks", "127.0.0.3 # another one\n");
    guard.wait_for_log(|line| line == "allow_from_reloaded networks=1 changed=true");
    assert_eq!((status([127, 0, 0, 2]), status([127, 0, 0, 3])), (403, 200));
    // Connections that are there stay.
    let mut kept = kept;
    assert_eq!(ask(&mut kept), 200);
    let last = r#"last_reload_successful{file="allow_from"} "#;
    for (text, fault) in [
        ("# nobody\n", "names nobody"),
        ("", "names nobody"),
        (
            "127.0.0.4\n10.0.0.0/33\n",
            "line 2: \"10.0.0.0/33\" is neither",
        ),
        ("{\"addresses\": []}", "line 1: "),
    ] {
        folder.write("networks", text);
        guard.wait_for_log(|line| {
            line.starts_with("allow_from_reload_failed kept=1 ALLOW_FROM_FILE: ")
                && line.contains(fault)
        });
        assert_eq!((status([127, 0, 0, 4]), status([127, 0, 0, 3])), (403, 200));
        let admin = guard.second_address();
        health::wait_for(
            admin,
            &format!("The file {path} (ALLOW_FROM_FILE) is faulty"),
        );
        wait_for(admin, &[format!("{last}0")]);
    }
    folder.write("networks", "127.0.0.0/8\n");
    guard.signal(rustix::process::Signal::HUP);
    guard.wait_for_log(|line| line.starts_with("allow_from_reloaded number=1 networks=1 "));
    let deadline = Instant::now() + PATIENCE;
    while status([127, 0, 0, 4]) != 200 {
        assert!(Instant::now() < deadline);
    }
    // What the start would warn of is warned of then, too.
    folder.write("networks", "0.0.0.0/1\n");
    guard.wait_for_log(|line| {
        line.starts_with("warning ALLOW_FROM_FILE: 0.0.0.0/1 holds half of all addresses of IPv4")
    });
}

#[test]
fn what_is_faulty_at_the_start_is_named() {
    let folder = Folder::new("allow-faults");
    let empty = folder.write("empty", "\n# nobody\n").display().to_string();
    let bad = folder
        .write("bad", "127.0.0.1\nexample.com\n")
        .display()
        .to_string();
    for (variables, said) in [
        (
            &[("ALLOW_FROM", "10.0.0.0/33")][..],
            "ALLOW_FROM: \"10.0.0.0/33\"",
        ),
        (&[("ALLOW_FROM", " , ")], "ALLOW_FROM: it names nobody"),
        (
            &[("ALLOW_FROM_FILE", "/nowhere")],
            "ALLOW_FROM_FILE: /nowhere cannot be read",
        ),
        (&[("ALLOW_FROM_FILE", &empty)], "names nobody"),
        (&[("ALLOW_FROM_FILE", &bad)], "line 2: \"example.com\""),
        (
            &[("ALLOW_FROM_FILE", &empty), ("ALLOW_FROM", "127.0.0.1")],
            "also in ALLOW_FROM",
        ),
    ] {
        let output = command()
            .args(["check", "--local"])
            .envs(variables.iter().copied())
            .output()
            .expect("runs");
        let errors = complaints(&output.stdout);
        assert_eq!(output.status.code(), Some(78), "{variables:?}: {errors}");
        assert!(errors.contains(said), "{variables:?}: {errors}");
    }
    let good = folder
        .write("good", "127.0.0.1\n::1\n")
        .display()
        .to_string();
    let output = command()
        .args(["check", "--local"])
        .env("SHARED_SECRET", SECRET)
        .env("ALLOW_FROM_FILE", &good)
        .output();
    let said = String::from_utf8(output.expect("runs").stdout).expect("UTF-8");
    assert!(said.contains("\nallowed_networks=2\n"), "{said}");
}

#[test]
fn whether_this_machine_itself_may_connect_is_said() {
    let only_gateway = ("ALLOW_FROM", "192.0.2.1");
    let here = "curl, a health check or a proxy on this machine is denied";
    for (listen, allowed, wanted) in [
        ("0.0.0.0:0", "192.0.2.1", Some(("127.0.0.1", here))),
        ("[::]:0", "192.0.2.1", Some(("127.0.0.1,::1", here))),
        ("[::]:0", "192.0.2.1,127.0.0.1", Some(("::1", here))),
        ("[::]:0", "192.0.2.1,127.0.0.1,::1", None),
        ("0.0.0.0:0", "192.0.2.1,127.0.0.0/8", None),
        ("127.0.0.1:0", "127.0.0.1", None),
    ] {
        let output = command()
            .envs([("SHARED_SECRET", SECRET), ("PLAINTEXT", "allow")])
            .envs([("LISTEN", listen), ("ALLOW_FROM", allowed)])
            .args(["check", "--local"])
            .output()
            .expect("runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let note = said
            .lines()
            .find(|line| line.starts_with("note: ALLOW_FROM: "));
        match (note, wanted) {
            (None, None) => {}
            (Some(note), Some((address, what))) => {
                let says = note.starts_with(&format!("note: ALLOW_FROM: {address} "))
                    && note.contains(what)
                    && note.ends_with(&format!("add {address}"));
                assert!(says, "{note}");
            }
            _ => panic!("{listen} {allowed}: {said}"),
        }
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(said.lines().last(), Some("ok"), "{said}");
    }
    // At the start, too; and so it is.
    let guard = guard(&[("LISTEN", "0.0.0.0:0"), only_gateway]);
    guard.wait_for_log(|line| {
        line.starts_with("note ALLOW_FROM: 127.0.0.1 is not in the list") && line.contains(here)
    });
    let to = SocketAddr::from(([127, 0, 0, 1], guard.address.port()));
    let mut stream = connect_from([127, 0, 0, 1], to);
    let answer = Answer::read(&mut stream, false).expect("an answer");
    assert_eq!(answer.status, 403);
    // Where nobody else can connect, it is a mistake.
    let output = command()
        .envs([
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "127.0.0.1:8888"),
            only_gateway,
        ])
        .args(["check", "--local", "--strict"])
        .output()
        .expect("runs");
    let said = complaints(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("from 127.0.0.1, which is not in the list"),
        "{said}"
    );
}
