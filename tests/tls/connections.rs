//! Connections that are slow, odd or broken.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::backend::Backend;
use crate::client::{TlsClient, config};
use crate::localhost;
use crate::support::{Answer, Guard, PATIENCE, SECRET, granted_request};

fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an end, no reset");
    bytes
}

#[test]
fn plain_http_at_a_tls_port_is_told_so() {
    let (_authority, guard) = localhost("plain", &[]);
    let answer = guard.ask(granted_request());
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, br#"{"error":"This port speaks TLS"}"#);
    assert_eq!(answer.header("connection"), Some("close"));
    guard.wait_for_log(|line| line.contains("reason=plain_http"));
}

#[test]
fn tls_at_a_plain_port_is_closed_cleanly_and_logged() {
    let guard = Guard::start();
    let mut stream = guard.connect();
    stream
        .write_all(b"\x16\x03\x01\x00\x05hello")
        .expect("sent");
    assert_eq!(read_to_end(&stream), b"");
    let line = guard.wait_for_log(|line| line.contains("tls_failed"));
    assert!(
        line.contains("speaks TLS and this address does not"),
        "{line}"
    );
    assert!(line.contains("peer=127.0.0.1"), "{line}");
    guard.assert_serves();
}

#[test]
fn half_a_handshake_ends_with_head_timeout() {
    let (_authority, guard) = localhost("half", &[("HEAD_TIMEOUT", "0.3")]);
    for bytes in [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut stream = guard.connect();
        stream.write_all(bytes).expect("sent");
        assert_eq!(read_to_end(&stream), b"", "{}", bytes.escape_ascii());
    }
}

#[test]
fn half_handshakes_are_evicted_before_connections_that_proved_themselves() {
    let (authority, guard) = localhost("evicted", &[("MAX_CONNECTIONS", "8")]);
    let mut proven = TlsClient::plain(&guard, &authority);
    assert_eq!(proven.ask(granted_request()).status, 200);
    let half: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = guard.connect();
            let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            stream
        })
        .collect();
    let mut fresh = TlsClient::plain(&guard, &authority);
    assert_eq!(fresh.ask(granted_request()).status, 200);
    assert_eq!(proven.ask(granted_request()).status, 200);
    drop(half);
}

#[test]
fn close_notify_is_sent_and_understood() {
    let (authority, guard) = localhost("close", &[]);
    // The guard closes: the client hears of it in TLS, before the end of the socket.
    let mut client = TlsClient::plain(&guard, &authority);
    let closing = granted_request().replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(client.ask(closing).status, 200);
    // rustls calls an end without close_notify an error.
    assert_eq!(client.read(&mut [0]).expect("close_notify"), 0);
    // The client closes: it still gets its answer, and then the guard's own close_notify.
    let mut client = TlsClient::plain(&guard, &authority);
    client
        .write_all(granted_request().as_bytes())
        .expect("sent");
    client.close_notify();
    assert_eq!(
        Answer::read(&mut client, false).expect("an answer").status,
        200
    );
    assert_eq!(client.read(&mut [0]).expect("close_notify"), 0);
}

#[test]
fn a_truncated_request_is_never_taken_for_whole() {
    let backend = Backend::start();
    let (authority, guard) = localhost("truncated", &[("BACKEND", &backend.url())]);
    let head = format!("POST /a HTTP/1.1\r\nHost: localhost\r\nX-Shared-Secret: {SECRET}\r\n");
    for request in [
        head.clone(),
        format!("{head}Content-Length: 10\r\n\r\nhello"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ] {
        let mut client = TlsClient::plain(&guard, &authority);
        client.write_all(request.as_bytes()).expect("sent");
        client.flush().expect("sent");
        client
            .socket
            .shutdown(Shutdown::Write)
            .expect("half-closed");
        let mut answer = Vec::new();
        // It may end with an alert, a reset or a refusal, and with no 200.
        let _ = client.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let line = guard.wait_for_log(|line| line.contains("tls_failed"));
    assert!(line.contains("cut off inside of TLS"), "{line}");
    // An idle connection that ends so is nothing to write of.
    let mut client = TlsClient::plain(&guard, &authority);
    client.handshake().expect("a handshake");
    client.socket.shutdown(Shutdown::Both).expect("closed");
    let mut client = TlsClient::plain(&guard, &authority);
    let request =
        format!("GET /5 HTTP/1.1\r\nHost: localhost\r\nX-Shared-Secret: {SECRET}\r\n\r\n");
    assert_eq!(client.ask(request).body, [0, 1, 2, 3, 4]);
    let lines = guard.log();
    let failures = lines.iter().filter(|line| line.contains("tls_failed"));
    assert_eq!(failures.count(), 1, "{lines:#?}");
}

#[test]
fn records_of_one_byte_and_key_updates_are_understood() {
    let (authority, guard) = localhost("records", &[]);
    let mut client = TlsClient::plain(&guard, &authority);
    client.handshake().expect("a handshake");
    for _ in 0..3 {
        for byte in granted_request().bytes() {
            client.write_all(&[byte]).expect("sent");
            client.flush().expect("sent");
        }
        assert_eq!(
            Answer::read(&mut client, false).expect("an answer").status,
            200
        );
        client.tls.refresh_traffic_keys().expect("an update");
    }
    // Without a request between them too many are refused.
    for _ in 0..64 {
        if client.tls.refresh_traffic_keys().is_err() || client.flush().is_err() {
            break;
        }
    }
    let _ = client.write_all(granted_request().as_bytes());
    assert!(!matches!(client.read(&mut [0]), Ok(1)));
    let broken = "error=\"the other side breaks the rules of TLS: too many key update requests\"";
    guard.wait_for_log(|line| line.contains("tls_failed") && line.contains(broken));
}

#[test]
fn one_who_sends_one_byte_records_without_end_holds_up_nobody() {
    let (authority, guard) = localhost("tiny", &[("WORKERS", "1"), ("MAX_HEAD_BYTES", "65536")]);
    let mut flood = TlsClient::plain(&guard, &authority);
    flood.handshake().expect("a handshake");
    flood.socket.set_write_timeout(Some(PATIENCE)).expect("set");
    let writer = std::thread::spawn(move || {
        // Ends with the refusal of a head that is too long.
        while flood.write_all(b"x").and_then(|()| flood.flush()).is_ok() {}
    });
    for _ in 0..20 {
        let mut client = TlsClient::plain(&guard, &authority);
        assert_eq!(client.ask(granted_request()).status, 200);
    }
    drop(guard);
    writer.join().expect("it ends");
}

/// Handshakes that go no further than the server's costly part.
#[test]
fn a_flood_of_handshakes_starves_no_connection_that_is_there() {
    let (authority, guard) = localhost("flood", &[("WORKERS", "1"), ("HEAD_TIMEOUT", "60")]);
    let config = config(&authority, &[&rustls::version::TLS13], None);
    let config = std::sync::Arc::new(config);
    let mut client = TlsClient::plain(&guard, &authority);
    assert_eq!(client.ask(granted_request()).status, 200);
    let mut hellos = Vec::new();
    for _ in 0..100 {
        let mut flood = TlsClient::connect(&guard, &config, "localhost");
        flood.tls.write_tls(&mut flood.socket).expect("sent");
        hellos.push(flood);
        if hellos.len() % 10 == 0 {
            assert_eq!(client.ask(granted_request()).status, 200);
        }
    }
    // Each of them has its turn in the end.
    for mut flood in hellos {
        assert_eq!(flood.ask(granted_request()).status, 200);
    }
}
