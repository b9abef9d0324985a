//! PHP's built-in server: a backend that folds the names of fields.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::front::{Folder, free_port};
use crate::support::{Answer, PATIENCE, installed};

const SCRIPT: &str = "<?php
$answer = json_encode($_SERVER, JSON_PARTIAL_OUTPUT_ON_ERROR);
header('Content-Length: ' . strlen($answer));
echo $answer;
";

/// A running server, ended by pid when dropped.
pub(crate) struct Php {
    process: Child,
    pub(crate) address: SocketAddr,
    _folder: Folder,
}

impl Php {
    /// Starts it; `None` where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        if !installed("php", "apt install php-cli") {
            return None;
        }
        let folder = Folder::new();
        folder.write("index.php", SCRIPT);
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = fs::File::create(folder.file("log")).expect("a log");
        let process = Command::new("php")
            .args(["-n", "-S", &address.to_string(), "index.php"])
            .current_dir(&folder.0)
            .stdout(Stdio::null())
            .stderr(log)
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
            _folder: folder,
        })
    }

    /// Asks it without a proxy.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    }

    /// What it found in a request that it answered.
    pub(crate) fn variables(&self, answer: &Answer) -> Value {
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
