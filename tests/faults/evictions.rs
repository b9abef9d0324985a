//! More connections than there are slots: who goes, in which order, and who never does.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rustix::process::Signal;

use crate::peers::{StopOnDrop, assert_ends, assert_granted, eventually, raise_file_limit};
use crate::support::{Answer, Guard, SECRET};

/// Has the connection presented a wrong secret, and its answer.
fn assert_denied(stream: &mut TcpStream) {
    let request = b"GET /protected HTTP/1.1\r\nHost: a\r\nX-Shared-Secret: wrong\r\n\r\n";
    stream.write_all(request).expect("sent");
    let answer = Answer::read(stream, false).expect("an answer");
    assert_eq!(answer.status, 401, "{answer:?}");
}

/// A connection that is answered for good, while its body is still to come.
fn lingering(guard: &Guard) -> TcpStream {
    let mut stream = guard.connect();
    let head = b"POST /protected HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n";
    stream.write_all(head).expect("sent");
    let answer = Answer::read(&mut stream, false).expect("an answer");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_ends(&mut stream);
    stream
}

fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("set");
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Whether the connection, which the guard has half-closed, is gone altogether.
fn is_reset(stream: &TcpStream) -> bool {
    let mut stream = stream;
    stream.write_all(b"more of the body").is_err()
}

/// The connections come in turn to one worker and the other.
fn evicted_in_order(workers: &str) {
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("MAX_CONNECTIONS", "8"),
        ("WORKERS", workers),
        ("HEAD_TIMEOUT", "60"),
    ]);
    let silent = guard.connect();
    let mut half = guard.connect();
    half.write_all(b"G").expect("sent");
    let mut denied: Vec<_> = (0..3).map(|_| guard.connect()).collect();
    denied.iter_mut().for_each(assert_denied);
    let mut proven: VecDeque<_> = (0..2).map(|_| guard.connect()).collect();
    // The second time round tells that the first one has been taken account of.
    for _ in 0..2 {
        for stream in &mut proven {
            assert_granted(stream);
        }
    }
    // This one is the oldest of its kind for whoever goes by the last use.
    denied.iter_mut().for_each(assert_denied);
    for stream in &mut proven {
        assert_granted(stream);
    }

    let lingering = lingering(&guard);
    // It lingers once its turn is over: each worker has answered a later request then.
    for stream in &mut proven {
        assert_granted(stream);
    }
    let come = |proven: &mut VecDeque<TcpStream>| {
        let mut stream = guard.connect();
        assert_granted(&mut stream);
        proven.push_back(stream);
    };
    come(&mut proven);
    eventually("the lingering one is gone", || is_reset(&lingering));
    let mut unproven = VecDeque::from([silent, half]);
    unproven.extend(denied);
    while let Some(mut first) = unproven.pop_front() {
        assert!(is_open(&mut first), "gone before its turn");
        come(&mut proven);
        assert_ends(&mut first);
        for other in unproven.iter_mut().chain(&mut proven) {
            assert!(is_open(other), "evicted in place of one before it");
        }
    }
    // Who is left has proven itself.
    for _ in 0..4 {
        let mut first = proven.pop_front().expect("one");
        assert!(is_open(&mut first), "gone before its turn");
        come(&mut proven);
        assert_ends(&mut first);
        for other in &mut proven {
            assert!(is_open(other), "evicted in place of one before it");
        }
    }
}

#[test]
fn one_worker_evicts_lingering_then_unproven_by_accept_then_proven_by_idleness() {
    evicted_in_order("1");
}

#[test]
fn two_workers_evict_in_the_same_order_together() {
    evicted_in_order("2");
}

/// The guard is stopped, so that it accepts them all before a worker has seen any.
#[test]
fn a_burst_of_more_than_all_slots_evicts_nobody_who_has_proven_himself() {
    for workers in ["1", "2"] {
        let guard = Guard::with(&[
            ("SHARED_SECRET", SECRET),
            ("MAX_CONNECTIONS", "8"),
            ("WORKERS", workers),
        ]);
        let mut kept = guard.connect();
        for _ in 0..20 {
            assert_granted(&mut kept);
            guard.signal(Signal::STOP);
            let burst: Vec<_> = (0..100).map(|_| guard.connect()).collect();
            guard.signal(Signal::CONT);
            assert_granted(&mut kept);
            guard.assert_serves();
            drop(burst);
        }
    }
}

/// Keeps `count` connections that have sent half a head, and renews each as it is cut,
/// until told to stop.
fn half_heads(address: SocketAddr, count: usize, renewed: &AtomicUsize, stop: &AtomicBool) {
    let mut poll = Poll::new().expect("epoll");
    let mut events = Events::with_capacity(1024);
    let open = |poll: &Poll, number: usize| {
        let mut stream = mio::net::TcpStream::connect(address).expect("a socket");
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = poll.registry();
        registry
            .register(&mut stream, Token(number), interest)
            .expect("registered");
        stream
    };
    let mut streams: Vec<_> = (0..count).map(|number| open(&poll, number)).collect();
    while !stop.load(SeqCst) {
        let wait = Duration::from_millis(100);
        poll.poll(&mut events, Some(wait)).expect("polled");
        for event in &events {
            let Token(number) = event.token();
            let is_cut = event.is_read_closed() || event.is_error();
            if is_cut || streams[number].write(b"G").is_err() {
                streams[number] = open(&poll, number);
                renewed.fetch_add(1, SeqCst);
            }
        }
    }
}

#[test]
fn ten_thousand_half_heads_that_are_renewed_lock_nobody_out() {
    raise_file_limit();
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("MAX_CONNECTIONS", "1000")]);
    let mut kept = guard.connect();
    assert_granted(&mut kept);
    let (renewed, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let stopping = StopOnDrop(&stop);
        let attack = scope.spawn(|| half_heads(guard.address, 10_000, &renewed, &stop));
        eventually("each has been cut once", || {
            renewed.load(SeqCst) >= 10_000 || attack.is_finished()
        });
        let mut answered = 0;
        for _ in 0..100 {
            assert_granted(&mut kept);
            let mut fresh = guard.connect();
            let request = crate::support::granted_request();
            let sent = fresh.write_all(request.as_bytes()).is_ok();
            let answer = sent.then(|| Answer::read(&mut fresh, false)).flatten();
            answered += usize::from(answer.is_some_and(|answer| answer.status == 200));
            assert_granted(&mut kept);
        }
        let before = renewed.load(SeqCst);
        eventually("it goes on", || renewed.load(SeqCst) > before);
        drop(stopping);
        attack.join().expect("the attack went on");
        assert!(answered >= 99, "{answered} of 100 were answered");
    });
}
