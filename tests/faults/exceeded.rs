//! While all connections together hold more than the budget, a request that would be
//! forwarded is answered in place of the backend, and nothing else is lost.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use crate::memory::{Place, backend};
use crate::peers::{StopOnDrop, eventually, raise_file_limit};
use crate::support::port::HeldPort;
use crate::support::{Answer, Guard, PATIENCE, SECRET};

/// More downloads than the budget has room for, several times.
const MOST: usize = 2000;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Shared-Secret: {SECRET}\r\n\r\n")
}

fn ask(stream: &mut TcpStream) -> Answer {
    stream.write_all(get("/").as_bytes()).expect("sent");
    Answer::read(stream, false).expect("an answer")
}

/// Asks on one connection until told to stop, and counts the requests, and those that were
/// not forwarded.
fn ask_on(mut stream: TcpStream, asked: &AtomicU64, overloaded: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(SeqCst) {
        asked.fetch_add(1, SeqCst);
        let answer = ask(&mut stream);
        if answer.status == 503 {
            assert_eq!(answer.body, br#"{"error":"Service unavailable"}"#);
            assert_eq!(answer.header("connection"), None, "{answer:?}");
            overloaded.fetch_add(1, SeqCst);
        } else {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    // The connection is as good as before.
    eventually("it is forwarded again", || {
        let mut stream = stream.try_clone().expect("another handle");
        asked.fetch_add(1, SeqCst);
        ask(&mut stream).status == 200 || {
            overloaded.fetch_add(1, SeqCst);
            false
        }
    });
}

/// What the counter says of requests on which that was decided.
fn counted(guard: &Guard, decision: &str) -> u64 {
    let mut stream = TcpStream::connect(guard.second_address()).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("sent");
    let body = Answer::read(&mut stream, false).expect("an answer").body;
    let text = String::from_utf8(body).expect("UTF-8");
    let series = format!("origin_guard_requests_total{{{decision}}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&series));
    count.expect("the series").parse().expect("a number")
}

/// The budget is exceeded for as long as it takes to find who holds most, again and again.
/// Two workers: one is asked while the other one looks.
#[test]
fn a_request_past_the_budget_of_memory_is_a_503_that_is_logged_and_counted() {
    raise_file_limit();
    let port = HeldPort::new();
    let backend = backend(&Place::Tcp(port.address));
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("BACKEND", &port.url()),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
        ("WORKERS", "2"),
    ]);
    let (asked, overloaded) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopping = StopOnDrop(&stop);
        // Those that come one after the other come to different workers.
        let askers = [guard.connect(), guard.connect()];
        let askers =
            askers.map(|stream| scope.spawn(|| ask_on(stream, &asked, &overloaded, &stop)));
        let deadline = Instant::now() + PATIENCE;
        let mut downloads = Vec::new();
        while overloaded.load(SeqCst) == 0 {
            assert!(
                downloads.len() < MOST && Instant::now() < deadline,
                "all is forwarded beside {} downloads",
                downloads.len()
            );
            asked.fetch_add(1, SeqCst);
            let mut download = guard.connect();
            download.write_all(get("/large").as_bytes()).expect("sent");
            let mut status = [0; "HTTP/1.1 200".len()];
            // It may be among those that have to go.
            if download.read_exact(&mut status).is_ok() && status.ends_with(b"503") {
                overloaded.fetch_add(1, SeqCst);
            }
            downloads.push(download);
            assert!(
                !askers
                    .iter()
                    .any(std::thread::ScopedJoinHandle::is_finished)
            );
        }
        drop(downloads);
        drop(stopping);
        for asker in askers {
            asker.join().expect("all is answered");
        }
    });
    guard.wait_for_log(|line| line == "refused status=503 reason=memory client=127.0.0.1");
    let refused = counted(&guard, r#"verdict="overload",status="503""#);
    assert_eq!(refused, overloaded.load(SeqCst));
    // Each one counts once; of a download that had to go it may not be.
    let forwarded = counted(&guard, r#"verdict="granted",status="forwarded""#);
    let asked = asked.load(SeqCst);
    assert!(
        forwarded + refused <= asked,
        "{forwarded} and {refused} of {asked}"
    );
    drop(backend);
}
