//! Keep-alive clients that ask on and on, and notice every request that is lost.

use std::io::{self, ErrorKind, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::machine::{Machine, enter};
use crate::support::{Answer, PATIENCE};

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicUsize,
    retried: AtomicUsize,
    said_close: AtomicUsize,
    lost: Mutex<Vec<String>>,
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What they have seen.
pub(crate) struct Report {
    pub(crate) answered: usize,
    /// Asked again on a new connection, as RFC 9110, section 9.2.2, lets a client do
    /// where the connection ends before an answer begins.
    pub(crate) retried: usize,
    /// Answers with `Connection: close`.
    pub(crate) said_close: usize,
    /// What no client could have made good.
    pub(crate) lost: Vec<String>,
}

pub(crate) fn connect() -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", 8888))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `None` where the connection ends before the answer begins.
pub(crate) fn ask(stream: &mut TcpStream, secret: &str) -> Option<Answer> {
    let request =
        format!("GET /protected HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: {secret}\r\n\r\n");
    match stream.write_all(request.as_bytes()) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ) =>
        {
            None
        }
        sent => {
            sent.expect("sent");
            Answer::read(stream, false)
        }
    }
}

impl Load {
    pub(crate) fn start(machine: &Machine, clients: usize, secret: &'static str) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = (0..clients)
            .map(|_| {
                let (network, shared) = (machine.network(), Arc::clone(&shared));
                std::thread::spawn(move || {
                    enter(&network);
                    while !shared.stop.load(SeqCst) {
                        shared.converse(secret);
                    }
                })
            })
            .collect();
        let load = Self { shared, clients };
        load.some_more();
        load
    }

    /// Waits for more answers.
    pub(crate) fn some_more(&self) {
        let (before, since) = (self.shared.answered.load(SeqCst), Instant::now());
        while self.shared.answered.load(SeqCst) < before + 200 {
            assert!(since.elapsed() < PATIENCE, "no answers");
            std::thread::yield_now();
        }
    }

    pub(crate) fn stop(self) -> Report {
        self.shared.stop.store(true, SeqCst);
        for client in self.clients {
            client.join().expect("a client that ended well");
        }
        Report {
            answered: self.shared.answered.load(SeqCst),
            retried: self.shared.retried.load(SeqCst),
            said_close: self.shared.said_close.load(SeqCst),
            lost: std::mem::take(&mut *self.shared.lost.lock().expect("lost")),
        }
    }
}

impl Shared {
    /// One connection, from its start to its end.
    fn converse(&self, secret: &str) {
        let mut stream = match connect() {
            Ok(stream) => stream,
            Err(error) => return self.lose(format!("refused: {error}")),
        };
        while !self.stop.load(SeqCst) {
            let Some(answer) = ask(&mut stream, secret) else {
                self.retried.fetch_add(1, SeqCst);
                return;
            };
            if answer.status != 200 {
                return self.lose(format!("{answer:?}"));
            }
            self.answered.fetch_add(1, SeqCst);
            if answer.header("connection") == Some("close") {
                self.said_close.fetch_add(1, SeqCst);
                return;
            }
        }
    }

    fn lose(&self, what: String) {
        self.lost.lock().expect("lost").push(what);
    }
}
