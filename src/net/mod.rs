//! Sockets: those that listen, those that are connected, and who is at their other end.

mod address;
mod bind;
mod buffers;
mod listener;
mod peer;
pub mod proxy_protocol;
pub mod resolve;
mod self_check;
mod socket;
pub(crate) mod sockets;
mod stream;
pub mod tls;
mod token;
mod transport;

pub use address::{Address, LONGEST_UNIX_PATH};
pub use bind::{BindError, SocketAccess, try_bind};
pub use buffers::{SocketBuffers, limit_not_sent};
pub use listener::{Inherited, Listener};
pub use peer::{Peer, UNIX_PEER};
pub use self_check::SelfCheckSocket;
pub use socket::{Read, Write};
pub use stream::Stream;
pub use token::{ConnectionToken, Side};
pub use transport::Transport;
