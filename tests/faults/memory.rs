//! The unit's `MemoryMax=` against connections that are made to cost memory.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustix::net::Shutdown;
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::cgroup::{Cgroup, Usage};
use crate::peers::{eventually, inheriting, raise_file_limit};
use crate::support::folder::Folder;
use crate::support::{self, Answer, Guard, SECRET, granted_request};

/// Connections that the unit allows, and as many as attack.
const CONNECTIONS: usize = 1000;

/// The value of a setting of the unit that the binary prints.
fn setting(arguments: &[&str], name: &str) -> String {
    let output = support::command().args(arguments).output();
    let unit = String::from_utf8(output.expect("runs").stdout).expect("UTF-8");
    let value = unit.lines().find_map(|line| line.strip_prefix(name));
    value.expect("a setting").to_owned()
}

/// Where a guard listens, or a backend.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
}

impl Place {
    fn connect(&self) -> File {
        File::from(match self {
            Self::Tcp(address) => OwnedFd::from(TcpStream::connect(address).expect("connects")),
            Self::Unix(path) => OwnedFd::from(UnixStream::connect(path).expect("connects")),
        })
    }

    /// How ss(8) selects the TCP sockets that have it at that end.
    fn filter(&self) -> Option<String> {
        match self {
            Self::Tcp(address) => Some(address.to_string()),
            Self::Unix(_) => None,
        }
    }
}

/// What each of many connections does: it sends these bytes, again and again up to so
/// many in all, and reads nothing.
struct Attack {
    name: &'static str,
    bytes: Vec<u8>,
    most: usize,
    half_closes: bool,
}

fn attack(name: &'static str, bytes: impl Into<Vec<u8>>, times: usize) -> Attack {
    let bytes = bytes.into();
    Attack {
        name,
        most: times * bytes.len(),
        bytes,
        half_closes: false,
    }
}

/// Goes on sending until no more is taken; the peer may have given up by then.
fn send_on(stream: &mut File, sent: &mut usize, attack: &Attack) {
    while *sent < attack.most {
        match stream.write(&attack.bytes[*sent % attack.bytes.len()..]) {
            Ok(count) => *sent += count,
            Err(error) => {
                let known = [
                    ErrorKind::WouldBlock,
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                ];
                assert!(known.contains(&error.kind()), "{error}");
                return;
            }
        }
    }
}

/// A guard under attack.
struct Attacked {
    guard: Guard,
    cgroup: Cgroup,
    place: Place,
    backend: Option<Place>,
}

impl Attacked {
    fn usage(&self) -> Usage {
        let guard = self.place.filter().map(|address| ("src", address));
        let backend = self.backend.as_ref().and_then(Place::filter);
        let backend = backend.map(|address| ("dst", address));
        let filters: Vec<_> = guard.into_iter().chain(backend).collect();
        let filters: Vec<_> = (filters.iter())
            .map(|(end, address)| [*end, address.as_str()])
            .collect();
        Usage::of(self.guard.pid(), &filters)
    }

    /// `count` connections at once; none of them may bring the guard to its limit, and a
    /// good request is answered once they are gone.
    fn withstand(&mut self, attack: &Attack, count: usize) {
        let mut most = Usage::default();
        let mut held = Vec::with_capacity(count);
        for number in 0..count {
            let mut stream = self.place.connect();
            if matches!(self.place, Place::Tcp(_)) {
                let _ = set_socket_recv_buffer_size(&stream, 1);
            }
            rustix::io::ioctl_fionbio(&stream, true).expect("set");
            let mut sent = 0;
            send_on(&mut stream, &mut sent, attack);
            held.push((stream, sent));
            if number % 250 == 0 {
                most = most.max(self.usage());
            }
        }
        // Until nothing more is taken, or all is.
        loop {
            let before: usize = held.iter().map(|(_, sent)| sent).sum();
            for (stream, sent) in &mut held {
                send_on(stream, sent, attack);
            }
            let usage = self.usage();
            let grows = usage.sum() > most.sum() + (1 << 20);
            most = most.max(usage);
            let after: usize = held.iter().map(|(_, sent)| sent).sum();
            if before == after && !grows {
                break;
            }
        }
        if attack.half_closes {
            for (stream, _) in &held {
                let _ = rustix::net::shutdown(stream, Shutdown::Write);
            }
            most = most.max(self.usage());
        }
        let name = attack.name;
        assert!(self.guard.is_running(), "killed: {name}");
        support::say(&format!(
            "{count} connections, {name}, {:?}: {} MiB and {} MiB of buffers at most",
            self.place,
            most.resident >> 20,
            most.buffers >> 20
        ));
        assert!(most.sum() < self.cgroup.limit, "{name}: {most:?}");
        drop(held);
        // The last of them may not have been seen off yet.
        eventually("a good request is let in", || {
            let mut stream = self.place.connect();
            let sent = stream.write_all(granted_request().as_bytes());
            let answer = sent.ok().and_then(|()| Answer::read(&mut stream, false));
            answer.is_some_and(|answer| answer.status == 200)
        });
    }
}

