//! A whole session, between a client and a backend that say anything, split in any way:
//! nothing reaches the backend but what was asked with the right secret or for a public
//! path, as it was asked, in order and once; what the client is given are answers; and both
//! are the same however the bytes are split.

#![no_main]

#[path = "session/answer.rs"]
mod answer;
#[path = "session/asked.rs"]
mod asked;
#[path = "session/backend.rs"]
mod backend;
#[path = "session/head.rs"]
mod head;
#[path = "session/input.rs"]
mod input;
#[path = "session/outcome.rs"]
mod outcome;

use std::cell::RefCell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use origin_guard::app::{InheritedSockets, Relays, listener_groups};
use origin_guard::config::{Config, Environment};
use origin_guard::net::SelfCheckSocket;
use origin_guard::server::in_place::InPlaceWorker;

use asked::PUBLIC_PATH;
use backend::Backend;
use input::{End, Input, SECRET};
use outcome::Outcome;

struct Setup {
    worker: InPlaceWorker,
    listener: UnixListener,
}

thread_local! {
    static SETUP: RefCell<Setup> = RefCell::new(Setup::new());
}

impl Setup {
    fn new() -> Self {
        let name = format!("origin-guard-fuzz-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("a mode");
        let inherited = InheritedSockets::default();
        let mut config = Config::read(&Environment {
            variable: &|name| match name {
                "SHARED_SECRET" => Some(SECRET.into()),
                "BACKEND" => Some(format!("http://unix:{}", path.display()).into()),
                "PUBLIC_PATHS" => Some(PUBLIC_PATH.into()),
                _ => None,
            },
            names: Vec::new(),
            inherited: inherited.roles(),
        })
        .expect("a configuration");
        let secrets = Arc::new(config.take_secrets());
        let private = Arc::new(SelfCheckSocket::new().expect("a socket"));
        let relays = Relays::new(&mut config).expect("a relay");
        let groups = listener_groups(&config, inherited, &secrets, &private, &relays);
        let front = groups.expect("listeners").remove(0);
        let worker = InPlaceWorker::new(front, config.limits).expect("a worker");
        Self { worker, listener }
    }

    /// Plays `input`, in pieces of so many bytes each way.
    fn play(&mut self, input: &Input, client_piece: usize, backend_piece: usize) -> Outcome {
        let Self { worker, listener } = self;
        let mut backend = Backend::new(listener, &input.answers, backend_piece);
        let mut client = worker.connect().expect("a connection");
        let mut given = Vec::new();
        let mut pieces = input.client.chunks(client_piece).peekable();
        while let Some(piece) = pieces.next() {
            let sent = write(&mut client, piece);
            if pieces.peek().is_none() && input.end == End::AtOnce {
                let _ = client.shutdown(Shutdown::Write);
            }
            settle(worker, &mut client, &mut backend, &mut given);
            if !sent {
                break;
            }
        }
        if input.end == End::Later {
            // It may be closed by now.
            let _ = client.shutdown(Shutdown::Write);
            settle(worker, &mut client, &mut backend, &mut given);
        }
        let seen = std::mem::take(&mut backend.seen);
        drop((client, backend));
        worker.run().expect("epoll works");
        assert_eq!(worker.connections(), (0, 0), "it holds connections");
        Outcome { seen, given }
    }
}

/// Lets all ends do what they can, until none can do more.
fn settle(
    worker: &mut InPlaceWorker,
    client: &mut UnixStream,
    backend: &mut Backend<'_>,
    given: &mut Vec<u8>,
) {
    loop {
        // Nobody else has anything new where the worker has done nothing.
        if worker.run().expect("epoll works") {
            read(client, given);
            backend.receive();
        }
        if !backend.send() {
            return;
        }
    }
}

/// `false` where the other end is gone. What a fuzzer sends fits into the socket.
fn write(client: &mut UnixStream, bytes: &[u8]) -> bool {
    match client.write(bytes) {
        Ok(sent) => sent == bytes.len(),
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "an input is too long");
            false
        }
    }
}

fn read(client: &mut UnixStream, given: &mut Vec<u8>) {
    let mut bytes = [0; 16384];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        given.extend_from_slice(&bytes[..count]);
        if count < bytes.len() {
            return;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::parse(bytes) else {
        return;
    };
    let (asked, ends_in_head) = asked::asked(&input.client);
    SETUP.with_borrow_mut(|setup| {
        let whole = setup.play(&input, usize::MAX, usize::MAX);
        let given = whole.check(&input, &asked, ends_in_head);
        let split = setup.play(&input, input.client_piece, input.backend_piece);
        let given_split = split.check(&input, &asked, ends_in_head);
        // An early answer ends what would go on if it came later.
        if input.answers.iter().all(|answer| !answer.early) {
            let same = outcome::assert_same(&given, &given_split);
            // What is found malformed at once is not sent at all.
            let all = same && asked.iter().all(|asked| asked.is_whole);
            outcome::assert_same_requests(&whole.seen, &split.seen, all);
        }
    });
});
