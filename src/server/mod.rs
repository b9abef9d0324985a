//! The loop: bounded, with deadlines, yielding [`tiny_http::Request`]s to a function.
//!
//! It knows nothing of secrets. One thread accepts; a pool of workers, each over its
//! own epoll, reads, answers and writes. See the README for why it is not
//! `tiny_http::Server`.

mod acceptor;
mod answer;
mod connection;
mod fields;
pub mod head;
mod listener;
mod prepared;
mod private;
mod scheduling;
mod seats;
mod stream;
mod target;
mod worker;

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tiny_http::{Request, Response};

pub use acceptor::{Server, SetupError};
pub(crate) use fields::{is_framing, is_token_byte};
pub use head::Refusal;
pub use listener::{Address, Inherited};
pub use prepared::{Answer, Prepared};
pub use private::Private;
pub use stream::UNIX_PEER;

/// A whole response in memory.
pub type Reply = Response<Cursor<Vec<u8>>>;

/// Where a connection comes from; [`UNIX_PEER`] for a Unix socket.
pub type Peer = SocketAddr;

/// What stands behind a door.
pub trait Service: Send + Sync + 'static {
    /// Answers a request. It has no body, and neither framing nor `Connection` fields.
    fn answer(&self, request: &Request) -> Answer;

    /// Answers in place of a request that the loop refuses.
    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Reply;
}

/// Addresses, and what answers there.
pub struct Door {
    /// Where to listen.
    pub addresses: Vec<Address>,
    /// Sockets that listen already.
    pub inherited: Vec<Inherited>,
    /// The way in for this process alone, past every limit.
    pub private: Option<Arc<Private>>,
    /// What answers.
    pub service: Arc<dyn Service>,
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
