//! PHP's built-in server, with an application that asks for the secret itself.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::folder::Folder;
use crate::support::{PATIENCE, SECRET, free_port, installed};

const APPLICATION: &str = "<?php
if (!hash_equals('{right}', $_SERVER['HTTP_X_SHARED_SECRET'] ?? '')) {
    http_response_code(401);
    exit('denied');
}
echo 'let in';
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
        let folder = Folder::new("probe-php");
        folder.write("index.php", &APPLICATION.replace("{right}", SECRET));
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
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
            _folder: folder,
        })
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
