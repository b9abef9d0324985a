//! The sockets that connections arrive on.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token, event::Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::address::Address;
use super::bind::{self, BACKLOG, SocketAccess, identity};
use super::buffers::SocketBuffers;
use super::peer::{Peer, UNIX_PEER};
use super::self_check::SelfCheckSocket;
use super::stream::Stream;

/// A listening socket that came with the process; see `systemd.socket(5)`.
#[derive(Debug)]
pub enum Inherited {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// One whose connections speak TLS.
    Tls(std::net::TcpListener),
    /// One whose clients are sent to https.
    Redirect(std::net::TcpListener),
    /// A Unix socket, whose file is not this process's to remove.
    Unix(std::os::unix::net::UnixListener),
}

impl Inherited {
    /// Where it listens; `None` for a Unix socket without a path.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok().map(Address::Tcp),
            Self::Tls(socket) => socket.local_addr().ok().map(Address::Tls),
            Self::Redirect(socket) => socket.local_addr().ok().map(Address::Redirect),
            Self::Unix(socket) => {
                let address = socket.local_addr().ok()?;
                Some(Address::Unix(address.as_pathname()?.to_owned()))
            }
        }
    }
}

/// A socket that connections arrive on.
pub struct Listener {
    socket: Socket,
    /// `None` for the one that nobody else needs to know of.
    pub(crate) address: Option<Address>,
    buffers: SocketBuffers,
    /// Whether another process holds it too, and keeps what has not been accepted.
    pub(crate) is_shared: bool,
}

enum Socket {
    Tcp(TcpListener),
    /// With device and inode of the file that was made for it, so that only that one
    /// is removed.
    Unix(UnixListener, Option<(u64, u64)>),
    SelfCheck(UnixListener, Arc<SelfCheckSocket>),
}

impl Listener {
    /// Peers that take nothing for `patience` are given up by the kernel too.
    /// `access` is for Unix sockets; `v6_only` leaves IPv4 to another listener.
    pub(crate) fn bind(
        address: &Address,
        access: SocketAccess,
        v6_only: bool,
        buffers: SocketBuffers,
        patience: Duration,
    ) -> io::Result<Self> {
        match address {
            Address::Tcp(wanted) | Address::Tls(wanted) | Address::Redirect(wanted) => {
                let listener = bind::listen_tcp(address, *wanted, v6_only)?;
                buffers.settle_tcp(&listener, patience)?;
                let bound = listener.local_addr()?;
                let address = Some(address.at(bound));
                let socket = Socket::Tcp(listener);
                Ok(Self {
                    socket,
                    address,
                    buffers,
                    is_shared: false,
                })
            }
            Address::Unix(path) => {
                let listener = bind::listen_unix(path, access)?;
                let socket = Socket::Unix(listener, Some(identity(path)?));
                let address = Some(address.clone());
                Ok(Self {
                    socket,
                    address,
                    buffers,
                    is_shared: false,
                })
            }
        }
    }

    pub(crate) fn inherit(
        inherited: Inherited,
        buffers: SocketBuffers,
        patience: Duration,
    ) -> io::Result<Self> {
        let kind = match inherited {
            Inherited::Tls(_) => Address::Tls,
            Inherited::Redirect(_) => Address::Redirect,
            _ => Address::Tcp,
        };
        match inherited {
            Inherited::Tcp(listener) | Inherited::Tls(listener) | Inherited::Redirect(listener) => {
                buffers.settle_tcp(&listener, patience)?;
                rustix::net::listen(&listener, BACKLOG)?;
                listener.set_nonblocking(true)?;
                let address = Some(kind(listener.local_addr()?));
                let socket = Socket::Tcp(TcpListener::from_std(listener));
                Ok(Self {
                    socket,
                    address,
                    buffers,
                    is_shared: true,
                })
            }
            Inherited::Unix(listener) => {
                rustix::net::listen(&listener, BACKLOG)?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(Path::new("(unnamed)"));
                let address = Some(Address::Unix(path.to_owned()));
                let socket = Socket::Unix(UnixListener::from_std(listener), None);
                Ok(Self {
                    socket,
                    address,
                    buffers,
                    is_shared: true,
                })
            }
        }
    }

    pub(crate) fn private(private: Arc<SelfCheckSocket>) -> io::Result<Self> {
        let socket = Socket::SelfCheck(private.bind()?, private);
        let address = None;
        Ok(Self {
            socket,
            address,
            buffers: SocketBuffers::Small,
            is_shared: false,
        })
    }

    pub(crate) fn is_private(&self) -> bool {
        matches!(self.socket, Socket::SelfCheck(..))
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                // An answer is one write; it must not wait for the peer's ACK of the last.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), peer))
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                self.buffers.settle_unix(&stream)?;
                Ok((Stream::Unix(stream), UNIX_PEER))
            }
            Socket::SelfCheck(listener, private) => {
                // mio leaves abstract names out of what it returns.
                let (stream, _) = listener.accept()?;
                if !private.admits(&stream.peer_addr()?) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Ok((Stream::Unix(stream), UNIX_PEER))
            }
        }
    }

    /// Whether its connections speak TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.address.as_ref().is_some_and(Address::is_tls)
    }

    /// Whether a connection waits to be accepted; poll(2) says so without a file for it.
    pub(crate) fn has_waiting(&self) -> bool {
        let descriptor = match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener, _) | Socket::SelfCheck(listener, _) => listener.as_fd(),
        };
        let mut asked = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        // Where the system does not say, accepting goes on as if one did.
        !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
    }

    pub(crate) fn register(&mut self, to: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(listener) => listener.register(to, token, Interest::READABLE),
            Socket::Unix(listener, _) | Socket::SelfCheck(listener, _) => {
                listener.register(to, token, Interest::READABLE)
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Socket::Unix(_, Some(made)), Some(Address::Unix(path))) =
            (&self.socket, &self.address)
            && identity(path).is_ok_and(|now| now == *made)
        {
            let _ = fs::remove_file(path);
        }
    }
}
