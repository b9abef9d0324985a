//! The loop: bounded, with deadlines, yielding [`tiny_http::Request`]s to a function.
//!
//! It knows nothing of secrets. One thread accepts; a pool of workers, each over its
//! own epoll, reads, answers and writes. See docs/architecture.md for why it is not
//! `tiny_http::Server`.

mod acceptor;
mod allow_list;
mod budget;
pub(crate) mod counters;
mod deadlines;
mod eviction;
pub mod file_limit;
#[cfg(any(test, fuzzing, timing))]
pub mod in_place;
mod resources;
mod respond;
mod scheduling;
mod session;
mod slots;
#[cfg(test)]
mod tests;
mod worker;
mod worker_handle;

use std::sync::Arc;
use std::time::Duration;

use crate::handler::Handler;
use crate::http1::forwarded::TrustedProxies;
use crate::net::tls::server::{ClientCertificate, TlsServer};
use crate::net::{Address, Inherited, SelfCheckSocket, SocketAccess};
use crate::proxy::relay::Relay;

pub use acceptor::{Server, SetupError};
pub use allow_list::{AllowList, AllowListError};

/// Addresses, and what answers there.
pub struct ListenerGroup {
    /// Where to listen.
    pub addresses: Vec<Address>,
    /// Who may connect to those that are Unix sockets.
    pub access: SocketAccess,
    /// Sockets that listen already.
    pub inherited: Vec<Inherited>,
    /// The way in for this process alone, past every limit.
    pub private: Option<Arc<SelfCheckSocket>>,
    /// What answers.
    pub handler: Arc<dyn Handler>,
    /// Where the handler may forward requests to.
    pub relay: Option<Arc<Relay>>,
    /// What listeners that speak TLS answer with.
    pub tls: Option<Arc<TlsServer>>,
    /// Whether they ask for a client's certificate.
    pub client_certificate: ClientCertificate,
    /// Peers whose connections begin with the PROXY protocol's header.
    pub proxies: TrustedProxies,
    /// Peers that may connect; everybody where there is none.
    pub allowed: Option<Arc<AllowList>>,
}

/// What stands behind a group of listeners.
struct Service {
    handler: Arc<dyn Handler>,
    relay: Option<Arc<Relay>>,
    tls: Option<Arc<TlsServer>>,
    client_certificate: ClientCertificate,
    proxies: TrustedProxies,
    allowed: Option<Arc<AllowList>>,
}

/// The limits of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest request head in bytes; a longer one is a 431.
    pub head_bytes: usize,
    /// From a head's first byte to its end, and from the accept to the first byte.
    pub head_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without progress in writing.
    pub write_timeout: Duration,
    /// Connections at once; lowered to what the limit on open files allows.
    pub max_connections: usize,
}

/// What a hostile connection costs at the most, in bytes, most of it in buffers of the
/// kernel; and the process itself.
const CONNECTION: u64 = 40 * 1024;
const PROCESS: u64 = 8 * 1024 * 1024;

impl Limits {
    /// What so many connections may take at the most, in bytes, with all that is around
    /// them. A server that `forwards` holds bodies, too.
    #[must_use]
    pub fn memory(&self, connections: usize, forwards: bool) -> u64 {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX);
        self.memory_at_rest(forwards)
            .saturating_add(connections.saturating_mul(CONNECTION))
    }

    /// How many connections fit into `bytes` of memory.
    #[must_use]
    pub fn connections_within(&self, bytes: u64, forwards: bool) -> u64 {
        bytes.saturating_sub(self.memory_at_rest(forwards)) / CONNECTION
    }

    fn memory_at_rest(&self, forwards: bool) -> u64 {
        let held = u64::try_from(self.held_bytes(forwards)).unwrap_or(u64::MAX);
        held.saturating_add(PROCESS)
    }

    /// What all connections together may hold between their turns, in bytes: heads that
    /// have half come, answers that nobody takes, and parts of bodies that are forwarded,
    /// with what the kernel holds of them.
    /// A long head always has room.
    fn held_bytes(&self, forwards: bool) -> usize {
        const ALONE: usize = 8 * 1024 * 1024;
        const IN_FRONT: usize = 80 * 1024 * 1024;
        let least = if forwards { IN_FRONT } else { ALONE };
        least.max(16 * self.head_bytes)
    }
}
