//! As many connections as there may be: the longest-idle one makes room, or, where
//! none is idle, the new one is turned away; and it passes.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::peers::{
    HALF_HEAD, assert_ends, assert_granted, cpu_ticks, open_files, read_granted, rest_of_head,
};
use crate::support::metrics::wait_for;
use crate::support::{Answer, Guard, SECRET, granted_request};

fn asked(guard: &Guard) -> TcpStream {
    let mut stream = guard.connect();
    assert_granted(&mut stream);
    stream
}

#[test]
fn a_low_file_limit_lowers_max_connections_and_every_new_connection_is_answered() {
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "ulimit -n 64; exec \"$0\"",
            env!("CARGO_BIN_EXE_origin-guard"),
        ])
        .env_clear()
        .envs([
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "127.0.0.1:0"),
            ("WORKERS", "1"),
        ]);
    let guard = Guard::spawn(&mut command);
    let line = guard.wait_for_log(|line| line.contains("max_connections_lowered"));
    let fitting = line
        .split(" to=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let fitting: usize = fitting.expect("a number").parse().expect("a number");
    assert!((1..64).contains(&fitting), "{line}");
    assert!(line.contains(" from=10000 "), "{line}");
    for remedy in [
        "LimitNOFILE=10",
        "ulimit -n 10",
        &format!("MAX_CONNECTIONS={fitting}"),
    ] {
        assert!(line.contains(remedy), "{line}");
    }

    let mut streams: Vec<_> = (0..fitting + 100).map(|_| asked(&guard)).collect();
    let mut kept = streams.split_off(100);
    streams.iter_mut().for_each(assert_ends);
    for stream in &mut kept {
        assert_granted(stream);
    }
}

/// One worker, so that an answer proves that all before it is settled.
fn for_four() -> Guard {
    Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("MAX_CONNECTIONS", "4"),
        ("WORKERS", "1"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ])
}

#[test]
fn a_full_house_closes_exactly_the_longest_idle() {
    let guard = for_four();
    let mut streams: Vec<_> = (0..4).map(|_| asked(&guard)).collect();
    // The second of them is now the longest-idle one.
    assert_granted(&mut streams[0]);
    let mut fifth = asked(&guard);
    assert_ends(&mut streams[1]);
    for open in [0, 2, 3] {
        assert_granted(&mut streams[open]);
    }
    assert_granted(&mut fifth);
}

#[test]
fn where_none_is_idle_the_new_one_is_turned_away_until_one_is() {
    let guard = for_four();
    let mut streams: Vec<_> = (0..4).map(|_| asked(&guard)).collect();
    for stream in &mut streams[..3] {
        stream.write_all(HALF_HEAD).expect("sent");
    }
    // The last one's answer proves that the other heads have been looked at.
    let both = [granted_request().as_bytes(), HALF_HEAD].concat();
    streams[3].write_all(&both).expect("sent");
    read_granted(&mut streams[3]);

    let before = cpu_ticks(guard.pid());
    for _ in 0..200 {
        let mut turned_away = guard.connect();
        let answer = Answer::read(&mut turned_away, false).expect("an answer");
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_ends(&mut turned_away);
    }
    let used = cpu_ticks(guard.pid()) - before;
    assert!(
        used <= 100,
        "{used} ticks for 200 connections that were turned away"
    );

    for stream in &mut streams {
        stream.write_all(rest_of_head().as_bytes()).expect("sent");
        read_granted(stream);
    }
    asked(&guard);
    assert_ends(&mut streams[0]);
    for stream in &mut streams[1..] {
        assert_granted(stream);
    }
    let closed = "connections_closed_total{reason=\"full\"} 200".to_owned();
    wait_for(guard.second_address(), &[closed]);
}

#[test]
fn a_full_file_table_sheds_one_then_waits_without_spinning_and_recovers() {
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("WORKERS", "1"),
        ("HEAD_TIMEOUT", "4"),
    ]);
    let mut streams: Vec<_> = (0..5).map(|_| asked(&guard)).collect();

    // The limit is on a file's number, so that one below it that is free would be taken.
    let full = loop {
        let files = open_files(guard.pid());
        let highest = files.iter().max().expect("a file");
        if files.len() as u64 == highest + 1 {
            break Some(highest + 1);
        }
        streams.push(asked(&guard));
    };
    let pid = Pid::from_raw(i32::try_from(guard.pid()).expect("a pid"));
    let limit = Rlimit {
        current: full,
        maximum: full,
    };
    prlimit(pid, Resource::Nofile, limit).expect("limited");

    let mut newcomer = asked(&guard);
    guard.wait_for_log(|line| line.contains("accept_failed"));
    assert_ends(&mut streams[0]);
    for stream in &mut streams[1..] {
        assert_granted(stream);
    }

    newcomer.write_all(HALF_HEAD).expect("sent");
    let (last, others) = streams[1..].split_last_mut().expect("four");
    for stream in others {
        stream.write_all(HALF_HEAD).expect("sent");
    }
    last.write_all(&[granted_request().as_bytes(), HALF_HEAD].concat())
        .expect("sent");
    read_granted(last);

    // Nobody can make room until the heads time out.
    let before = cpu_ticks(guard.pid());
    let mut waiting = guard.connect();
    waiting
        .write_all(granted_request().as_bytes())
        .expect("sent");
    read_granted(&mut waiting);
    let used = cpu_ticks(guard.pid()) - before;
    for stream in streams[1..].iter_mut().chain([&mut newcomer]) {
        let answer = Answer::read(stream, false).expect("an answer");
        assert_eq!(answer.status, 408, "{answer:?}");
    }
    // Four seconds of spinning are 400 ticks where the processor is free.
    assert!(used <= 50, "{used} ticks while the file table was full");
    guard.wait_for_log(|line| line.contains("accept_recovered"));
    guard.assert_serves();
}
