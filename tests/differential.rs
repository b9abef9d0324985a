//! Real servers behind the guard understand of every request what it has logged of it, and
//! what its client has sent: generated requests, and all that are known to be hostile.
//!
//! `DIFFERENTIAL` is how many requests are generated for each server, 500 unless set;
//! `DIFFERENTIAL_SEED` makes them others.

#[path = "differential/answers.rs"]
mod answers;
#[path = "differential/log.rs"]
mod log;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/request.rs"]
mod request;
#[path = "differential/server.rs"]
mod server;
mod support;

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Instant;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use random::Random;
use request::{Fate, Request};
use server::{Program, Record, Server};
use support::corpus::{self, unescape};
use support::{Guard, PATIENCE, SECRET, say};

/// Behind what is sent, so that the connection ends.
const LAST: &str = "GET /f-last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// Requests after which the log is held against what the server has recorded.
const BATCH: usize = 250;

#[test]
fn tornado() {
    differ(Program::Tornado);
}

#[test]
fn uvicorn() {
    differ(Program::Uvicorn);
}

#[test]
fn gunicorn() {
    differ(Program::Gunicorn);
}

#[test]
fn node() {
    differ(Program::Node);
}

#[test]
fn php() {
    differ(Program::Php);
}

#[test]
fn nginx() {
    differ(Program::Nginx);
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number")),
    )
}

fn differ(program: Program) {
    let Some(server) = Server::start(program) else {
        return;
    };
    let count = number("DIFFERENTIAL").unwrap_or(500);
    let seed = number("DIFFERENTIAL_SEED").unwrap_or(13);
    let mut random = Random::new(seed as u64);
    let (mut next, mut taken) = (0, 0);
    while next < count {
        taken += generated(&server, &mut next, &mut random);
    }
    let (hostile, reached) = hostile(&server);
    say(&format!(
        "{program:?}: of {next} generated requests {taken} were taken, and of {hostile} hostile \
         inputs {reached}; no difference"
    ));
    assert!(taken * 3 > next, "the server refuses most");
}

/// One batch. Returns how many requests the server has taken.
fn generated(server: &Server, next: &mut usize, random: &mut Random) -> usize {
    let guard = guard(server);
    let (mut sent, mut answered) = (HashMap::new(), Vec::new());
    let end = *next + BATCH;
    while *next < end {
        let requests: Vec<_> = (0..=random.below(6))
            .map(|_| {
                *next += 1;
                Request::generate(*next, random)
            })
            .collect();
        answered.extend(converse(&guard, server.program, &requests, random));
        for request in requests {
            assert!(sent.insert(request.target.clone(), request).is_none());
        }
    }
    let records = settle(&guard, server);
    let taken = records.len();
    let mut arrived = HashSet::new();
    for record in &records {
        let request = sent.get(&record.target);
        let request = request.unwrap_or_else(|| panic!("nobody has sent {record:?}"));
        compare(record, request);
        assert!(
            arrived.insert(record.target.as_slice()),
            "twice: {record:?}"
        );
    }
    for target in &answered {
        assert!(
            arrived.contains(target.as_slice()),
            "{}",
            target.escape_ascii()
        );
    }
    taken
}

fn guard(server: &Server) -> Guard {
    Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("BACKEND", &format!("http://{}", server.address)),
        ("ACCESS_LOG", "1"),
        // So that the order of the log is that of what is answered.
        ("WORKERS", "1"),
    ])
}

