//! Ports of 127.0.0.1 for servers that are given a number, and ports that stay closed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// A port that is bound, and at which nothing listens: whoever connects is refused, and the
/// kernel gives it neither to a listener that takes any port nor to a client, so that it is
/// never another test's, nor connected to itself. A server that is given its number listens
/// at it all the same, because servers set `SO_REUSEADDR` (socket(7)).
pub struct HeldPort {
    /// Where nothing listens yet.
    pub address: SocketAddr,
    _socket: OwnedFd,
}

impl HeldPort {
    /// One of 127.0.0.1.
    pub fn new() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::at(any).expect("a free port")
    }

    /// This one, if it is free.
    fn at(address: SocketAddr) -> rustix::io::Result<Self> {
        let family = match address.ip() {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self {
            address,
            _socket: socket,
        })
    }

    /// A listener at `ip`, and the same port of `other`, which stays closed.
    pub fn beside_listener(ip: IpAddr, other: IpAddr) -> (TcpListener, Self) {
        for _ in 0..100 {
            let listener = TcpListener::bind((ip, 0)).expect("bound");
            let port = listener.local_addr().expect("an address").port();
            if let Ok(held) = Self::at((other, port).into()) {
                return (listener, held);
            }
        }
        panic!("no port is free at both {ip} and {other}");
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Its number.
impl fmt::Display for HeldPort {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.port().fmt(to)
    }
}
