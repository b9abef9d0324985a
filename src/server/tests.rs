//! Panics that no handler catches, in a loop of its own.

use std::io::{Cursor, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::panic::panic_any;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tiny_http::Response;

use super::{Limits, ListenerGroup, Server};
use crate::handler::{Decision, Handler};
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::RequestHead;
use crate::net::tls::TlsError;
use crate::net::tls::server::ClientCertificate;
use crate::net::{Address, Peer, SocketAccess};

/// Tells the child of [`a_worker_that_is_gone_ends_the_process`] what it is.
const CHILD: &str = "ORIGIN_GUARD_TEST_CHILD";
const PATIENCE: Duration = Duration::from_secs(30);

/// Held by the test that starts a process, and by one that none may be started beside.
pub(super) static PROCESS: Mutex<()> = Mutex::new(());

/// Panics outside of what is caught around a decision; its payload panics once more if
/// it is told to, outside of what is caught around a session.
struct Panics {
    twice: bool,
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any("dropped");
        }
    }
}

impl Handler for Panics {
    fn decide(&self, _: &RequestHead<'_, '_>, _: Peer) -> Decision {
        Decision::Respond(status(200).into())
    }

    fn refuse(&self, _: &RequestError, _: Peer) -> Reply {
        if self.twice {
            panic_any(PanicsWhenDropped);
        }
        panic_any("refused");
    }

    fn tls_failed(&self, _: &TlsError, _: Peer) {}

    fn failed(&self, _: u16) -> Reply {
        unreachable!("nothing is forwarded");
    }
}

/// Panics where it decides on a request for `/panic`.
struct PanicsInDecision;

impl Handler for PanicsInDecision {
    fn decide(&self, head: &RequestHead<'_, '_>, _: Peer) -> Decision {
        if head.target.path() == b"/panic" {
            panic_any("decided");
        }
        Decision::Respond(status(200).into())
    }

    fn refuse(&self, refusal: &RequestError, _: Peer) -> Reply {
        status(refusal.status)
    }

    fn tls_failed(&self, _: &TlsError, _: Peer) {}

    fn failed(&self, _: u16) -> Reply {
        unreachable!("nothing is forwarded");
    }
}

fn status(status: u16) -> Reply {
    let body = Cursor::new(b"fine".to_vec());
    Response::new(status.into(), Vec::new(), body, Some(4), None)
}

fn serve(handler: impl Handler + 'static) -> SocketAddr {
    let group = ListenerGroup {
        addresses: vec![Address::Tcp(([127, 0, 0, 1], 0).into())],
        access: SocketAccess::default(),
        inherited: Vec::new(),
        private: None,
        handler: Arc::new(handler),
        relay: None,
        tls: None,
        client_certificate: ClientCertificate::NotAsked,
        allowed: None,
        proxies: TrustedProxies::default(),
    };
    let limits = Limits {
        head_bytes: 65_536,
        head_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        write_timeout: PATIENCE,
        max_connections: 100,
    };
    let server = Server::bind(vec![group], limits, 1).expect("bound");
    let Some(Address::Tcp(address)) = server.addresses().next().cloned() else {
        panic!("no address");
    };
    let (stop, stopped) = mio::net::UnixStream::pair().expect("a pair");
    std::thread::spawn(move || {
        let left = server.run(stopped, PATIENCE, || {});
        drop(stop);
        left
    });
    address
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(request).expect("sent");
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[test]
fn a_panic_in_a_session_ends_that_session_alone() {
    const GOOD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let address = serve(Panics { twice: false });
    let connect = || TcpStream::connect(address).expect("connects");
    let mut kept = connect();
    assert!(ask(&mut kept, GOOD).starts_with("HTTP/1.1 200 "));
    for _ in 0..10 {
        assert_eq!(ask(&mut connect(), b"bad\r\n\r\n"), "");
        assert!(ask(&mut kept, GOOD).starts_with("HTTP/1.1 200 "));
        assert!(ask(&mut connect(), GOOD).starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn a_panic_in_a_decision_is_a_500_and_the_connection_goes_on() {
    let address = serve(PanicsInDecision);
    let mut stream = TcpStream::connect(address).expect("connects");
    for (path, wanted) in [("/panic", 500), ("/", 200), ("/panic", 500), ("/", 200)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = ask(&mut stream, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {wanted} ")),
            "{answer}"
        );
    }
}

#[test]
fn a_worker_that_is_gone_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        crate::log::start(crate::log::Prefix::Time).expect("a log");
        let address = serve(Panics { twice: true });
        let mut stream = TcpStream::connect(address).expect("connects");
        ask(&mut stream, b"bad\r\n\r\n");
        // It is to be aborted while it waits here.
        std::thread::park_timeout(PATIENCE);
        return;
    }
    let _alone = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "server::tests::a_worker_that_is_gone_ends_the_process",
        ])
        .arg("--nocapture")
        .env(CHILD, "1")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "no SIGABRT: {text}");
    assert!(text.contains("worker_ended worker=worker-0"), "{text}");
}