/// All kinds of connections to a guard alone.
fn attacks_alone() -> Vec<Attack> {
    let request = granted_request();
    let closes = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let denied = request.replace(SECRET, "wrong");
    let half = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &[b'a'; 16_000][..]].concat();
    let longest = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &vec![b'a'; 64_000][..]].concat();
    let body = [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n",
        &vec![b'a'; 30_000][..],
    ];
    vec![
        attack("silent", "", 0),
        attack("idle", request.clone(), 1),
        attack("half a head", half, 1),
        attack("most of the longest head", longest, 1),
        // As much as the kernel keeps, and nothing for the guard to notice.
        attack("unread", request.repeat(30), 1),
        attack("never read", request.repeat(1000), 20),
        attack("refused, never read", denied.repeat(1000), 20),
        attack("closed upon, unread", request.repeat(30) + &closes, 1),
        attack("answered before its body", body.concat(), 1),
        Attack {
            half_closes: true,
            ..attack("half-closed, unread", request.repeat(40), 1)
        },
    ]
}

/// Has `command` run in a cgroup of the unit's size.
fn in_cgroup(command: &mut Command, cgroup: &Cgroup) -> Guard {
    command
        .env("CGROUP", &cgroup.path)
        .env("SHARED_SECRET", SECRET)
        .env("HEAD_TIMEOUT", "60")
        .env("WRITE_TIMEOUT", "60")
        .env("MAX_CONNECTIONS", CONNECTIONS.to_string());
    Guard::spawn(command)
}

/// The binary, in the cgroup that `CGROUP` in its environment names.
fn confined() -> Command {
    let script = "echo $$ >\"$CGROUP/cgroup.procs\" && exec \"$0\"";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_origin-guard")])
        .env_clear();
    command
}

fn alone() -> Option<Cgroup> {
    raise_file_limit();
    let print = ["print", "unit"];
    let most = setting(&print, "Environment=MAX_CONNECTIONS=");
    assert_eq!(most, CONNECTIONS.to_string(), "the unit's");
    Cgroup::new(&setting(&print, "MemoryMax="))
}

#[test]
fn memory_max_holds_whatever_connections_do() {
    let Some(cgroup) = alone() else {
        return;
    };
    let guard = in_cgroup(confined().env("LISTEN", "127.0.0.1:0"), &cgroup);
    let place = Place::Tcp(guard.address);
    let mut attacked = Attacked {
        guard,
        cgroup,
        place,
        backend: None,
    };
    for attack in attacks_alone() {
        attacked.withstand(&attack, CONNECTIONS);
    }
}

fn unix_readers(own: bool) {
    let Some(cgroup) = alone() else {
        return;
    };
    let folder = Folder::new(if own {
        "own-socket"
    } else {
        "inherited-socket"
    });
    let path = folder.path.join("guard.sock");
    let guard = if own {
        let listen = format!("unix:{}", path.display());
        in_cgroup(confined().env("LISTEN", listen), &cgroup)
    } else {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
        let unix = UnixListener::bind(&path).expect("bound");
        in_cgroup(&mut inheriting(tcp.into(), unix.into()), &cgroup)
    };
    let mut attacked = Attacked {
        guard,
        cgroup,
        place: Place::Unix(path),
        backend: None,
    };
    let never = attack("never read", granted_request().repeat(1000), 20);
    attacked.withstand(&never, 300);
    for attack in attacks_alone() {
        attacked.withstand(&attack, CONNECTIONS);
    }
}

#[test]
fn memory_max_holds_whatever_peers_of_an_own_unix_socket_do() {
    unix_readers(true);
}

#[test]
fn memory_max_holds_whatever_peers_of_an_inherited_unix_socket_do() {
    unix_readers(false);
}

