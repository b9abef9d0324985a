//! The guard is down, hangs, or goes and comes again: nothing gets through meanwhile.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use rustix::process::Signal;

use crate::front::{Front, Proxy, Setup};
use crate::support::{Answer, Guard, PATIENCE, SECRET};

const UNAVAILABLE: &[u8] = br#"{"error":"Service unavailable"}"#;

with_each_proxy! {
    without_a_guard_nothing_passes
    a_guard_that_hangs_lets_nothing_pass
    a_guard_killed_under_load_closes_and_its_return_opens
}

fn request(target: &str, secret: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {secret}\r\n\r\n")
}

/// 503, as the files have it.
pub(crate) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body, UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

fn without_a_guard_nothing_passes(proxy: Proxy) {
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    for secret in [SECRET, "wrong", ""] {
        assert_unavailable(&front.ask(request("/forbidden", secret)));
    }
    let posting = "POST /forbidden HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    assert_unavailable(&front.ask(posting));
    // A socket file that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(front.socket()).expect("a socket"));
    assert_unavailable(&front.ask(request("/forbidden", SECRET)));
    assert!(front.seen().is_empty());
    let _guard = front.guard();
    assert_eq!(front.ask(request("/granted", SECRET)).status, 200);
    assert_eq!(front.seen().len(), 1);
}

fn a_guard_that_hangs_lets_nothing_pass(proxy: Proxy) {
    let Some((front, guard)) = Front::guarded(proxy) else {
        return;
    };
    assert_eq!(front.ask(request("/granted", SECRET)).status, 200);
    stop(&guard);
    assert_unavailable(&front.ask(request("/forbidden", SECRET)));
    guard.signal(Signal::CONT);
    let since = Instant::now();
    while front.ask(request("/granted", SECRET)).status != 200 {
        assert!(since.elapsed() < PATIENCE, "it is asked no more");
    }
    assert!(front.seen().iter().all(|seen| seen.target() == "/granted"));
}

fn a_guard_killed_under_load_closes_and_its_return_opens(proxy: Proxy) {
    let Some((front, guard)) = Front::guarded(proxy) else {
        return;
    };
    let done = AtomicBool::new(false);
    let (granted, closed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (front, done, granted, closed) = (&front, &done, &granted, &closed);
            scope.spawn(move || {
                let (target, secret, open) = if number % 2 == 0 {
                    ("/granted", SECRET, 200)
                } else {
                    ("/forbidden", "wrong", 401)
                };
                while !done.load(SeqCst) {
                    let mut stream = front.connect();
                    stream
                        .write_all(request(target, secret).as_bytes())
                        .expect("sent");
                    let answer = Answer::read(&mut stream, false).expect("an answer");
                    match answer.status {
                        503 => closed.fetch_add(1, SeqCst),
                        status if status == open => {
                            granted.fetch_add(u64::from(open == 200), SeqCst)
                        }
                        _ => panic!("{target}: {answer:?}"),
                    };
                }
            });
        }
        let _stop = Stop(&done);
        let some_more = |count: &AtomicU64, what: &str| {
            let (before, since) = (count.load(SeqCst), Instant::now());
            while count.load(SeqCst) < before + 50 {
                assert!(since.elapsed() < PATIENCE, "no more are {what}");
                std::thread::yield_now();
            }
        };
        let mut guard = guard;
        for _ in 0..3 {
            some_more(&granted, "granted");
            drop(guard);
            some_more(&closed, "closed out");
            guard = front.guard();
        }
        some_more(&granted, "granted");
    });
    let seen = front.seen();
    assert!(
        seen.iter().all(|seen| seen.target() == "/granted"),
        "{seen:?}"
    );
    // Whoever was granted has been at the backend, and nobody else.
    assert_eq!(seen.len() as u64, granted.load(SeqCst));
}

/// Stops every thread of it; the signal alone has done so some time after it is sent.
fn stop(guard: &Guard) {
    guard.signal(Signal::STOP);
    let since = Instant::now();
    let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat"));
        // proc(5): the state is behind the name, which ends at the last parenthesis.
        stat.expect("its stat")
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
    };
    let tasks = format!("/proc/{}/task", guard.pid());
    while !std::fs::read_dir(&tasks)
        .expect("its threads")
        .all(is_stopped)
    {
        assert!(since.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
}

/// Ends a load when dropped, also where an assertion fails.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
