//! Bodies through TLS, both ways.

use std::io::{Read as _, Write as _};

use sha2::{Digest as _, Sha256};

use crate::backend::{Backend, checksum, hexadecimal, pattern};
use crate::client::TlsClient;
use crate::localhost;
use crate::support::{Answer, SECRET, granted_request};

fn request(method: &str, path: &str, field: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Shared-Secret: {SECRET}\r\n{field}\r\n"
    )
}

/// Sends and fetches `length` bytes, and compares checksums.
fn there_and_back(length: usize, name: &str) {
    let backend = Backend::start();
    let (authority, guard) = localhost(name, &[("BACKEND", &backend.url())]);
    let body = pattern(length);
    let wanted = checksum(&body);
    let mut client = TlsClient::plain(&guard, &authority);
    let head = request("PUT", "/up", &format!("Content-Length: {length}\r\n"));
    client.write_all(head.as_bytes()).expect("sent");
    client.write_all(&body).expect("sent");
    let answer = Answer::read(&mut client, false).expect("an answer");
    let answer = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer, format!("{length} {wanted}"));
    drop(body);

    let head = request("GET", &format!("/{length}"), "");
    client.write_all(head.as_bytes()).expect("sent");
    let answer = Answer::read(&mut client, true).expect("an answer");
    assert_eq!(answer.header("content-length"), Some(&*length.to_string()));
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut left = length;
    while left > 0 {
        let read = client.read(&mut buffer).expect("the body");
        assert!(read > 0, "{left} bytes are missing");
        digest.update(&buffer[..read]);
        left -= read;
    }
    assert_eq!(hexadecimal(&digest.finalize()), wanted);
}

#[test]
fn five_megabytes_go_there_and_back() {
    there_and_back(5_000_000, "five");
}

#[test]
fn two_hundred_megabytes_go_there_and_back() {
    there_and_back(200_000_000, "many");
}

#[test]
fn the_backend_hears_that_the_client_spoke_tls() {
    let backend = Backend::start();
    let (authority, guard) = localhost("proto", &[("BACKEND", &backend.url())]);
    let mut client = TlsClient::plain(&guard, &authority);
    assert_eq!(client.ask(request("GET", "/proto", "")).body, b"https");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let backend = Backend::start();
    let (authority, guard) = localhost("pipelined", &[("BACKEND", &backend.url())]);
    let mut client = TlsClient::plain(&guard, &authority);
    let all: String = (1..=50)
        .map(|length| request("GET", &format!("/{length}"), ""))
        .collect();
    client.write_all(all.as_bytes()).expect("sent");
    for length in 1..=50 {
        let answer = Answer::read(&mut client, false).expect("an answer");
        assert_eq!(answer.body, pattern(length));
    }
    let (authority, guard) = localhost("pipelined-alone", &[]);
    let mut client = TlsClient::plain(&guard, &authority);
    client
        .write_all(granted_request().repeat(500).as_bytes())
        .expect("sent");
    for _ in 0..500 {
        assert_eq!(
            Answer::read(&mut client, false).expect("an answer").status,
            200
        );
    }
}

/// A reader that takes all only once the guard can write no more: what TLS has taken goes
/// out although no more data follows it.
#[test]
fn a_slow_reader_gets_all() {
    const LENGTH: usize = 30_000_000;
    let backend = Backend::start();
    let (authority, guard) = localhost("slow", &[("BACKEND", &backend.url())]);
    let mut client = TlsClient::plain(&guard, &authority);
    let all = [
        request("GET", &format!("/{LENGTH}"), ""),
        request("GET", "/7", ""),
    ]
    .concat();
    client.write_all(all.as_bytes()).expect("sent");
    // Nothing is read until what was sent has filled the kernel's buffers.
    let waiting = || rustix::io::ioctl_fionread(&client.socket).expect("FIONREAD");
    let mut before = 0;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = waiting();
        if now > 0 && now == before {
            break;
        }
        before = now;
    }
    let answer = Answer::read(&mut client, true).expect("an answer");
    assert_eq!(answer.status, 200);
    let mut body = vec![0; LENGTH];
    client.read_exact(&mut body).expect("the body");
    assert_eq!(checksum(&body), checksum(&pattern(LENGTH)));
    assert_eq!(
        Answer::read(&mut client, false).expect("the next").body,
        pattern(7)
    );
}
