//! Clients that never stop asking, beside one that asks now and then.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::peers::{StopOnDrop, assert_granted, eventually, raise_file_limit};
use crate::support::{Guard, SECRET, granted_request};

const PIPELINERS: usize = 300;
/// Requests of a quiet client while the others are at it.
const ASKED: u64 = 100;

/// Sends requests on all of `streams` without a pause, and reads what comes; counts the
/// bytes of it.
fn pipeline(streams: Vec<TcpStream>, read: &AtomicU64, stop: &AtomicBool) {
    let requests = granted_request().repeat(200);
    let mut poll = Poll::new().expect("epoll");
    let mut streams: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, stream)| {
            stream.set_nonblocking(true).expect("set");
            let mut stream = mio::net::TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(number), interest)
                .expect("registered");
            (stream, 0)
        })
        .collect();
    let mut events = Events::with_capacity(1024);
    let mut answers = vec![0; 64 * 1024];
    while !stop.load(SeqCst) {
        let wait = Duration::from_millis(100);
        poll.poll(&mut events, Some(wait)).expect("polled");
        for event in &events {
            let (stream, sent) = &mut streams[event.token().0];
            loop {
                match stream.read(&mut answers) {
                    Ok(count @ 1..) => read.fetch_add(count as u64, SeqCst),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    other => panic!("{other:?}"),
                };
            }
            loop {
                match stream.write(&requests.as_bytes()[*sent % requests.len()..]) {
                    Ok(count) => *sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

/// Counted, not timed: answers that others get while one request waits.
#[test]
fn a_quiet_client_is_answered_long_before_the_requests_that_others_pipelined() {
    raise_file_limit();
    // A machine under load may take longer than the defaults.
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("WORKERS", "1"),
        ("HEAD_TIMEOUT", "600"),
        ("WRITE_TIMEOUT", "600"),
    ]);
    let mut quiet = guard.connect();
    let answer = assert_granted(&mut quiet);
    let fields = answer.headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let length = "HTTP/1.1 200 OK\r\n\r\n".len() + fields + answer.body.len();
    let (read, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..PIPELINERS).map(|_| guard.connect()).collect();
        let stopping = StopOnDrop(&stop);
        let pipelining = scope.spawn(|| pipeline(streams, &read, &stop));
        let enough = (PIPELINERS * 200 * length) as u64;
        eventually("they are at it", || {
            read.load(SeqCst) > enough || pipelining.is_finished()
        });
        let before = read.load(SeqCst);
        for _ in 0..ASKED {
            assert_granted(&mut quiet);
        }
        let answers = (read.load(SeqCst) - before) / length as u64;
        drop(stopping);
        pipelining.join().expect("they went on");
        crate::support::say(&format!("{} answers of others for each", answers / ASKED));
        // A turn of each of them would be as many as they are, times what a turn answers.
        let most = PIPELINERS as u64 * 4;
        assert!(answers / ASKED < most, "{answers} for {ASKED}");
    });
}
