//! Answers that come bit by bit, and tunnels that are silent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::front::{Front, Proxy};
use crate::support::{Answer, SECRET};

/// Longer than any proxy waits where its file does not say otherwise.
const SILENCE: Duration = Duration::from_secs(62);

with_each_proxy! {
    events_arrive_one_by_one
}

fn events_arrive_one_by_one(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let mut stream = front.connect();
    let request =
        format!("GET /granted/events HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    read_until(&mut stream, "\r\n\r\n");
    front.backend.go_on();
    read_until(&mut stream, "data: 1\n\n");
    front.backend.go_on();
    read_until(&mut stream, "data: 2\n\n");
}

fn read_until(stream: &mut TcpStream, end: &str) {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(end.as_bytes()) {
        let read = stream.read(&mut byte).unwrap_or_else(|error| {
            panic!("{error} after {}", said.escape_ascii());
        });
        assert_eq!(read, 1, "ends after {}", said.escape_ascii());
        said.push(byte[0]);
    }
}

/// All at once, so that a minute passes once.
#[test]
fn a_websocket_may_be_silent_for_more_than_a_minute() {
    std::thread::scope(|scope| {
        for proxy in [Proxy::Nginx, Proxy::Caddy, Proxy::Haproxy, Proxy::Envoy] {
            scope.spawn(move || {
                if let Some((front, _guard)) = Front::guarded(proxy) {
                    be_silent(&front);
                }
            });
        }
    });
}

fn be_silent(front: &Front) {
    let upgrading = format!(
        "GET /granted HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         X-Shared-Secret: {SECRET}\r\n\r\n"
    );
    let mut stream = front.connect();
    stream.write_all(upgrading.as_bytes()).expect("sent");
    let answer = Answer::read(&mut stream, true).expect("an answer");
    assert_eq!(answer.status, 101, "{:?}: {answer:?}", front.proxy);
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let mut echo = [0; 7];
    let silent = stream.read(&mut echo).map_err(|error| error.kind());
    assert_eq!(silent, Err(ErrorKind::WouldBlock), "{:?}", front.proxy);
    stream.write_all(b"\x81\x05hello").expect("sent");
    stream.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"\x81\x05hello", "{:?}", front.proxy);
}
