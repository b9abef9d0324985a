//! `origin-guard demo-backend`: a backend to try the guard with, which answers each request
//! with what reached it.
//!
//! It is `tiny_http::Server` as its documentation shows it. That cannot face a network (see
//! docs/architecture.md), so it listens on loopback, or at a Unix socket.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use serde_json::json;
use tiny_http::{Header, Request, Response, Server};

use crate::net::Address;

/// Where it listens unless it is told otherwise.
pub const ADDRESS: Address = Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000));

const THREADS: usize = 4;

/// Why it does not serve.
#[derive(Debug)]
pub enum DemoError {
    /// Other machines could reach the address.
    NotLoopback(Address),
    /// The address cannot be listened at.
    Listen(Address, Box<dyn Error + Send + Sync>),
    /// The system denies a thread.
    Thread(io::Error),
}

impl fmt::Display for DemoError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => write!(
                to,
                "demo-backend: other machines could reach {address}, and it withstands none; \
                 write a loopback address such as {ADDRESS}"
            ),
            Self::Listen(address, error) => {
                write!(to, "demo-backend: to listen on {address}: {error}")
            }
            Self::Thread(error) => write!(to, "demo-backend: to start a thread: {error}"),
        }
    }
}

impl Error for DemoError {}

/// Listens at `address`, tells `ready` the URL for `BACKEND` (port 0 is any), and serves for
/// ever.
///
/// # Errors
///
/// If other machines could reach `address`, or it cannot be listened at.
pub fn run(address: &Address, ready: impl FnOnce(&str)) -> Result<(), DemoError> {
    let server = match address {
        Address::Tcp(tcp) if address.is_local() => Server::http(tcp),
        Address::Unix(path) => Server::http_unix(path),
        Address::Tcp(_) | Address::Tls(_) | Address::Redirect(_) => {
            return Err(DemoError::NotLoopback(address.clone()));
        }
    };
    let server = server.map_err(|error| DemoError::Listen(address.clone(), error))?;
    let address = server
        .server_addr()
        .to_ip()
        .map_or(address.clone(), Address::Tcp);
    ready(&format!("http://{address}"));
    let server = Arc::new(server);
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let server = Arc::clone(&server);
        let serve = move || {
            for request in server.incoming_requests() {
                echo(request);
            }
        };
        let thread = thread::Builder::new().spawn(serve);
        threads.push(thread.map_err(DemoError::Thread)?);
    }
    for thread in threads {
        // A panic in one leaves the others, and it has been printed.
        let _ = thread.join();
    }
    Ok(())
}

fn echo(mut request: Request) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Relaxed) + 1;
    let length = io::copy(request.as_reader(), &mut io::sink());
    let fields = request.headers().iter();
    let fields: Vec<_> = fields
        .map(|field| format!("{}: {}", field.field, field.value))
        .collect();
    let reached = json!({
        "method": request.method().as_str(),
        "target": request.url(),
        "fields": fields,
        "body_bytes": length.ok(),
        // Which of all requests it is.
        "number": number,
    });
    // A value that has just been made can be printed.
    let body = serde_json::to_string_pretty(&reached).unwrap_or_default() + "\n";
    let json = Header::from_bytes("Content-Type", "application/json").expect("constants");
    // A client that is gone needs no answer.
    let _ = request.respond(Response::from_string(body).with_header(json));
}
