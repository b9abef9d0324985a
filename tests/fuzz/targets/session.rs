//! A whole session, between a client and a backend that say anything, split in any way:
//! nothing reaches the backend but what was asked with the right secret or for a public
//! path, as it was asked, in order and once; what the client is given are answers; and both
//! are the same however the bytes are split, and inside TLS.

#![no_main]

#[path = "session/answer.rs"]
mod answer;
#[path = "session/asked.rs"]
mod asked;
#[path = "session/backend.rs"]
mod backend;
#[path = "session/client.rs"]
mod client;
#[path = "session/head.rs"]
mod head;
#[path = "session/input.rs"]
mod input;
#[path = "session/outcome.rs"]
mod outcome;

use std::cell::RefCell;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use origin_guard::app::{InheritedSockets, Relays, listener_groups, overview};
use origin_guard::config::{Config, Environment};
use origin_guard::net::SelfCheckSocket;
use origin_guard::server::in_place::InPlaceWorker;
use rustls::ClientConfig;

use asked::PUBLIC_PATH;
use backend::Backend;
use client::Client;
use input::{End, Input, SECRET};
use outcome::Outcome;

struct Setup {
    worker: InPlaceWorker,
    listener: UnixListener,
    tls: Arc<ClientConfig>,
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
        let folder = std::env::temp_dir().join(format!("origin-guard-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        client::make_certificate(&folder);
        let inherited = InheritedSockets::default();
        let mut config = Config::read(&Environment {
            variable: &|name| match name {
                "SHARED_SECRET" => Some(SECRET.into()),
                "BACKEND" => Some(format!("http://unix:{}", path.display()).into()),
                "PUBLIC_PATHS" => Some(PUBLIC_PATH.into()),
                // Nobody listens there.
                "LISTEN" => Some("tls:127.0.0.1:0".into()),
                "TLS_CERT" => Some(folder.join("cert.pem").into()),
                "TLS_KEY" => Some(folder.join("key.pem").into()),
                _ => None,
            },
            names: Vec::new(),
            inherited: inherited.roles(),
        })
        .expect("a configuration");
        let secrets = Arc::new(config.take_secrets());
        let private = Arc::new(SelfCheckSocket::new().expect("a socket"));
        let relays = Relays::new(&mut config).expect("a relay");
        let overview = overview(&config, &inherited, &secrets, &relays);
        let groups = listener_groups(&config, inherited, &secrets, &private, &relays, &overview);
        let front = groups.expect("listeners").remove(0);
        let worker = InPlaceWorker::new(front, config.limits).expect("a worker");
        let tls = client::config(&folder);
        std::fs::remove_dir_all(&folder).expect("removed");
        Self {
            worker,
            listener,
            tls,
        }
    }

    /// Plays `input`, in pieces of so many bytes each way.
    fn play(&mut self, input: &Input, client_piece: usize, backend_piece: usize) -> Outcome {
        let socket = self.worker.connect().expect("a connection");
        let client = Client::new(socket, None);
        self.play_with(client, input, client_piece, backend_piece)
    }

    /// The same inside TLS.
    fn play_in_tls(&mut self, input: &Input) -> Outcome {
        let socket = self.worker.connect_tls().expect("a connection");
        let mut client = Client::new(socket, Some(&self.tls));
        while client.is_handshaking() {
            client.flush();
            self.worker.run().expect("epoll works");
            client.read(&mut Vec::new());
        }
        self.play_with(client, input, input.client_piece, input.backend_piece)
    }

    fn play_with(
        &mut self,
        mut client: Client,
        input: &Input,
        client_piece: usize,
        backend_piece: usize,
    ) -> Outcome {
        let Self {
            worker, listener, ..
        } = self;
        let mut backend = Backend::new(listener, &input.answers, backend_piece);
        let mut given = Vec::new();
        let mut pieces = input.client.chunks(client_piece).peekable();
        while let Some(piece) = pieces.next() {
            let sent = client.write(piece);
            if pieces.peek().is_none() && input.end == End::AtOnce {
                client.end();
            }
            settle(worker, &mut client, &mut backend, &mut given);
            if !sent {
                break;
            }
        }
        if input.end == End::Later {
            client.end();
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
    client: &mut Client,
    backend: &mut Backend<'_>,
    given: &mut Vec<u8>,
) {
    loop {
        // Nobody else has anything new where the worker has done nothing.
        let mut answered = false;
        if worker.run().expect("epoll works") {
            answered = client.read(given);
            backend.receive();
        }
        if !backend.send() && !answered {
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
        let inside = input.in_tls.then(|| {
            let outcome = setup.play_in_tls(&input);
            (outcome.check(&input, &asked, ends_in_head), outcome)
        });
        // An early answer ends what would go on if it came later.
        if input.answers.iter().all(|answer| !answer.early) {
            let closes = input.answers.iter().any(|answer| answer.closes);
            let same = outcome::assert_same(&given, &given_split);
            // What is found malformed at once is not sent at all.
            let all = same && asked.iter().all(|asked| asked.is_whole);
            outcome::assert_same_requests(&whole.seen, &split.seen, all, closes);
            if let Some((given_inside, inside)) = inside {
                let same = outcome::assert_same(&given, &given_inside);
                let all = same && asked.iter().all(|asked| asked.is_whole);
                outcome::assert_same_requests(&whole.seen, &inside.seen, all, closes);
            }
        }
    });
});
