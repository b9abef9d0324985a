//! One budget of memory for all connections: who holds most gives it back.

use std::io::Write;
use std::net::TcpStream;

use crate::peers::{assert_granted, assert_taken, raise_file_limit};
use crate::support::metrics::wait_for;
use crate::support::{Answer, Guard, SECRET, granted_request};

/// `MAX_HEAD_BYTES`, unless it is set.
const LONGEST: usize = 65_536;
/// What all connections together may hold.
const BUDGET: usize = 8 * 1024 * 1024;

/// A good request whose head has `length` bytes.
fn long_request(length: usize) -> Vec<u8> {
    let request = granted_request();
    let head = request.strip_suffix("\r\n").expect("its end");
    let filling = length - request.len() - "X: \r\n".len();
    format!("{head}X: {}\r\n\r\n", "a".repeat(filling)).into_bytes()
}

/// Sends half a head of `length` bytes, as far as the guard takes it.
fn hold(guard: &Guard, length: usize) -> TcpStream {
    let mut stream = guard.connect();
    // It may be among those that have to go.
    let _ = stream.write_all(&long_request(LONGEST)[..length]);
    stream
}

#[test]
fn the_longest_head_in_two_packets_has_room_however_many_workers_there_are() {
    for workers in ["1", "2", "256"] {
        let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("WORKERS", workers)]);
        let request = long_request(LONGEST);
        let mut kept = guard.connect();
        assert_granted(&mut kept);
        for cut in [1, 1000, LONGEST / 2, LONGEST - 1] {
            let mut stream = guard.connect();
            stream.write_all(&request[..cut]).expect("sent");
            guard.assert_serves();
            assert_granted(&mut kept);
            stream.write_all(&request[cut..]).expect("sent");
            let answer = Answer::read(&mut stream, false).expect("an answer");
            assert_eq!(answer.status, 200, "cut at {cut}, WORKERS={workers}");
        }
    }
}

#[test]
fn past_the_budget_the_largest_goes_and_of_equal_ones_the_one_that_began_first() {
    const HELD: usize = 60_000;
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("WORKERS", "1"),
        ("HEAD_TIMEOUT", "600"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let rest = |stream: &mut TcpStream, from: usize| {
        let _ = stream.write_all(&long_request(LONGEST)[from..]);
        Answer::read(stream, false).map(|answer| answer.status)
    };
    let mut kept = guard.connect();
    let mut small = hold(&guard, 1000);
    let large = (0..BUDGET / HELD + 20).map(|number| {
        let stream = hold(&guard, HELD);
        if number == BUDGET / LONGEST - 8 {
            // Buffers grow by doubling: soon they are too much, and all are whole by then.
            assert_taken(guard.address);
        }
        // One worker: the answer tells that its turn is over.
        assert_granted(&mut kept);
        assert_granted(&mut kept);
        stream
    });
    let mut large: Vec<_> = large.collect();
    let statuses: Vec<_> = large.iter_mut().map(|stream| rest(stream, HELD)).collect();
    let gone = statuses
        .iter()
        .take_while(|status| **status != Some(200))
        .count();
    assert!((20..60).contains(&gone), "{gone}: {statuses:?}");
    assert!(
        statuses[gone..].iter().all(|status| *status == Some(200)),
        "{statuses:?}"
    );
    assert_eq!(rest(&mut small, 1000), Some(200));
    drop(large);
    let closed = format!("connections_closed_total{{reason=\"memory\"}} {gone}");
    wait_for(guard.second_address(), &[closed]);
}

/// Several times the budget, held in heads of `length` bytes.
fn answered_beside_holders(length: usize, workers: &str) {
    raise_file_limit();
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("WORKERS", workers),
        ("HEAD_TIMEOUT", "60"),
    ]);
    let crowd = BUDGET / length * 5 / 4;
    let mut holders: Vec<_> = (0..crowd).map(|_| hold(&guard, length)).collect();
    let mut kept = guard.connect();
    let request = long_request(60 * 1024);
    for turn in 0..10 {
        let mut stream = guard.connect();
        for piece in request.chunks(4096) {
            stream.write_all(piece).expect("taken");
            // Each piece finds the budget used up anew. Half of the crowd is older than the
            // head by its end: nothing else tells the one from the other.
            for number in 0..crowd / 32 {
                let number = (turn * 7919 + number) % holders.len();
                holders[number] = hold(&guard, length);
            }
            assert_granted(&mut kept);
        }
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 200, "beside {crowd} that hold {length}");
    }
}

#[test]
fn a_long_head_in_pieces_is_answered_while_others_hold_the_whole_budget() {
    answered_beside_holders(60_000, "1");
    answered_beside_holders(60_000, "2");
}

#[test]
fn a_long_head_in_pieces_is_answered_while_many_small_ones_hold_the_whole_budget() {
    answered_beside_holders(8_000, "1");
    answered_beside_holders(8_000, "2");
}
