//! A wrong secret inside TLS, from the bytes that come over the socket to those that go out:
//! reading, decrypting, judging, answering and encrypting, as a worker does it.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use dudect_bencher::rand::RngExt as _;
use dudect_bencher::{BenchRng, CtRunner};
use origin_guard::app::{InheritedSockets, Relays, listener_groups, overview};
use origin_guard::config::{Config, Environment};
use origin_guard::net::SelfCheckSocket;
use origin_guard::server::in_place::InPlaceWorker;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::lots::{Measure, run};
use crate::tls_client;

pub const ALL: [(&str, Measure); 1] = [("inside TLS: early or late difference", early_or_late)];

const LENGTH: usize = SECRET.len();
const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCD";

/// A worker and a client that has a session with it.
struct Session {
    worker: InPlaceWorker,
    socket: UnixStream,
    tls: ClientConnection,
}

impl Session {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("origin-guard-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        tls_client::make_certificate(&folder);
        let inherited = InheritedSockets::default();
        let mut config = Config::read(&Environment {
            variable: &|name| match name {
                "SHARED_SECRET" => Some(SECRET.into()),
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
        origin_guard::status::start();
        let secrets = Arc::new(config.take_secrets());
        let private = Arc::new(SelfCheckSocket::new().expect("a socket"));
        let relays = Relays::new(&mut config).expect("no relay");
        let overview = overview(&config, &inherited, &secrets, &relays);
        let groups = listener_groups(&config, inherited, &secrets, &private, &relays, &overview);
        let group = groups.expect("listeners").remove(0);
        let mut worker = InPlaceWorker::new(group, config.limits).expect("a worker");
        let socket = worker.connect_tls().expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(tls_client::config(&folder), name).expect("a session");
        std::fs::remove_dir_all(&folder).expect("removed");
        let mut session = Self {
            worker,
            socket,
            tls,
        };
        while session.tls.is_handshaking() {
            session.send_and_run();
            session.read();
        }
        session
    }

    /// What is on the wire of a request.
    fn sealed(&mut self, request: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(request).expect("a buffer");
        let mut sealed = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut sealed).expect("in memory");
        }
        sealed
    }

    fn send_and_run(&mut self) {
        let sealed = self.sealed(b"");
        self.socket.write_all(&sealed).expect("sent");
        self.worker.run().expect("epoll works");
    }

    /// What has been answered.
    fn read(&mut self) -> Vec<u8> {
        let (mut bytes, mut answer) = ([0; 16384], Vec::new());
        while let Ok(count @ 1..) = self.socket.read(&mut bytes) {
            let mut rest = &bytes[..count];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).expect("in memory");
                self.tls.process_new_packets().expect("TLS");
                // Nothing more is there for now.
                let _ = self.tls.reader().read_to_end(&mut answer);
            }
        }
        answer
    }
}

fn early_or_late(runner: &mut CtRunner, rng: &mut BenchRng) {
    let session = RefCell::new(Session::new());
    let prepare = |side: bool, rng: &mut BenchRng| {
        let at = if side { 0 } else { LENGTH - 1 };
        let mut presented = SECRET.as_bytes().to_vec();
        presented[at] = rng.random_range(b'!'..=b'/');
        let presented = String::from_utf8(presented).expect("ASCII");
        let request =
            format!("GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {presented}\r\n\r\n");
        let mut session = session.borrow_mut();
        // What the last one was answered with is none of this one's time.
        session.read();
        session.sealed(request.as_bytes())
    };
    let measured = |sealed: &Vec<u8>| {
        let mut session = session.borrow_mut();
        session.socket.write_all(sealed).expect("sent");
        session.worker.run().expect("epoll works")
    };
    run(runner, rng, measured, prepare);
    let answer = session.borrow_mut().read();
    assert!(
        answer.starts_with(b"HTTP/1.1 401 "),
        "{}",
        answer.escape_ascii()
    );
}
