//! What is sent again, and what never is.

use std::io::Read as _;
use std::time::Duration;

use crate::scripted::{Backend, Peer, client, get, granted, guard_for, ok, pair};
use crate::support::Guard;

/// A client and the backend's connection, which has been used once.
fn kept(backend: &Backend, guard: &Guard) -> (Peer, Peer) {
    let mut client = client(guard);
    client.send(get("/first"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("first"));
    client.answered_with("first");
    (client, peer)
}

fn post(path: &str) -> String {
    granted(&format!("POST {path} HTTP/1.1"), "Content-Length: 2\r\n") + "hi"
}

#[test]
fn a_get_goes_once_more_where_a_kept_connection_ends_without_an_answer() {
    let (backend, guard) = pair(&[]);
    for resets in [false, true] {
        let (mut client, mut peer) = kept(&backend, &guard);
        client.send(get("/again"));
        peer.head();
        if resets {
            peer.reset();
        } else {
            drop(peer);
        }
        let (mut peer, head) = backend.accept_head();
        assert_eq!(head.line, "GET /again HTTP/1.1");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nagain");
        client.answered_with("again");
    }
}

#[test]
fn it_goes_once_more_and_no_third_time() {
    let (backend, guard) = pair(&[]);
    let (mut client, mut peer) = kept(&backend, &guard);
    client.send(get("/again"));
    peer.head();
    drop(peer);
    let (peer, _) = backend.accept_head();
    drop(peer);
    client.answered(502);
    assert!(backend.accepted().is_none());
}

#[test]
fn on_a_fresh_connection_nothing_goes_twice() {
    let (backend, guard) = pair(&[]);
    let mut client = client(&guard);
    client.send(get("/"));
    drop(backend.accept_head());
    client.answered(502);
    assert!(backend.accepted().is_none());
}

#[test]
fn what_has_begun_to_be_answered_does_not_go_again() {
    let (backend, guard) = pair(&[]);
    for answer in ["HTTP/1.1 2", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let (mut client, mut peer) = kept(&backend, &guard);
        client.send(get("/"));
        peer.head();
        peer.send(answer);
        peer.half_close();
        let mut found = client.answer();
        if found.head.status() == 103 {
            found = client.answer();
        }
        assert_eq!(found.head.status(), 502, "{answer}");
        assert!(backend.accepted().is_none(), "{answer}");
    }
}

#[test]
fn a_post_never_goes_twice() {
    let (backend, guard) = pair(&[]);
    for method in ["POST", "PATCH", "LOCK", "MADE-UP"] {
        let (mut client, mut peer) = kept(&backend, &guard);
        client.send(granted(&format!("{method} / HTTP/1.1"), ""));
        // A connection that has just been used serves.
        peer.head();
        drop(peer);
        let answer = client.answered(502);
        assert_eq!(answer.head.field("connection"), None);
        assert!(backend.accepted().is_none());
    }
}

#[test]
fn what_cannot_go_twice_takes_no_connection_that_has_rested() {
    let (backend, guard) = pair(&[]);
    let put = granted("PUT / HTTP/1.1", "Content-Length: 2\r\n") + "hi";
    for request in [post("/"), granted("POST / HTTP/1.1", ""), put] {
        let (mut client, old) = kept(&backend, &guard);
        // The rest is the case: half a second, and less than BACKEND_IDLE_TIMEOUT.
        std::thread::sleep(Duration::from_millis(700));
        client.send(&request);
        let mut peer = backend.accept();
        assert!(
            request.starts_with(
                peer.request()
                    .head
                    .line
                    .split(' ')
                    .next()
                    .expect("a method")
            )
        );
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na");
        client.answered_with("a");
        assert!(old.has_more() || backend.accepted().is_none());
    }
}

#[test]
fn a_body_that_has_not_begun_lets_its_request_go_again() {
    let (backend, guard) = pair(&[]);
    let (mut client, mut peer) = kept(&backend, &guard);
    client.send(granted(
        "PUT / HTTP/1.1",
        "Expect: 100-continue\r\nContent-Length: 2\r\n",
    ));
    peer.head();
    client.answered(100);
    drop(peer);
    let (mut peer, _) = backend.accept_head();
    client.send("hi");
    assert_eq!(peer.take(2), b"hi");
    peer.send(ok("a"));
    client.answered_with("a");
}

/// One request that cannot go twice does not close all that rest.
#[test]
fn a_post_leaves_the_connections_that_rest_to_others() {
    let (backend, guard) = pair(&[]);
    let mut clients: Vec<_> = (0..8).map(|_| client(&guard)).collect();
    let mut peers = Vec::new();
    for client in &mut clients {
        client.send(get("/"));
        peers.push(backend.accept_head().0);
    }
    for (client, peer) in clients.iter_mut().zip(&mut peers) {
        peer.send(ok("a"));
        client.answered_with("a");
    }
    std::thread::sleep(Duration::from_millis(700));
    clients[0].send(post("/"));
    let mut fresh = backend.accept();
    fresh.request();
    let open = peers.iter().filter(|peer| !peer.has_more()).count();
    assert!(open >= 7, "{open} of 8 are left");
    fresh.send(ok("b"));
    clients[0].answered_with("b");
}

/// Serves one connection, and closes it after `idle` without a request.
fn serve_until_idle(mut peer: Peer, idle: Duration) {
    loop {
        peer.stream.set_read_timeout(Some(idle)).expect("set");
        let mut first = [0];
        match peer.stream.peek(&mut first) {
            Ok(1) => {}
            Ok(_) | Err(_) => return,
        }
        let request = peer.request();
        let path = request
            .head
            .line
            .split(' ')
            .nth(1)
            .expect("a path")
            .to_owned();
        peer.send(ok(&path));
    }
}

/// Requests at the moments at which the backend closes.
fn against_idle_timeout(seconds: u64) {
    let idle = Duration::from_secs(seconds);
    let backend = Backend::new();
    let guard = guard_for(&backend.url(), &[]);
    backend.serve(move |peer| serve_until_idle(peer, idle));
    let shortest = idle.saturating_sub(Duration::from_millis(6));
    std::thread::scope(|scope| {
        for offset in 0..7 {
            let pause = shortest + Duration::from_millis(2 * offset);
            for is_post in [false, true] {
                let mut client = client(&guard);
                scope.spawn(move || {
                    for number in 0..3 {
                        let path = format!("/{offset}-{is_post}-{number}");
                        client.send(if is_post { post(&path) } else { get(&path) });
                        client.answered_with(&path);
                        // The pause is the case.
                        std::thread::sleep(pause);
                    }
                });
            }
        }
    });
}

#[test]
fn none_fails_against_a_backend_that_closes_after_one_second() {
    against_idle_timeout(1);
}

#[test]
fn none_fails_against_a_backend_that_closes_after_two_seconds() {
    against_idle_timeout(2);
}

#[test]
fn none_fails_against_a_backend_that_closes_after_five_seconds() {
    against_idle_timeout(5);
}

#[test]
fn a_connection_that_rests_is_given_up_in_time() {
    let (backend, guard) = pair(&[("BACKEND_IDLE_TIMEOUT", "0.3")]);
    let (mut client, mut peer) = kept(&backend, &guard);
    let mut byte = [0];
    assert_eq!(peer.stream.read(&mut byte).expect("the end"), 0);
    client.send(get("/"));
    let (mut peer, _) = backend.accept_head();
    peer.send(ok("a"));
    client.answered_with("a");
}

/// A head is there still when it has to go again.
#[test]
fn a_long_head_goes_again_whole() {
    let (backend, guard) = pair(&[]);
    let (mut client, mut peer) = kept(&backend, &guard);
    let long = "x".repeat(50_000);
    client.send(granted("GET / HTTP/1.1", &format!("X-Long: {long}\r\n")));
    assert_eq!(peer.head().field("x-long"), Some(&*long));
    drop(peer);
    let (mut peer, head) = backend.accept_head();
    assert_eq!(head.field("x-long"), Some(&*long));
    peer.send(ok("again"));
    client.answered_with("again");
}

/// Clients that wait for room in a Unix socket's backlog get it, all of them.
#[test]
fn many_wait_for_a_unix_socket() {
    use crate::scripted::{accept_unix, socket_path, unix_url};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    const CLIENTS: usize = 200;
    let path = socket_path("many");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &SocketAddrUnix::new(&path).expect("a path")).expect("bound");
    listen(&listener, 1).expect("listens");
    let guard = guard_for(&unix_url(&path), &[("BACKEND_CONNECT_TIMEOUT", "30")]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&guard)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(post(&format!("/{number}")));
    }
    let listener = std::os::unix::net::UnixListener::from(listener);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CLIENTS {
                let mut peer = accept_unix(&listener);
                let line = peer.request().head.line;
                let path = line.split(' ').nth(1).expect("a path");
                let length = path.len();
                peer.send(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{path}"
                ));
            }
        });
        for (number, client) in clients.iter_mut().enumerate() {
            client.answered_with(&format!("/{number}"));
        }
    });
    std::fs::remove_file(path).expect("removed");
}
