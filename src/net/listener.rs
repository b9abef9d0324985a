//! The sockets that connections arrive on.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token, event::Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with, sockopt,
};

use super::buffers::SocketBuffers;
use super::peer::{Peer, UNIX_PEER};
use super::self_check::SelfCheckSocket;
use super::stream::Stream;

/// Longest path of a Unix socket without the NUL behind it, in bytes (unix(7)).
pub const LONGEST_UNIX_PATH: usize = 107;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `ADDR:PORT`.
    Tcp(SocketAddr),
    /// `tls:ADDR:PORT`: TCP that speaks TLS.
    Tls(SocketAddr),
    /// `redirect:ADDR:PORT`: TCP where clients are sent to https.
    Redirect(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Address {
    /// The address of TCP.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) | Self::Redirect(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The same at another port, as the system has chosen it.
    fn at(&self, address: SocketAddr) -> Self {
        match self {
            Self::Tls(_) => Self::Tls(address),
            Self::Redirect(_) => Self::Redirect(address),
            _ => Self::Tcp(address),
        }
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let address = self.socket_addr();
        address.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(to),
            Self::Tls(address) => write!(to, "tls:{address}"),
            Self::Redirect(address) => write!(to, "redirect:{address}"),
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
        }
    }
}

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

/// Who may connect to a Unix socket that we bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// The mode of its file.
    pub mode: u32,
    /// The group of its file, where it is not this process's.
    pub group: Option<u32>,
}

impl Default for SocketAccess {
    fn default() -> Self {
        Self {
            mode: 0o660,
            group: None,
        }
    }
}

/// Connections that may wait to be accepted: as many as the kernel allows, which lowers
/// this to net.core.somaxconn (listen(2)).
const BACKLOG: i32 = i32::MAX;

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
    /// `access` is for Unix sockets.
    pub(crate) fn bind(
        address: &Address,
        access: SocketAccess,
        buffers: SocketBuffers,
        patience: Duration,
    ) -> io::Result<Self> {
        match address {
            Address::Tcp(wanted) | Address::Tls(wanted) | Address::Redirect(wanted) => {
                let listener = listen_tcp(*wanted).map_err(|error| explain(error, address))?;
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
                remove_stale(path)?;
                let listener = bind_unix(path, access)?;
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

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // What is left of earlier connections does not keep the port (ip(7)).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Says what to do about a port that is not this process's to have.
fn explain(error: io::Error, address: &Address) -> io::Error {
    let port = address.socket_addr().map_or(0, |address| address.port());
    if error.kind() != io::ErrorKind::PermissionDenied || port >= 1024 {
        return error;
    }
    let role = match address {
        Address::Tls(_) => "tls",
        Address::Redirect(_) => "redirect",
        _ => "plain",
    };
    let message = format!(
        "{error}; a port below 1024 takes a privilege that a service should not have, so let \
         systemd open it: origin-guard print socket --role {role}"
    );
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from_std(socket.into()))
}

/// Binds with no access for anyone, and then grants `access`. The umask(2) is that of the
/// whole process; sockets are bound before other threads make files.
fn bind_unix(path: &Path, access: SocketAccess) -> io::Result<UnixListener> {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o777));
    let listener = listen_unix(path);
    rustix::process::umask(umask);
    let listener = listener?;
    if access.group.is_some() {
        std::os::unix::fs::chown(path, None, access.group).map_err(|error| {
            let message = format!("SOCKET_GROUP cannot be given to it: {error}");
            io::Error::new(error.kind(), message)
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode))?;
    Ok(listener)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket file that nothing listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let message = "a file that is not a socket is there";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) => {}
    }
    // Without waiting: a full backlog (`EAGAIN`) is a sign of life, too.
    match mio::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}
