//! The document's own origin behind both halves.

use std::collections::HashMap;
use std::io::Write as _;

use serde_json::Value;

use crate::app::{App, Program};
use crate::both::Both;
use crate::support::{Answer, SECRET};

const GRANTED: &[u8] = br#"{"message": "Access granted"}"#;

#[test]
fn a_key_is_all_that_a_client_needs_and_the_way_past_the_gateway_is_shut() {
    let Some(tornado) = App::start(Program::Tornado, |_| {}) else {
        return;
    };
    let both = Both::start("tornado", &format!("http://{}", tornado.address));
    let answer = both.ask("/protected", "");
    assert_eq!((answer.status, &*answer.body), (200, GRANTED), "{answer:?}");

    let get = |fields: &str| format!("GET /protected HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let denied = |answer: &Answer, error: &str| {
        let body = format!("{{\"error\":\"{error}\"}}");
        assert_eq!(
            (answer.status, &*answer.body),
            (401, body.as_bytes()),
            "{answer:?}"
        );
    };
    let bearer = format!("Authorization: Bearer {}\r\n", both.key);
    denied(&both.straight().ask(get("")), "No secret provided");
    denied(&both.straight().ask(get(&bearer)), "No secret provided");
    denied(&both.client().ask(get("")), "No API key provided");
    // The secret itself is not a key, and a client who has it gets no further by it.
    let secret = format!("X-Shared-Secret: {SECRET}\r\n");
    denied(&both.client().ask(get(&secret)), "No API key provided");
    let wrong = "Authorization: Bearer og_wrong\r\n";
    denied(&both.client().ask(get(wrong)), "Invalid API key");

    the_origin_hears_who_asked_and_not_by_which_key(&both);
}

fn the_origin_hears_who_asked_and_not_by_which_key(both: &Both) {
    let forged = "X-Consumer: forged\r\nX-Consumer-Metadata: forged\r\nX_Consumer: forged\r\n\
                  X-Shared-Secret: forged\r\nX_Shared_Secret: forged\r\nX.Consumer: forged\r\n\
                  X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: forged\r\n\
                  X-Forwarded-Host: forged\r\nX-Real-IP: 192.0.2.1\r\nForwarded: for=forged\r\n\
                  Connection: X-Consumer, X-Shared-Secret\r\nX-Other: passes\r\n";
    let answer = both.ask("/json?q=1", forged);
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = String::from_utf8(answer.body).expect("UTF-8");
    for never in ["forged", SECRET, &both.key, "192.0.2.1"] {
        assert!(!text.contains(never), "{never} in {text}");
    }
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["target"], "/json?q=1");
    let fields: HashMap<_, _> = json["fields"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|field| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            (text(&field[0]).to_lowercase(), text(&field[1]))
        })
        .collect();
    let field = |name: &str| fields.get(name).map(String::as_str);
    assert_eq!(field("x-consumer"), Some("alice"), "{text}");
    assert_eq!(field("x-consumer-metadata"), Some(r#"{"plan":"pro"}"#));
    assert_eq!(field("x-forwarded-for"), Some("127.0.0.1, 127.0.0.1"));
    assert_eq!(field("x-forwarded-proto"), Some("https"));
    assert_eq!(field("x-forwarded-host"), Some("api.example"));
    assert_eq!(field("x-other"), Some("passes"));
    assert_eq!(field("authorization"), None);
    assert_eq!(field("host"), Some(&*both.origin.address.to_string()));
}

#[test]
fn a_websocket_and_events_pass_both_halves() {
    let Some(tornado) = App::start(Program::Tornado, |_| {}) else {
        return;
    };
    let both = Both::start("tunnel", &format!("http://{}", tornado.address));
    let mut client = both.client();
    let upgrade = both.get(
        "/ws",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    client.write_all(upgrade.as_bytes()).expect("sent");
    let answer = Answer::read(&mut client, true).expect("an answer");
    assert_eq!(answer.status, 101, "{answer:?}");
    let accepted = answer.header("sec-websocket-accept");
    assert_eq!(accepted, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for word in [*b"hello", *b"world"] {
        // A masked text frame, masked by zeros (RFC 6455, section 5.2).
        let frame = [&[0x81, 0x85, 0, 0, 0, 0][..], &word].concat();
        client.write_all(&frame).expect("sent");
        let mut echo = [0; 7];
        std::io::Read::read_exact(&mut client, &mut echo).expect("an echo");
        assert_eq!(echo, *[&[0x81, 5][..], &word].concat());
    }

    // Each event arrives before the next one is let go.
    let mut events = both.client();
    let request = both.get("/events", "");
    events.write_all(request.as_bytes()).expect("sent");
    for number in 0..5 {
        read_until(&mut events, &format!("data: {number}\n\n"));
        if number < 4 {
            let next = crate::both::request("POST /next", &both.key, "Content-Length: 0\r\n");
            assert_eq!(both.client().ask(next).status, 204);
        }
    }
}

fn read_until(client: &mut impl std::io::Read, end: &str) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(end.as_bytes()) {
        let read = client.read_exact(&mut byte);
        assert!(read.is_ok(), "ends after {}", said.escape_ascii());
        said.push(byte[0]);
    }
}
