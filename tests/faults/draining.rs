//! SIGTERM and SIGINT: what was accepted is answered, the rest is closed, exit 0.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};

use rustix::process::Signal;

use crate::peers::{
    HALF_HEAD, assert_ends, assert_granted, eventually, raise_file_limit, read_granted,
    rest_of_head,
};
use crate::support::metrics::Watch;
use crate::support::port::HeldPort;
use crate::support::{Answer, Guard, PATIENCE, SECRET, granted_request};

/// Requires its end, with status 0; a hang fails by [`PATIENCE`].
fn assert_stops(guard: &mut Guard) {
    guard.wait_for_log(|line| line.contains("stopped"));
    assert_eq!(guard.wait().code(), Some(0));
}

/// Whether the guard has closed its side already, so that nothing sent now counts.
fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("set");
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Asks without pause until the guard closes, and requires an answer to everything
/// that was sent to an open connection. Sends once after its first answer.
fn hammer(mut stream: TcpStream, batch: usize, started: &Sender<()>, answered: &AtomicUsize) {
    let requests = granted_request().repeat(batch);
    let mut told = false;
    while !has_ended(&stream) {
        stream
            .write_all(requests.as_bytes())
            .expect("sent to an open connection");
        for number in 0..batch {
            let answer = Answer::read(&mut stream, false);
            let answer = answer.unwrap_or_else(|| panic!("request {number} of {batch} is lost"));
            assert_eq!(answer.status, 200, "{answer:?}");
            answered.fetch_add(1, SeqCst);
            if answer.header("connection") == Some("close") {
                assert_eq!(number + 1, batch, "closes before the last answer");
                assert_ends(&mut stream);
                return;
            }
        }
        if !std::mem::replace(&mut told, true) {
            started.send(()).expect("told");
        }
    }
}

fn stop_under_load(signal: Signal, workers: &str) {
    let port = HeldPort::new();
    let mut guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("WORKERS", workers),
        ("LISTEN", &port.address.to_string()),
    ]);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (started, starts) = channel();
        for number in 0..32 {
            let stream = guard.connect();
            let (started, answered) = (started.clone(), &answered);
            let batch = if number % 2 == 0 { 1 } else { 20 };
            scope.spawn(move || hammer(stream, batch, &started, answered));
        }
        for _ in 0..32 {
            starts
                .recv_timeout(PATIENCE)
                .expect("every client is at it");
        }
        guard.signal(signal);
        assert_stops(&mut guard);
    });
    assert!(answered.load(SeqCst) >= 32);
    TcpStream::connect(guard.address).expect_err("nobody listens");
    assert!(
        !guard.log().iter().any(|line| line.contains("unfinished")),
        "{:?}",
        guard.log()
    );
}

#[test]
fn sigterm_under_load_loses_no_request() {
    stop_under_load(Signal::TERM, "1");
    stop_under_load(Signal::TERM, "2");
    stop_under_load(Signal::TERM, "8");
}

#[test]
fn sigint_under_load_loses_no_request() {
    stop_under_load(Signal::INT, "2");
}

/// The guard is stopped while they connect, so that the signal meets a full backlog.
#[test]
fn connections_that_wait_to_be_accepted_at_sigterm_are_answered() {
    raise_file_limit();
    let mut guard = Guard::start();
    guard.assert_serves();
    guard.signal(Signal::STOP);
    let mut streams: Vec<_> = (0..100).map(|_| guard.connect()).collect();
    for stream in &mut streams {
        stream
            .write_all(granted_request().as_bytes())
            .expect("sent");
    }
    guard.signal(Signal::TERM);
    guard.signal(Signal::CONT);
    for stream in &mut streams {
        read_granted(stream);
        assert_ends(stream);
    }
    assert_stops(&mut guard);
}

#[test]
fn a_backlog_of_pipelined_requests_is_answered_in_the_drain() {
    const REQUESTS: usize = 2000;
    let mut guard = Guard::start();
    let mut stream = guard.connect();
    assert_granted(&mut stream);
    guard.signal(Signal::STOP);
    let mut writer = stream.try_clone().expect("another handle");
    // More than socket buffers hold in either direction may wait in the writer.
    let sender = std::thread::spawn(move || {
        writer
            .write_all(granted_request().repeat(REQUESTS).as_bytes())
            .expect("sent");
    });
    guard.signal(Signal::TERM);
    guard.signal(Signal::CONT);
    let mut answers = 0;
    while let Some(answer) = Answer::read(&mut stream, false) {
        assert_eq!(answer.status, 200, "{answer:?}");
        answers += 1;
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    sender.join().expect("all of them are sent");
    assert_eq!(answers, REQUESTS);
    assert_stops(&mut guard);
}

#[test]
fn a_half_head_at_sigterm_is_answered_once_it_is_whole_and_idle_ones_are_closed() {
    // The drain ends by what happens here, not by its timeout.
    let port = HeldPort::new();
    let mut guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("LISTEN", &port.address.to_string()),
        ("DRAIN_TIMEOUT", "600"),
        ("HEAD_TIMEOUT", "600"),
        ("WORKERS", "1"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let operator = Watch::begin(guard.second_address());
    let mut idle = guard.connect();
    assert_granted(&mut idle);
    let mut silent = guard.connect();
    let mut half = guard.connect();
    half.write_all(&[granted_request().as_bytes(), HALF_HEAD].concat())
        .expect("sent");
    read_granted(&mut half);
    guard.signal(Signal::TERM);
    guard.wait_for_log(|line| line.contains("draining"));
    assert_ends(&mut idle);
    assert_ends(&mut silent);
    eventually("new connections are refused", || {
        TcpStream::connect(guard.address).is_err()
    });
    assert!(guard.is_running(), "it waits for the half-sent head");
    let counted = operator.end();
    let closed = "origin_guard_connections_closed_total{reason=\"drain\"} 2\n";
    assert!(counted.contains(closed), "{counted}");
    half.write_all(rest_of_head().as_bytes()).expect("sent");
    let answer = read_granted(&mut half);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_ends(&mut half);
    assert_stops(&mut guard);
}

#[test]
fn a_stuck_connection_does_not_outlast_the_drain_timeout() {
    let mut guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("DRAIN_TIMEOUT", "0.5"),
        ("HEAD_TIMEOUT", "600"),
    ]);
    let mut half = guard.connect();
    half.write_all(&[granted_request().as_bytes(), HALF_HEAD].concat())
        .expect("sent");
    read_granted(&mut half);
    guard.signal(Signal::TERM);
    assert_stops(&mut guard);
    guard.wait_for_log(|line| line.contains("unfinished=1"));
    assert_ends(&mut half);
}

#[test]
fn a_second_signal_ends_the_drain() {
    let mut guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("DRAIN_TIMEOUT", "600"),
        ("HEAD_TIMEOUT", "600"),
    ]);
    let mut half = guard.connect();
    half.write_all(&[granted_request().as_bytes(), HALF_HEAD].concat())
        .expect("sent");
    read_granted(&mut half);
    guard.signal(Signal::TERM);
    guard.wait_for_log(|line| line.contains("draining"));
    guard.signal(Signal::TERM);
    assert_stops(&mut guard);
    assert_ends(&mut half);
}
