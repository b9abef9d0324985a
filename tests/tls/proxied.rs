//! Load balancers that forward TCP and say whose by the PROXY protocol.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::time::Instant;

use crate::authority::Authority;
use crate::client::TlsClient;
use crate::localhost;
use crate::support::{Answer, Guard, PATIENCE, SECRET, granted_request, installed};

const WITHOUT_SECRET: &str = "GET /protected HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn v2(command: u8) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, 0x11, 0, 12][..],
        &addresses,
    ]
    .concat()
}

/// A connection with TLS that begins with `header`, in pieces.
fn begin(guard: &Guard, authority: &Authority, header: &[u8], piece: usize) -> TlsClient {
    let mut client = TlsClient::plain(guard, authority);
    for piece in header.chunks(piece) {
        client.socket.write_all(piece).expect("sent");
    }
    client
}

fn denied(guard: &Guard, client: &str) {
    let wanted = format!("denied reason=no_secret client={client} ");
    guard.wait_for_log(|line| line.starts_with(&wanted));
}

#[test]
fn the_client_comes_from_the_header_before_tls() {
    let (authority, guard) = localhost("proxied", &[("PROXY_PROTOCOL", "127.0.0.1")]);
    let v1 = b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n";
    for (header, client) in [
        (v1.to_vec(), "2001:db8::7"),
        (v2(0x21), "203.0.113.7"),
        // The load balancer itself looks whether the guard is there.
        (v2(0x20), "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        for piece in [1, 5, 1000] {
            let mut tls = begin(&guard, &authority, &header, piece);
            assert_eq!(tls.ask(WITHOUT_SECRET).status, 401);
            assert_eq!(tls.ask(granted_request()).status, 200);
        }
        denied(&guard, client);
    }
}

#[test]
fn it_comes_before_plain_http_too() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("PROXY_PROTOCOL", "127.0.0.0/8")]);
    let header = b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\r\n";
    let answer = guard.ask([header, WITHOUT_SECRET.as_bytes()].concat());
    assert_eq!(answer.status, 401);
    denied(&guard, "203.0.113.9");
}

#[test]
fn from_those_peers_it_is_required_and_from_others_it_is_none() {
    let (authority, guard) = localhost(
        "required",
        &[("PROXY_PROTOCOL", "127.0.0.1"), ("HEAD_TIMEOUT", "0.5")],
    );
    let mut client = TlsClient::plain(&guard, &authority);
    client.handshake().expect_err("refused");
    let line = guard.wait_for_log(|line| line.starts_with("proxy_protocol_failed"));
    assert!(line.contains("peer=127.0.0.1"), "{line}");
    assert!(
        line.contains("leave its address out of PROXY_PROTOCOL"),
        "{line}"
    );
    for bytes in [&b""[..], b"PROXY TCP4", b"\r\n\r\n\0\r\nQUIT"] {
        let mut stream = guard.connect();
        stream.write_all(bytes).expect("sent");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"", "{}", bytes.escape_ascii());
    }

    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("PROXY_PROTOCOL", "10.0.0.0/8")]);
    guard.assert_serves();
    let header = b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\r\n";
    let answer = guard.ask([header, WITHOUT_SECRET.as_bytes()].concat());
    assert_eq!(answer.status, 400);
}

/// Ended when dropped.
struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_forwards_tcp_with_either_version() {
    if !installed("haproxy", "run: apt-get install haproxy") {
        return;
    }
    let (authority, mut guard) = localhost("haproxy", &[("PROXY_PROTOCOL", "127.0.0.1")]);
    let own = guard.address;
    for version in ["send-proxy", "send-proxy-v2"] {
        let port = crate::support::port::HeldPort::new();
        let address = port.address;
        let file = authority.folder.write(
            "haproxy.cfg",
            &format!(
                "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server \
                 30s\nfrontend f\n bind {address}\n default_backend b\nbackend b\n server s {own} \
                 {version}\n"
            ),
        );
        let child = Command::new(crate::support::path_of("haproxy").expect("found"))
            .args(["-db", "-f", file.to_str().expect("UTF-8")])
            .spawn()
            .expect("haproxy starts");
        let _haproxy = Haproxy(child);
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "haproxy does not listen");
            std::thread::yield_now();
        }
        guard.address = address;
        let mut client = TlsClient::plain(&guard, &authority);
        client
            .write_all(granted_request().as_bytes())
            .expect("sent");
        let answer = Answer::read(&mut client, false).expect("an answer");
        assert_eq!(answer.status, 200, "{version}");
    }
}
