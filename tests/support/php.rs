//! PHP's built-in server: an application that folds the names of fields.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::folder::Folder;
use super::port::HeldPort;
use super::{Answer, PATIENCE, installed};

/// Answers with what PHP makes of a request (`$_SERVER`), as JSON.
pub const SHOWS_VARIABLES: &str = "<?php
$answer = json_encode($_SERVER, JSON_PARTIAL_OUTPUT_ON_ERROR);
header('Content-Length: ' . strlen($answer));
echo $answer;
";

/// A running server, ended by pid when dropped.
pub struct Php {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _port: HeldPort,
    _folder: Folder,
}

impl Php {
    /// Starts it with `script` for all requests; `None` where it is not installed.
    pub fn start(script: &str) -> Option<Self> {
        if !installed("php", "apt install php-cli") {
            return None;
        }
        let port = HeldPort::new();
        let address = port.address;
        // Several tests of a process may run one each.
        let folder = Folder::new(&format!("php-{}", address.port()));
        folder.write("index.php", script);
        let process = Command::new("php")
            .args(["-n", "-S", &address.to_string(), "index.php"])
            .current_dir(&folder.path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "PHP does not listen");
            std::thread::yield_now();
        }
        Some(Self {
            process,
            address,
            _port: port,
            _folder: folder,
        })
    }

    /// Asks it without a proxy.
    pub fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    }

    /// What it found in a request that it answered.
    pub fn variables(&self, answer: &Answer) -> Value {
        assert_eq!(answer.status, 200, "{}: {answer:?}", self.address);
        let text = String::from_utf8_lossy(&answer.body);
        // A proxy may have put it into chunks.
        let json = text
            .find('{')
            .zip(text.rfind('}'))
            .map(|(from, to)| &text[from..=to]);
        serde_json::from_str(json.expect("JSON")).expect("JSON")
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