/// A backend that answers by the path: `/stuck` takes nothing after the head, `/large`
/// sends 8 MB, `/tunnel` switches protocols, sends on, and takes nothing.
pub(crate) fn backend(place: &Place) -> Arc<OwnedFd> {
    enum Listening {
        Tcp(TcpListener),
        Unix(UnixListener),
    }
    let (listener, kept) = match place {
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address).expect("bound");
            let kept = OwnedFd::from(listener.try_clone().expect("kept"));
            (Listening::Tcp(listener), kept)
        }
        Place::Unix(path) => {
            let listener = UnixListener::bind(path).expect("bound");
            let kept = OwnedFd::from(listener.try_clone().expect("kept"));
            (Listening::Unix(listener), kept)
        }
    };
    std::thread::spawn(move || {
        loop {
            let accepted: std::io::Result<OwnedFd> = match &listener {
                Listening::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
                Listening::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
            };
            let Ok(accepted) = accepted else {
                return;
            };
            let small = std::thread::Builder::new().stack_size(128 * 1024);
            small.spawn(move || serve(accepted)).expect("a thread");
        }
    });
    Arc::new(kept)
}

/// Ends when the connection does.
fn serve(stream: OwnedFd) -> std::io::Result<()> {
    let mut stream = File::from(stream);
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match path {
            b"/large" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n")?;
                for _ in 0..1000 {
                    stream.write_all(&[b'a'; 8000])?;
                }
            }
            b"/tunnel" => {
                stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                      Upgrade: websocket\r\n\r\n",
                )?;
                loop {
                    stream.write_all(&[b'a'; 8000])?;
                }
            }
            b"/stuck" => {
                // Until the connection is reset, for nothing is read.
                let mut ends = [rustix::event::PollFd::new(
                    &stream,
                    rustix::event::PollFlags::RDHUP,
                )];
                rustix::event::poll(&mut ends, None)?;
                return Ok(());
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
        }
    }
}

fn attacks_in_front() -> Vec<Attack> {
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Shared-Secret: {SECRET}\r\n{fields}\r\n")
    };
    let upload = format!(
        "POST /stuck HTTP/1.1\r\nHost: a\r\nX-Shared-Secret: {SECRET}\r\n\
         Content-Length: 90000000\r\n\r\n{}",
        "a".repeat(4_000_000)
    );
    let upgrade =
        get("/tunnel", "Connection: upgrade\r\nUpgrade: websocket\r\n") + &"a".repeat(1_000_000);
    let denied = get("/large", "").replace(SECRET, "wrong");
    vec![
        attack("downloads that are not read", get("/large", ""), 1),
        attack("uploads to a stuck backend", upload, 1),
        attack("tunnels that take nothing", upgrade, 1),
        attack(
            "pipelined behind a stuck one",
            get("/stuck", "").repeat(2000),
            2,
        ),
        attack("refused, never read", denied.repeat(1000), 20),
    ]
}

fn in_front(unix: bool) {
    raise_file_limit();
    let print = ["print", "unit", "--backend", "http://127.0.0.1:3000"];
    let Some(cgroup) = Cgroup::new(&setting(&print, "MemoryMax=")) else {
        return;
    };
    let folder = Folder::new(if unix { "front-unix" } else { "front-tcp" });
    let (listen, behind) = if unix {
        (
            format!("unix:{}", folder.path.join("guard.sock").display()),
            Place::Unix(folder.path.join("backend.sock")),
        )
    } else {
        let free = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = free.local_addr().expect("bound");
        ("127.0.0.1:0".to_owned(), Place::Tcp(address))
    };
    let backend = backend(&behind);
    let url = match &behind {
        Place::Tcp(address) => format!("http://{address}"),
        Place::Unix(path) => format!("http://unix:{}", path.display()),
    };
    let guard = in_cgroup(
        confined().env("LISTEN", &listen).env("BACKEND", url),
        &cgroup,
    );
    let place = if unix {
        Place::Unix(folder.path.join("guard.sock"))
    } else {
        Place::Tcp(guard.address)
    };
    let mut attacked = Attacked {
        guard,
        cgroup,
        place,
        backend: Some(behind),
    };
    for attack in attacks_in_front() {
        attacked.withstand(&attack, CONNECTIONS);
    }
    drop(backend);
}

#[test]
fn memory_max_in_front_holds_whatever_connections_do() {
    in_front(false);
}

#[test]
fn memory_max_in_front_holds_whatever_peers_of_unix_sockets_do() {
    in_front(true);
}