/// Sends `requests` on one connection, in pieces. Returns the targets that the server says
/// it has taken.
fn converse(
    guard: &Guard,
    program: Program,
    requests: &[Request],
    random: &mut Random,
) -> Vec<Vec<u8>> {
    let mut stream = guard.connect();
    let mut bytes: Vec<u8> = requests
        .iter()
        .flat_map(|request| request.bytes.clone())
        .collect();
    bytes.extend(LAST.as_bytes());
    let pieces = 1 + random.below(9);
    let mut cuts: Vec<_> = (1..pieces).map(|_| random.below(bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for cut in cuts.windows(2) {
        // It may have closed before all is sent.
        if stream.write_all(&bytes[cut[0]..cut[1]]).is_err() {
            break;
        }
        std::thread::yield_now();
    }
    let given = read_to_end(&mut stream);
    let is_head = |at: usize| {
        requests
            .get(at)
            .is_some_and(|request| request.method == "HEAD")
    };
    let answers = answers::answers(&given, is_head);
    assert!(!answers.is_empty() && answers.len() <= requests.len() + 1);
    let mut taken = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        let is_last = at + 1 == answers.len();
        assert!(
            !is_last || answer.closes || at == requests.len(),
            "no end: {requests:#?}"
        );
        let Some(request) = requests.get(at) else {
            assert_eq!(answer.status, 401);
            break;
        };
        let shown = || {
            request.bytes[..request.bytes.len().min(2000)]
                .escape_ascii()
                .to_string()
        };
        // Node and uvicorn reset the connection behind a refusal without length, where more
        // of the request's body comes: it may be less than all, or may seem to be.
        let is_own = answer.body.starts_with(b"{\"error\"");
        let is_refusal = answer.status == 400 && !is_own;
        assert!(
            !answer.breaks_off || is_refusal,
            "{}: {}",
            answer.status,
            shown()
        );
        match request.fate {
            Fate::Denied => assert_eq!(answer.status, 401, "{}", shown()),
            Fate::Refused => {
                assert!(
                    (400..=501).contains(&answer.status) && is_last,
                    "{}",
                    shown()
                );
            }
            Fate::Granted => {
                // The server may refuse it, but the way there works.
                let closes = program.closes_at(request.method, &request.target);
                let failed = [401, 502, 504].contains(&answer.status);
                assert!(
                    !failed || closes && answer.status == 502,
                    "{}: {}",
                    answer.status,
                    shown()
                );
                if answer.status == 200 {
                    taken.push(request.target.clone());
                    if !answer.body.is_empty() {
                        let record = server::echoed(&answer.body);
                        assert_eq!(record.target, request.target, "another one's answer");
                    }
                }
            }
        }
    }
    taken
}

fn read_to_end(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let (mut given, mut bytes) = (Vec::new(), [0; 16384]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return given,
            Ok(read) => given.extend(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return given,
            Err(error) => panic!("{error} after {}", given.escape_ascii()),
        }
    }
}

/// Waits until the log is whole, and all is recorded that the server has answered well.
/// Each record must be of one line of the log, and each line of a good answer of one record.
fn settle(guard: &Guard, server: &Server) -> Vec<Record> {
    guard.ask("GET /f-settled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    guard.wait_for_log(|line| line.contains("request method=GET path=/f-settled"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let records = server.records();
        let mut lines = log::lines(guard);
        lines.retain(|line| line.forwarded);
        for record in &records {
            let path = log::shown(&record.target);
            let is_its = |line: &log::Line| line.method == record.method && line.path == path;
            // Of equal ones the good one is that which must have a record.
            let good = lines
                .iter()
                .position(|line| is_its(line) && line.status == 200);
            let at = good.or_else(|| lines.iter().position(is_its));
            let at = at.unwrap_or_else(|| panic!("it was not logged: {record:?}, {lines:#?}"));
            lines.swap_remove(at);
        }
        lines.retain(|line| line.status == 200);
        if lines.is_empty() {
            server.forget_records();
            return records;
        }
        assert!(
            Instant::now() < deadline,
            "nobody has understood {lines:#?}"
        );
        std::thread::yield_now();
    }
}

/// What the server has understood is what the client has sent.
fn compare(record: &Record, request: &Request) {
    assert_eq!(request.fate, Fate::Granted, "not granted: {record:?}");
    assert_eq!(record.method, request.method, "{record:?}");
    let values = |name: &str| {
        let named = record.fields.iter().filter(|(field, _)| field == name);
        let values = named.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        values.collect::<Vec<_>>()
    };
    assert!(values("x-shared-secret").is_empty(), "{record:?}");
    assert_eq!(values("host").join(","), request.host, "{record:?}");
    let all = values("x-consumer").join(",").replace(", ", ",");
    // nginx shows the first of several; newer ones show all.
    let consumers = request.consumers.join(",");
    let shown = record.body.is_some() || all.is_empty();
    assert!(
        all == consumers || !shown && consumers.starts_with(&all),
        "{record:?}, {consumers}"
    );
    let is_evil = |(_, value): &(String, Vec<u8>)| value.windows(4).any(|part| part == b"evil");
    assert!(!record.fields.iter().any(is_evil), "{record:?}");
    if let Some((length, digest)) = &record.body {
        assert_eq!(*length, request.body.len() as u64, "{record:?}");
        let expected = Sha256::digest(&request.body);
        assert_eq!(*digest, HEXLOWER.encode(&expected), "{record:?}");
    }
}

/// Sends all that is known to be hostile. Returns how many inputs that are, and how many
/// requests the server has taken.
fn hostile(server: &Server) -> (usize, usize) {
    let smuggling = include_str!("fronts/smuggling.txt").lines();
    let smuggling = smuggling.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let smuggling = smuggling.map(|line| unescape(line.splitn(3, " | ").nth(2).expect("an input")));
    let known: Vec<_> = corpus::entries()
        .into_iter()
        .map(|entry| entry.input)
        .collect();
    let (inputs, mut reached) = (smuggling.chain(known).collect::<Vec<_>>(), 0);
    for inputs in inputs.chunks(BATCH) {
        let guard = guard(server);
        for input in inputs {
            let mut stream = guard.connect();
            // It may close before all is sent.
            let _ = stream.write_all(&[input, LAST.repeat(40).as_bytes()].concat());
            let _ = stream.shutdown(Shutdown::Write);
            read_to_end(&mut stream);
        }
        let records = settle(&guard, server);
        reached += records.len();
        for record in &records {
            let shown = record.target.escape_ascii().to_string();
            assert!(
                !shown.contains("forbidden") && !shown.contains("/f-"),
                "{record:?}"
            );
            let is_secret = |(name, value): &(String, Vec<u8>)| {
                name == "x-shared-secret"
                    || value
                        .windows(SECRET.len())
                        .any(|part| part == SECRET.as_bytes())
            };
            assert!(!record.fields.iter().any(is_secret), "{record:?}");
        }
    }
    (inputs.len(), reached)
}
