//! TLS at the guard's own listeners, asked by rustls, openssl, curl, Python and Node.

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/backend.rs"]
mod backend;
#[path = "tls/certified.rs"]
mod certified;
#[path = "tls/client.rs"]
mod client;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/connections.rs"]
mod connections;
#[path = "tls/handshakes.rs"]
mod handshakes;
#[path = "tls/leaks.rs"]
mod leaks;
#[path = "tls/proxied.rs"]
mod proxied;
#[path = "tls/records.rs"]
mod records;
#[path = "tls/redirects.rs"]
mod redirects;
#[path = "tls/reloads.rs"]
mod reloads;
#[path = "tls/transfers.rs"]
mod transfers;

mod support;

use authority::{Authority, Issued, Key};
use support::{Guard, SECRET};

/// A guard at a TLS port of 127.0.0.1 that presents `issued`.
fn guard(issued: &Issued, more: &[(&str, &str)]) -> Guard {
    let variables = [
        &[("SHARED_SECRET", SECRET), ("LISTEN", "tls:127.0.0.1:0")],
        &issued.variables()[..],
        more,
    ];
    Guard::with(&variables.concat())
}

/// An authority, and a guard that presents `localhost` by it.
fn localhost(name: &str, more: &[(&str, &str)]) -> (Authority, Guard) {
    let authority = Authority::new(name);
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let guard = guard(&issued, more);
    (authority, guard)
}
