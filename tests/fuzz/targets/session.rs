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
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use origin_guard::auth::secrets::{Digest, Secrets};
use origin_guard::auth::shared_secret::Guard;
use origin_guard::handlers::front::Front;
use origin_guard::http1::forwarded::TrustedProxies;
use origin_guard::proxy::counters::RelayCounters;
use origin_guard::proxy::limits::Limits as RelayLimits;
use origin_guard::proxy::relay::Relay;
use origin_guard::proxy::rewrite::OwnFields;
use origin_guard::proxy::upstream::{BackendUrl, Upstream};
use origin_guard::server::Limits;
use origin_guard::server::in_place::InPlaceWorker;

use asked::PUBLIC_PATH;
use backend::Backend;
use input::{End, Input, SECRET};
use outcome::Outcome;

/// Nothing waits for so long.
const NEVER: Duration = Duration::from_secs(100_000);

const LIMITS: Limits = Limits {
    head_bytes: 65536,
    head_timeout: NEVER,
    idle_timeout: NEVER,
    write_timeout: NEVER,
    max_connections: 4,
};

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
        let urls = format!("http://unix:{}", path.display());
        let urls = BackendUrl::parse_list(&urls).expect("a URL");
        let trusted_proxies = TrustedProxies::parse("").expect("an empty list");
        let secrets = Secrets::new(vec![Digest::of(SECRET.as_bytes())]);
        let handler = Front {
            guard: Guard::new("X-Shared-Secret", Arc::new(secrets)),
            public_paths: vec![PUBLIC_PATH.to_owned()],
            trusted_proxies: trusted_proxies.clone(),
            access_log: false,
        };
        let relay = Relay {
            counters: RelayCounters::new(urls.iter().map(BackendUrl::name)),
            upstream: Arc::new(Upstream::new(urls)),
            own: OwnFields::new(&["X-Shared-Secret"]),
            trusted_proxies,
            loop_id: "og".to_owned(),
            limits: RelayLimits {
                body_bytes: None,
                body_timeout: NEVER,
                connect_timeout: NEVER,
                answer_timeout: NEVER,
                idle_timeout: NEVER,
                tunnel_idle_timeout: NEVER,
            },
            write_timeout: NEVER,
            max_head: LIMITS.head_bytes,
        };
        let worker = InPlaceWorker::new(Arc::new(handler), Some(Arc::new(relay)), LIMITS);
        Self {
            worker: worker.expect("a worker"),
            listener,
        }
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
        let mut moved = worker.run().expect("epoll works");
        moved |= backend.run();
        moved |= read(client, given);
        if !moved {
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

fn read(client: &mut UnixStream, given: &mut Vec<u8>) -> bool {
    let (mut moved, mut bytes) = (false, [0; 16384]);
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        given.extend_from_slice(&bytes[..count]);
        moved = true;
    }
    moved
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
