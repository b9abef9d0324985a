//! What a peer does in these tests, and what the system says of the guard.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Answer, PATIENCE, SECRET, granted_request};

/// A head that lacks its end; [`rest_of_head`] completes it.
pub(crate) const HALF_HEAD: &[u8] = b"GET /protected HTTP/1.1\r\nHost: test\r\n";

pub(crate) fn rest_of_head() -> String {
    format!("X-Shared-Secret: {SECRET}\r\n\r\n")
}

/// Lets this process hold as many files as it may.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("raised");
}

/// Asks on an open connection, and requires the answer that the contract has.
pub(crate) fn assert_granted(stream: &mut TcpStream) -> Answer {
    stream
        .write_all(granted_request().as_bytes())
        .expect("sent");
    read_granted(stream)
}

pub(crate) fn read_granted(stream: &mut TcpStream) -> Answer {
    let answer = Answer::read(stream, false).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Requires that the connection ends without another byte.
pub(crate) fn assert_ends(stream: &mut TcpStream) {
    match stream.read(&mut [0; 64]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("instead of an end: {other:?}"),
    }
}

/// Asks again and again, for what no event tells of.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "not so after {PATIENCE:?}: {what}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Waits until all that was sent to `address` is taken by who listens there
/// (`/proc/net/tcp`, proc(5)).
pub(crate) fn assert_taken(address: SocketAddr) {
    let SocketAddr::V4(address) = address else {
        unreachable!("guards of these tests listen at 127.0.0.1");
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let address = format!("{ip:08X}:{:04X}", address.port());
    eventually("all that was sent is taken", || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the sockets");
        let has_queued = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_one = [fields[1], fields[2]].contains(&address.as_str());
            is_one && fields[4] != "00000000:00000000"
        };
        !table.lines().skip(1).any(has_queued)
    });
}

/// Processor time that the process has used, in clock ticks (100 a second on Linux).
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
    // proc(5): the name, which may hold spaces, ends at the last parenthesis.
    let fields: Vec<_> = stat[stat.rfind(')').expect("a name") + 1..]
        .split_whitespace()
        .collect();
    [11, 12]
        .iter()
        .map(|&at| fields[at].parse::<u64>().expect("ticks"))
        .sum()
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// Resident memory in KiB without the pages of files, which the system can drop.
pub(crate) fn resident_own_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.expect(field).parse().expect("KiB")
}

/// The numbers of the files that the process holds open.
pub(crate) fn open_files(pid: u32) -> Vec<u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files");
    let number = |name: std::ffi::OsString| name.to_str()?.parse().ok();
    files
        .filter_map(|file| number(file.expect("a file").file_name()))
        .collect()
}

/// Closes with a reset instead of an end.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("lingers");
    drop(stream);
}

/// The binary, with two listening sockets that come with the process (`sd_listen_fds(3)`).
/// Where `CGROUP` is in its environment, it runs there.
pub(crate) fn inheriting(first: OwnedFd, second: OwnedFd) -> Command {
    let script = "exec 3<&0 4<&1 </dev/null >&2
        if [ \"$CGROUP\" ]; then echo $$ >\"$CGROUP/cgroup.procs\"; fi
        LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\"";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_origin-guard")])
        .env_clear()
        .stdin(first)
        .stdout(second);
    command
}

/// Tells other threads to stop when it is dropped, also by a panic.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
