//! Who is at the other end of a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a connection comes from; [`UNIX_PEER`] for a Unix socket.
pub type Peer = SocketAddr;

/// The peer address that stands for "a Unix socket": no TCP peer has port 0.
pub const UNIX_PEER: Peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
