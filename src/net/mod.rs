//! Sockets: those that listen, those that are connected, and who is at their other end.

mod buffers;
mod listener;
mod peer;
pub mod proxy_protocol;
pub mod resolve;
mod self_check;
mod socket;
mod stream;
pub mod tls;
mod token;
mod transport;

pub use buffers::{SocketBuffers, limit_not_sent};
pub use listener::{Address, Inherited, LONGEST_UNIX_PATH, Listener, SocketAccess};
pub use peer::{Peer, UNIX_PEER};
pub use self_check::SelfCheckSocket;
pub use socket::{Read, Write};
pub use stream::Stream;
pub use token::{ConnectionToken, Side};
pub use transport::Transport;
