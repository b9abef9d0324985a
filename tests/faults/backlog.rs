//! As many connections at once as the kernel keeps, and none of them waits for a second
//! SYN (tcp(7)).

use std::collections::HashSet;
use std::os::unix::net::UnixStream;
use std::process::Command;

use mio::{Events, Interest, Poll, Token};
use rustix::process::Signal;

use crate::peers::{inheriting, raise_file_limit};
use crate::support::folder::Folder;
use crate::support::{Guard, PATIENCE, SECRET, installed};

fn somaxconn() -> usize {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("readable");
    text.trim().parse().expect("a number")
}

/// Column `Send-Q` of ss(8): the backlog of whoever listens at `address`.
fn backlog(address: &str) -> usize {
    let output = Command::new("ss").args(["-ltxnH"]).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.split_whitespace().any(|word| word == address));
    let line = line.unwrap_or_else(|| panic!("{address} is not in {text}"));
    let queue = line.split_whitespace().nth(3).expect("a column");
    queue.parse().expect("a number")
}

#[test]
fn the_backlog_is_what_the_kernel_allows() {
    if !installed("ss", "apt-get install iproute2") {
        return;
    }
    let folder = Folder::new("backlog");
    let socket = folder.path.join("own.sock");
    let address = format!("127.0.0.1:0,unix:{}", socket.display());
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("LISTEN", &address)]);
    assert_eq!(backlog(&guard.address.to_string()), somaxconn());
    guard.wait_for_log(|line| line.contains("own.sock"));
    assert_eq!(backlog(&socket.display().to_string()), somaxconn());
    drop(guard);

    let path = folder.path.join("inherited.sock");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let address = tcp.local_addr().expect("bound").to_string();
    let mut command = inheriting(tcp.into(), unix.into());
    let guard = Guard::spawn(command.env("SHARED_SECRET", SECRET));
    guard.wait_for_log(|line| line.contains("inherited.sock"));
    assert_eq!(backlog(&address), somaxconn());
    assert_eq!(backlog(&path.display().to_string()), somaxconn());
}

/// The guard is stopped: only the kernel answers them.
#[test]
fn a_thousand_connections_at_once_all_find_room() {
    raise_file_limit();
    let folder = Folder::new("crowd");
    let socket = folder.path.join("own.sock");
    let address = format!("127.0.0.1:0,unix:{}", socket.display());
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("LISTEN", &address)]);
    guard.wait_for_log(|line| line.contains("own.sock"));
    guard.signal(Signal::STOP);
    let count = somaxconn().min(1000);
    let mut poll = Poll::new().expect("epoll");
    let mut streams: Vec<_> = (0..count)
        .map(|number| {
            let mut stream = mio::net::TcpStream::connect(guard.address).expect("a socket");
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(number), Interest::WRITABLE)
                .expect("registered");
            stream
        })
        .collect();
    let mut connected = HashSet::new();
    let mut events = Events::with_capacity(1024);
    while connected.len() < count {
        poll.poll(&mut events, Some(PATIENCE)).expect("polled");
        let found = connected.len();
        assert!(!events.is_empty(), "{found} of {count} are connected");
        connected.extend(events.iter().map(mio::event::Event::token));
    }
    let local: Vec<_> = (0..count)
        .map(|_| UnixStream::connect(&socket).expect("connects"))
        .collect();
    guard.signal(Signal::CONT);
    streams.clear();
    drop(local);
    guard.assert_serves();
}
