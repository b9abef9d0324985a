//! Timeouts, and the longest body.

use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::scripted::{
    End, Silent, WATCHED, broken, client, get, granted, guard_for, noise, ok, pair,
};
use crate::support::PATIENCE;
use crate::support::metrics::wait_for;

const BAD_GATEWAY_TIMEOUT: &str = r#"{"error":"Gateway timeout"}"#;

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).expect("UTF-8")
}

#[test]
fn a_body_that_is_too_long_is_a_413() {
    let (backend, guard) = pair(&[("MAX_BODY_BYTES", "10"), WATCHED]);
    let length = |length: u64| granted("POST / HTTP/1.1", &format!("Content-Length: {length}\r\n"));
    let mut exact = client(&guard);
    exact.send(length(10) + "0123456789");
    let mut peer = backend.accept();
    assert_eq!(peer.request().body, b"0123456789");
    peer.send(ok("a"));
    exact.answered_with("a");
    exact.send(
        granted("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n")
            + "a\r\n0123456789\r\n0\r\n\r\n",
    );
    assert_eq!(peer.request().body, b"0123456789");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nb");
    exact.answered_with("b");
    peer.ends();
    // By its length it is known at once, and a client that waits is not told to go on.
    let mut long = client(&guard);
    long.send(granted(
        "POST / HTTP/1.1",
        "Expect: 100-continue\r\nContent-Length: 11\r\n",
    ));
    let answer = long.answered(413);
    assert_eq!(answer.head.field("connection"), Some("close"));
    long.send("0123456789A");
    long.half_close();
    long.ends();
    assert!(backend.accepted().is_none(), "nothing of it is forwarded");
    // By its chunks, as soon as it is too long.
    let mut chunked = client(&guard);
    chunked.send(granted("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "5\r\n01234\r\n");
    let (mut peer, _) = backend.accept_head();
    assert_eq!(peer.take(10), b"5\r\n01234\r\n");
    chunked.send("6\r\n012345\r\n");
    let answer = chunked.answered(413);
    assert_eq!(answer.head.field("connection"), Some("close"));
    chunked.send("0\r\n\r\n");
    chunked.half_close();
    chunked.ends();
    let (rest, _) = peer.rest();
    assert_eq!(text(&rest), "", "it is not ended as if whole");
    let refused = "requests_total{verdict=\"bad_request\",status=\"413\"} 1".to_owned();
    wait_for(
        guard.second_address(),
        &[refused, broken("body_too_large", 1)],
    );
}

#[test]
fn a_body_that_stops_is_a_408() {
    let (backend, guard) = pair(&[("BODY_TIMEOUT", "2"), WATCHED]);
    let mut client = client(&guard);
    client.send(granted("POST / HTTP/1.1", "Content-Length: 5\r\n"));
    let (mut peer, _) = backend.accept_head();
    for _ in 0..4 {
        // Each byte begins the time anew; that it passes is the case.
        std::thread::sleep(Duration::from_millis(600));
        client.send("x");
        peer.take(1);
    }
    let answer = client.answered(408);
    assert_eq!(answer.head.field("connection"), Some("close"));
    assert_eq!(client.ends(), End::Closed);
    peer.ends();
    wait_for(guard.second_address(), &[broken("body_timeout", 1)]);
}

/// `BODY_TIMEOUT` stands still while the backend does not read.
#[test]
fn a_backend_that_reads_slowly_is_no_fault_of_the_client() {
    const LENGTH: usize = 30_000_000;
    let body = noise(LENGTH);
    let sent = body.clone();
    let (backend, guard) = pair(&[("BODY_TIMEOUT", "0.3")]);
    let mut client = client(&guard);
    let mut writer = client.try_clone();
    let sender = std::thread::spawn(move || {
        let length = format!("Content-Length: {LENGTH}\r\n");
        writer.send(granted("POST / HTTP/1.1", &length));
        writer.send(sent);
    });
    let (mut peer, _) = backend.accept_head();
    // The pause is the case.
    std::thread::sleep(Duration::from_secs(1));
    assert!(peer.take(LENGTH) == body);
    peer.send(ok("all"));
    client.answered_with("all");
    sender.join().expect("sent");
}

#[test]
fn a_backend_that_takes_no_connection_is_a_504() {
    let silent = Silent::new();
    let limits = [("BACKEND_CONNECT_TIMEOUT", "0.5"), WATCHED];
    let guard = guard_for(&silent.url(), &limits);
    let mut client = client(&guard);
    client.send(get("/"));
    let answer = client.answered(504);
    assert_eq!(text(&answer.body), BAD_GATEWAY_TIMEOUT);
    assert_eq!(answer.head.field("content-type"), Some("application/json"));
    assert_eq!(answer.head.field("connection"), None);
    let url = silent.url();
    let backend = url.strip_prefix("http://").expect("a scheme");
    let failures = |reason: &str, count: u32| {
        format!("backend_failures_total{{backend=\"{backend}\",reason=\"{reason}\"}} {count}")
    };
    wait_for(
        guard.second_address(),
        &[failures("connect_timeout", 1), failures("timeout", 0)],
    );
}

#[test]
fn a_backend_that_does_not_answer_is_a_504() {
    let (backend, guard) = pair(&[("BACKEND_TIMEOUT", "0.5")]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    let answer = client.answered(504);
    assert_eq!(text(&answer.body), BAD_GATEWAY_TIMEOUT);
    peer.ends();
    // The client's connection is good still.
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("a"));
    client.answered_with("a");
}

/// All of a head has one timeout, however its bytes come, interim answers included.
#[test]
fn a_head_that_dribbles_is_a_504() {
    let (backend, guard) = pair(&[("BACKEND_TIMEOUT", "1")]);
    for endless in ["x", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let mut client = client(&guard);
        client.send(get("/"));
        let (mut peer, _) = backend.accept_head();
        if endless == "x" {
            peer.send("HTTP/1.1 200 OK\r\nX-Long: ");
        }
        let began = Instant::now();
        while !peer.has_more() {
            assert!(began.elapsed() < PATIENCE, "{endless} goes on for ever");
            std::thread::sleep(Duration::from_millis(100));
            let _ = std::io::Write::write_all(&mut peer.stream, endless.as_bytes());
        }
        loop {
            let answer = client.answer();
            if answer.head.status() != 103 {
                assert_eq!(answer.head.status(), 504);
                break;
            }
        }
    }
}

#[test]
fn a_body_may_take_its_time_between_bytes_but_not_for_ever() {
    let (backend, guard) = pair(&[("BACKEND_TIMEOUT", "2")]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..4 {
        // The time that passes is the case.
        std::thread::sleep(Duration::from_millis(600));
        peer.send("1\r\nx\r\n");
    }
    assert_eq!(client.head().status(), 200);
    let (rest, _) = client.rest();
    assert_eq!(text(&rest), "1\r\nx\r\n".repeat(4), "it is broken off");
    peer.ends();
}

/// The backend's time stands still while the client does not read.
#[test]
fn a_client_that_pauses_gets_the_whole_answer() {
    const LENGTH: usize = 30_000_000;
    let body = noise(LENGTH);
    let sent = body.clone();
    let (backend, guard) = pair(&[("BACKEND_TIMEOUT", "0.5"), ("WRITE_TIMEOUT", "30")]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    let sender = std::thread::spawn(move || {
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
        ));
        peer.send(sent);
        peer
    });
    // The pause is the case.
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(client.answered(200).body == body);
    sender.join().expect("sent");
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let (backend, guard) = pair(&[("WRITE_TIMEOUT", "0.5"), WATCHED]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    let length = 30_000_000;
    peer.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    ));
    let sent = std::io::Write::write_all(&mut peer.stream, &noise(length));
    sent.expect_err("the connection ends");
    let (rest, end) = client.rest();
    assert!(rest.len() < length);
    assert_eq!(end, End::Reset);
    let closed = "connections_closed_total{reason=\"write_timeout\"} 1".to_owned();
    wait_for(
        guard.second_address(),
        &[closed, broken("write_timeout", 1)],
    );
}

/// What is left of an answer when the backend is done has the time of what is forwarded,
/// not that of answers of our own.
#[test]
fn a_client_that_pauses_before_the_end_gets_it() {
    let (backend, guard) = pair(&[]);
    // For some of them less is left than the guard reads at once, and more than the
    // client's window and the kernel take.
    let paused: Vec<_> = (150_000..500_000)
        .step_by(10_000)
        .map(|length| {
            let mut client = client(&guard);
            set_socket_recv_buffer_size(&client.stream, 32 * 1024).expect("set");
            client.send(granted("GET / HTTP/1.1", "Connection: close\r\n"));
            let (mut peer, _) = backend.accept_head();
            let sender = std::thread::spawn(move || {
                peer.send(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
                ));
                peer.send(noise(length));
            });
            (client, length, sender)
        })
        .collect();
    // The pause is the case: longer than WRITE_TIMEOUT has for answers of our own.
    std::thread::sleep(Duration::from_secs(12));
    for (mut client, length, sender) in paused {
        assert!(client.answered(200).body == noise(length), "{length}");
        sender.join().expect("sent");
    }
}

/// Where no file is left for a connection to the backend, the guard is full, and the
/// backend is not at fault.
#[test]
fn without_a_file_for_the_backend_it_is_a_503() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let (backend, guard) = pair(&[WATCHED]);
    let mut client = client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na");
    client.answered_with("a");
    peer.ends();
    let pid = Pid::from_raw(guard.pid().cast_signed());
    let limit = |current| {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let new = Rlimit { current, maximum };
        prlimit(pid, Resource::Nofile, new).expect("set")
    };
    let before = limit(Some(3));
    client.send(get("/"));
    let answer = client.answered(503);
    assert_eq!(answer.head.field("connection"), Some("close"));
    client.ends();
    assert!(backend.accepted().is_none());
    limit(before.current);
    let mut client = crate::scripted::client(&guard);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("a"));
    client.answered_with("a");
    wait_for(guard.second_address(), &[broken("full", 1)]);
}
