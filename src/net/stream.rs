//! A connected TCP or Unix socket.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token, event::Source};
use rustix::net::sockopt;

/// A connected socket, non-blocking.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Reads without taking anything (`MSG_PEEK` in recv(2)).
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::net::{RecvFlags, recv};
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = match self {
            Self::Tcp(stream) => recv(stream, buffer, flags),
            Self::Unix(stream) => recv(stream, buffer, flags),
        };
        Ok(peeked.map(|(_, length)| length)?)
    }

    /// Whether a read would block: no byte waits, and the peer has not closed its side.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        use rustix::io::Errno;
        use rustix::net::{RecvFlags, recv};
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = match self {
            Self::Tcp(stream) => recv(stream, &mut byte, flags),
            Self::Unix(stream) => recv(stream, &mut byte, flags),
        };
        matches!(peeked, Err(Errno::AGAIN))
    }

    /// Whether the connection, closed on both sides, has nothing left that the peer has
    /// not taken: TCP forgets the peer's address when the last byte is acknowledged
    /// (`ENOTCONN` in getpeername(2)). Unix sockets do not say, and it counts as taken.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.peer_addr().is_err(),
            Self::Unix(_) => true,
        }
    }

    /// Has the kernel give up a peer that takes nothing for that long (`TCP_USER_TIMEOUT`,
    /// tcp(7)).
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub(crate) fn give_up_after(&self, patience: Duration) -> io::Result<()> {
        if let Self::Tcp(stream) = self {
            let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(stream, milliseconds)?;
        }
        Ok(())
    }

    /// Has closing drop what the peer has not taken, rather than keep it for a while
    /// (`SO_LINGER`, socket(7)).
    pub(crate) fn forget_unsent(&self) {
        if let Self::Tcp(stream) = self {
            let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(to, token, interest),
            Self::Unix(stream) => stream.register(to, token, interest),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(to, token, interest),
            Self::Unix(stream) => stream.reregister(to, token, interest),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(from),
            Self::Unix(stream) => stream.deregister(from),
        }
    }
}
