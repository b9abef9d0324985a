//! The unit's `MemoryMax=` against connections that are made to cost memory.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::peers::{eventually, raise_file_limit};
use crate::support::{self, Answer, Guard, SECRET, granted_request};

/// A memory cgroup of this test's own, with the kernel's TCP buffers accounted too;
/// removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// `None`, with a visible line, where none can be made.
    fn new(limit: &str) -> Option<Self> {
        let hierarchy = Path::new("/sys/fs/cgroup/memory");
        let name = format!("origin-guard-{}", std::process::id());
        let path = hierarchy.join(name);
        if let Err(error) = fs::create_dir(&path) {
            support::skip(&format!(
                "needs a memory cgroup of version 1 ({}: {error}); be root, and boot with \
                 systemd.unified_cgroup_hierarchy=0",
                path.display()
            ));
            return None;
        }
        let cgroup = Self(path);
        cgroup.write("memory.limit_in_bytes", limit);
        // Without a limit of their own they are not accounted.
        cgroup.write("memory.kmem.tcp.limit_in_bytes", "4G");
        Some(cgroup)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("written");
    }

    fn read(&self, file: &str) -> u64 {
        let text = fs::read_to_string(self.0.join(file)).expect("readable");
        text.trim().parse().expect("a number")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The value of a setting of the unit that the binary prints.
fn setting(name: &str) -> String {
    let output = support::command().args(["print", "unit"]).output();
    let unit = String::from_utf8(output.expect("runs").stdout).expect("UTF-8");
    let value = unit.lines().find_map(|line| line.strip_prefix(name));
    value.expect("a setting").to_owned()
}

/// Goes on with `bytes`, again and again up to `most` in all, until no more is taken; the
/// peer may have given up by then.
fn send_on(stream: &mut TcpStream, sent: &mut usize, bytes: &[u8], most: usize) {
    while *sent < most {
        match stream.write(&bytes[*sent % bytes.len()..]) {
            Ok(count) => *sent += count,
            Err(error) => {
                let known = [
                    ErrorKind::WouldBlock,
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                ];
                assert!(known.contains(&error.kind()), "{error}");
                return;
            }
        }
    }
}

#[test]
fn memory_max_holds_whatever_connections_do() {
    raise_file_limit();
    let (limit, most) = (
        setting("MemoryMax="),
        setting("Environment=MAX_CONNECTIONS="),
    );
    let Some(cgroup) = Cgroup::new(&limit) else {
        return;
    };
    let mebibytes: u64 = limit.trim_end_matches('M').parse().expect("mebibytes");
    let connections: usize = most.parse().expect("a number");
    let mut inside = Command::new("/bin/sh");
    inside
        .args([
            "-c",
            "echo $$ > \"$CGROUP/cgroup.procs\" && exec \"$GUARD\"",
        ])
        .env_clear()
        .env("CGROUP", &cgroup.0)
        .env("GUARD", env!("CARGO_BIN_EXE_origin-guard"))
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "127.0.0.1:0")
        .env("HEAD_TIMEOUT", "60")
        .env("WRITE_TIMEOUT", "60")
        .env("MAX_CONNECTIONS", &most);
    let mut guard = Guard::spawn(&mut inside);
    let request = granted_request();
    let attacks: [(&str, Vec<u8>, usize); 4] = [
        ("idle", request.clone().into(), 1),
        (
            "half a head",
            [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &[b'a'; 16_000][..]].concat(),
            1,
        ),
        // As much as the kernel keeps, and nothing for the guard to notice.
        ("unread", request.repeat(30).into(), 1),
        ("never read", request.repeat(1000).into(), 20),
    ];
    for (name, bytes, times) in attacks {
        let mut held = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut stream = guard.connect();
            let _ = set_socket_recv_buffer_size(&stream, 1);
            stream.set_nonblocking(true).expect("set");
            let mut sent = 0;
            send_on(&mut stream, &mut sent, &bytes, times * bytes.len());
            held.push((stream, sent));
        }
        for (stream, sent) in &mut held {
            send_on(stream, sent, &bytes, times * bytes.len());
        }
        assert!(guard.is_running(), "killed: {name}");
        let (user, tcp) = (
            cgroup.read("memory.max_usage_in_bytes"),
            cgroup.read("memory.kmem.tcp.max_usage_in_bytes"),
        );
        support::say(&format!(
            "{connections} connections, {name}: {} MiB and {} MiB of TCP buffers at most",
            user >> 20,
            tcp >> 20
        ));
        assert!(user + tcp < mebibytes << 20, "{name}: {user} + {tcp}");
        drop(held);
        // The last of them may not have been seen off yet.
        eventually("a good request is let in", || {
            let mut stream = guard.connect();
            stream.write_all(request.as_bytes()).expect("sent");
            Answer::read(&mut stream, false).is_some_and(|answer| answer.status == 200)
        });
    }
}
