//! Peers that stop in the middle: of reading, of a body, between requests; and a
//! stderr that nobody reads.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::peers::{assert_ends, assert_granted, eventually, resident_kib};
use crate::support::metrics::wait_for;
use crate::support::{self, Answer, Guard, PATIENCE, SECRET, granted_request};

/// Sends requests and reads nothing until the guard takes no more of them, or closes.
fn pipeline_until_stuck(stream: &mut TcpStream) {
    let many = granted_request().repeat(256);
    stream.set_nonblocking(true).expect("set");
    let mut sent = 0;
    loop {
        match stream.write(&many.as_bytes()[sent % many.len()..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if is_end(error.kind()) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(
            sent < 1 << 30,
            "a gigabyte of requests taken whose answers nobody reads"
        );
    }
    stream.set_nonblocking(false).expect("set");
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[test]
fn readers_that_never_read_cost_bounded_memory_and_nobody_else_an_answer() {
    const READERS: usize = 50;
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("WRITE_TIMEOUT", "60")]);
    guard.assert_serves();
    let before = resident_kib(guard.pid());
    let mut readers: Vec<_> = (0..READERS).map(|_| guard.connect()).collect();
    for stream in &mut readers {
        pipeline_until_stuck(stream);
        guard.assert_serves();
    }
    let grown = resident_kib(guard.pid()).saturating_sub(before);
    // 64 KiB of answers, what the last read brought on top of them, and as much input.
    assert!(
        grown < 256 * READERS as u64,
        "{grown} KiB for {READERS} readers"
    );
    // Held up is not lost: who reads again gets every answer in turn.
    for _ in 0..1000 {
        let answer = Answer::read(&mut readers[0], false).expect("an answer");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn write_timeout_closes_a_reader_that_never_reads() {
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("WRITE_TIMEOUT", "0.5"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let mut reader = guard.connect();
    reader.set_write_timeout(Some(PATIENCE)).expect("set");
    let request = granted_request();
    // Ends by the guard's close alone: it never runs out of what to send.
    let error = loop {
        if let Err(error) = reader.write_all(request.as_bytes()) {
            break error;
        }
    };
    assert!(is_end(error.kind()), "{error}");
    guard.assert_serves();
    let closed = "connections_closed_total{reason=\"write_timeout\"} 1".to_owned();
    wait_for(guard.second_address(), &[closed]);
}

#[test]
fn idle_timeout_closes_between_requests_without_a_word() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("IDLE_TIMEOUT", "0.5")]);
    let mut stream = guard.connect();
    assert_granted(&mut stream);
    assert_granted(&mut stream);
    assert_ends(&mut stream);
}

#[test]
fn a_body_that_never_comes_is_answered_and_then_closed() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("HEAD_TIMEOUT", "0.5")]);
    let mut stream = guard.connect();
    let head = "POST /protected HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nsome";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = Answer::read(&mut stream, false).expect("an answer");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_ends(&mut stream);
}

#[test]
fn a_body_of_900_gigabytes_costs_nothing() {
    let mut guard = Guard::start();
    guard.assert_serves();
    let before = resident_kib(guard.pid());
    for _ in 0..20 {
        let mut stream = guard.connect();
        let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 900000000000\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_ends(&mut stream);
    }
    assert!(guard.is_running());
    guard.assert_serves();
    let grown = resident_kib(guard.pid()).saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB more");
}

/// A child that is killed by pid when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_no_answer() {
    let mut command = support::command();
    command
        .envs([
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "127.0.0.1:0"),
            ("ACCESS_LOG", "1"),
        ])
        .stderr(Stdio::piped());
    let mut child = Killed(command.spawn().expect("starts"));
    let mut stderr = BufReader::new(child.0.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("listening address=") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("a line"), 0, "ended");
    }
    let address = line.split("address=").nth(1).expect("an address").trim();
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    // Several times what the pipe and the queue of lines hold together.
    for _ in 0..10_000 {
        let request = "GET /protected HTTP/1.1\r\nHost: a\r\nX-Shared-Secret: no\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    drop(stream);
    support::signal(&child.0, rustix::process::Signal::TERM);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let status = child.0.wait();
        let _ = ended.send(status);
    });
    let status = end
        .recv_timeout(PATIENCE + Duration::from_secs(1))
        .expect("an end");
    assert_eq!(status.expect("its own child").code(), Some(0));
    drop(stderr);
}

#[test]
fn a_full_disk_under_stderr_holds_up_no_answer() {
    let socket = std::env::temp_dir().join(format!("origin-guard-full-{}", std::process::id()));
    let mut command = support::command();
    command
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", format!("unix:{}", socket.display()))
        .env("ACCESS_LOG", "1")
        // full(4): every write is ENOSPC.
        .stderr(
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("full(4)"),
        );
    let mut child = Killed(command.spawn().expect("starts"));
    eventually("it listens", || UnixStream::connect(&socket).is_ok());
    let mut stream = UnixStream::connect(&socket).expect("connects");
    for _ in 0..2000 {
        stream
            .write_all(granted_request().as_bytes())
            .expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 200);
    }
    drop(stream);
    support::signal(&child.0, rustix::process::Signal::TERM);
    assert_eq!(child.0.wait().expect("its own child").code(), Some(0));
}
