//! An origin that sends the secret back: no client sees it.

use std::io::{Read as _, Write as _};

use crate::both::{gateway, request};
use crate::scripted::Backend;
use crate::support::keys::KeyFile;
use crate::support::{Guard, SECRET};

fn hostile(name: &str, answer: &str) -> (KeyFile, String, Guard) {
    let keys = KeyFile::new(name);
    let key = keys.add("alice", &[]);
    let backend = Backend::new();
    let gateway = gateway(&keys, &backend.url(), &[]);
    let answer = answer.replace("{secret}", SECRET);
    backend.serve(move |mut peer| {
        let head = peer.head();
        assert_eq!(head.field("x-shared-secret"), Some(SECRET));
        peer.send(&answer);
    });
    (keys, key, gateway)
}

#[test]
fn the_secret_never_comes_back() {
    const BODY: &str = "Content-Length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Echo\r\n\r\n\
                   2\r\nok\r\n0\r\n";
    for (name, answer) in [
        (
            "its-name",
            format!("HTTP/1.1 200 OK\r\nX-Shared-Secret: {{secret}}\r\n{BODY}"),
        ),
        (
            "folded",
            format!("HTTP/1.1 200 OK\r\nx_shared_secret: {{secret}}\r\n{BODY}"),
        ),
        (
            "a-value",
            format!("HTTP/1.1 200 OK\r\nX-Echo: {{secret}}\r\n{BODY}"),
        ),
        (
            "a-part",
            format!("HTTP/1.1 200 OK\r\nSet-Cookie: a={{secret}}; Path=/\r\n{BODY}"),
        ),
        (
            "a-name",
            format!("HTTP/1.1 200 OK\r\n{{secret}}: x\r\n{BODY}"),
        ),
        (
            "other-case",
            format!("HTTP/1.1 200 OK\r\n{}: x\r\n{BODY}", SECRET.to_uppercase()),
        ),
        ("reason", format!("HTTP/1.1 200 {{secret}}\r\n{BODY}")),
        (
            "location",
            format!("HTTP/1.1 302 Found\r\nLocation: /?s={{secret}}\r\n{BODY}"),
        ),
        (
            "interim",
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: <{{secret}}>\r\nX-Shared-Secret: {{secret}}\r\n\r\nHTTP/1.1 200 OK\r\n{BODY}"
            ),
        ),
        (
            "interim-reason",
            format!("HTTP/1.1 103 {{secret}}\r\n\r\nHTTP/1.1 200 OK\r\n{BODY}"),
        ),
        ("trailer", format!("{chunked}X-Echo: {{secret}}\r\n\r\n")),
        (
            "trailer-name",
            format!("{chunked}X-Shared-Secret: {{secret}}\r\n\r\n"),
        ),
        ("trailer-as-name", format!("{chunked}{{secret}}: x\r\n\r\n")),
    ] {
        let (_keys, key, gateway) = hostile(&format!("edge-hostile-{name}"), &answer);
        let mut client = gateway.connect();
        let get = request("GET /", &key, "Connection: close\r\nTE: trailers\r\n");
        client.write_all(get.as_bytes()).expect("sent");
        let mut said = Vec::new();
        client.read_to_end(&mut said).expect("an answer");
        let said = String::from_utf8(said).expect("UTF-8");
        assert!(
            said.contains("\r\nok") || said.ends_with("ok"),
            "{name}: {said}"
        );
        let folded = said.to_lowercase().replace('_', "-");
        assert!(!folded.contains(SECRET), "{name}: {said}");
        assert!(!folded.contains("x-shared-secret"), "{name}: {said}");
        let line = gateway.wait_for_log(|line| line.contains("secret_in_answer"));
        assert!(!line.to_lowercase().contains(SECRET), "{name}: {line}");
    }
}

#[test]
fn a_secret_in_another_header_does_not_come_back_either() {
    let keys = KeyFile::new("edge-hostile-header");
    let key = keys.add("alice", &[]);
    let backend = Backend::new();
    let gateway = gateway(&keys, &backend.url(), &[("SECRET_HEADER", "X-Azure-FDID")]);
    backend.serve(move |mut peer| {
        assert_eq!(peer.head().field("x-azure-fdid"), Some(SECRET));
        peer.send("HTTP/1.1 200 OK\r\nX.Azure_FDID: a\r\nX-Shared-Secret: kept\r\nContent-Length: 0\r\n\r\n");
    });
    let answer = gateway.ask(request("GET /", &key, ""));
    assert_eq!(answer.header("x.azure_fdid"), None);
    assert_eq!(answer.header("x-shared-secret"), Some("kept"));
}
