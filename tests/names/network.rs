//! A network namespace with nothing in it but loopback.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::{installed, skip};

/// The namespace; gone when dropped, with the process that holds it.
pub(crate) struct Network {
    holder: Child,
    namespace: File,
}

impl Network {
    /// `None`, with a visible line, where this cannot be had.
    pub(crate) fn new() -> Option<Self> {
        if !installed("unshare", "apt install util-linux")
            || !installed("ip", "apt install iproute2")
        {
            return None;
        }
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up && echo up && exec cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("piped");
        let _ = BufReader::new(stdout).read_line(&mut line);
        if line != "up\n" {
            let _ = holder.kill();
            let _ = holder.wait();
            skip("needs a network namespace; be root");
            return None;
        }
        let namespace = File::open(format!("/proc/{}/ns/net", holder.id())).expect("its namespace");
        Some(Self { holder, namespace })
    }

    /// Runs `within` on a thread in the namespace. What it opens and starts stays in it.
    pub(crate) fn within<T: Send>(&self, within: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("setns(2)");
                within()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
