//! The binary's own backend.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use crate::support::{Answer, command};

/// The running backend, ended when dropped.
pub(crate) struct Demo {
    child: Child,
    pub(crate) address: SocketAddr,
    /// For `BACKEND`.
    pub(crate) url: String,
}

impl Demo {
    pub(crate) fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let mut child = command()
            .args(["demo-backend", &address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.trim().to_owned();
        let address = url.strip_prefix("http://").expect("a URL");
        let address = address.parse().expect("an address");
        Self {
            child,
            address,
            url,
        }
    }

    /// How many requests it has answered before, as it says itself.
    pub(crate) fn answers(&self) -> u64 {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        stream.write_all(request).expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        let reached: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        reached["number"].as_u64().expect("a number") - 1
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
