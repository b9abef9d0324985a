//! What a guard's `/metrics` says.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::{Answer, PATIENCE};

/// All that is counted, as the listener at `admin` tells it.
pub fn metrics(admin: SocketAddr) -> String {
    get(admin, "/metrics")
}

/// The value of `series`, without its prefix, in `text`.
pub fn value(text: &str, series: &str) -> f64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        (found.strip_prefix("origin_guard_")? == series).then_some(value)
    });
    let value = value.unwrap_or_else(|| panic!("no {series} in {text}"));
    value.parse().expect("a number")
}

/// What the listener at `admin` answers to a GET.
pub fn get(admin: SocketAddr, path: &str) -> String {
    let answer = answer(admin, path).expect("an answer");
    String::from_utf8(answer.body).expect("UTF-8")
}

/// The same with its head; `None` where the connection ends without one.
pub fn answer(admin: SocketAddr, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(admin).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    Answer::read(&mut stream, false)
}

/// A question that has begun: the guard waits for its end, also in a drain, in which it takes
/// no other one.
pub struct Watch(TcpStream);

impl Watch {
    /// Sends half of a request to the listener at `admin`.
    pub fn begin(admin: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(admin).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // The answer to the first one proves that the second one has come.
        let both = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\n";
        stream.write_all(both.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer");
        Self(stream)
    }

    /// What `/metrics` says now.
    pub fn end(mut self) -> String {
        let rest = "Host: localhost\r\nConnection: close\r\n\r\n";
        self.0.write_all(rest.as_bytes()).expect("sent");
        let answer = Answer::read(&mut self.0, false).expect("an answer");
        String::from_utf8(answer.body).expect("UTF-8")
    }
}

/// Waits until `/metrics` has each of these lines, without their prefix.
pub fn wait_for(admin: SocketAddr, lines: &[String]) {
    let since = Instant::now();
    for line in lines {
        let line = format!("origin_guard_{line}\n");
        loop {
            let text = metrics(admin);
            if text.contains(&line) {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "never {line}in {text}");
        }
    }
}
