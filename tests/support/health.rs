//! What `origin-guard health` says of a guard.

use std::net::SocketAddr;
use std::time::Instant;

use super::{PATIENCE, command};

/// Its line, of the guard whose operator's address is `admin`.
pub fn line(admin: SocketAddr) -> String {
    let mut health = command();
    let output = health.args(["health", "--admin", &admin.to_string()]);
    let output = output.output().expect("runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Waits until its line has `wanted` in it.
pub fn wait_for(admin: SocketAddr, wanted: &str) {
    let since = Instant::now();
    loop {
        let said = line(admin);
        if said.contains(wanted) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "never {wanted}: {said}");
    }
}
