//! Connecting without waiting.

use std::io;

use mio::net::{TcpStream, UnixStream};

use crate::net::{Address, Stream, limit_not_sent};

/// Begins to connect. The socket becomes writable once [`connect_result`] can tell.
///
/// # Errors
///
/// What the system says at once. [`io::ErrorKind::WouldBlock`] is a Unix socket whose
/// backlog is full (`EAGAIN`, connect(2)): no event tells when there is room, so the caller
/// tries again after a while.
pub fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) | Address::Tls(address) | Address::Redirect(address) => {
            let stream = TcpStream::connect(*address)?;
            // A request is one write; it must not wait for the ACK of the last.
            stream.set_nodelay(true)?;
            limit_not_sent(&stream)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path)?)),
    }
}

/// Whether the socket is connected; `false` while that is open.
///
/// # Errors
///
/// Why it cannot be connected.
pub fn connect_result(stream: &Stream) -> io::Result<bool> {
    let error = match stream {
        Stream::Tcp(stream) => stream.take_error()?,
        Stream::Unix(stream) => stream.take_error()?,
    };
    if let Some(error) = error {
        return Err(error);
    }
    let is_connected = match stream {
        Stream::Tcp(stream) => stream.peer_addr().map(Some),
        Stream::Unix(stream) => stream.peer_addr().map(|_| None),
    };
    match (is_connected, stream) {
        (Ok(Some(peer)), Stream::Tcp(stream)) if stream.local_addr()? == peer => {
            // Where nothing listens on a port that the kernel gives out for outgoing
            // connections, it may give out that very one, and connects the socket to itself.
            Err(io::ErrorKind::ConnectionRefused.into())
        }
        (Ok(_), _) => Ok(true),
        (Err(error), _) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use mio::{Events, Interest, Poll, Token};
    use rustix::net::{AddressFamily, SocketType};

    use super::*;

    fn result(mut stream: Stream) -> io::Result<bool> {
        let mut poll = Poll::new().expect("epoll");
        let mut events = Events::with_capacity(1);
        poll.registry()
            .register(&mut stream, Token(0), Interest::WRITABLE)
            .expect("registered");
        poll.poll(&mut events, Some(Duration::from_secs(30)))
            .expect("an event");
        assert!(!events.is_empty(), "no event");
        connect_result(&stream)
    }

    fn tcp(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }

    #[test]
    fn tells_the_outcome() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let stream = connect(&tcp(address)).expect("begun");
        let Stream::Tcp(inner) = &stream else {
            panic!("no TCP");
        };
        assert!(inner.nodelay().expect("the option"));
        assert!(result(stream).expect("connected"));
        drop(listener);
        let refused = connect(&tcp(address)).and_then(result);
        let refused = refused.expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_full_unix_backlog_is_said() {
        let folder = std::env::temp_dir().join(format!("guard-connect-{}", std::process::id()));
        let _ = std::fs::remove_file(&folder);
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None);
        let socket = socket.expect("a socket");
        let address = rustix::net::SocketAddrUnix::new(&folder).expect("a path");
        rustix::net::bind(&socket, &address).expect("bound");
        rustix::net::listen(&socket, 0).expect("listens");
        let address = Address::Unix(folder.clone());
        let mut held = Vec::new();
        let full = loop {
            match connect(&address) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 1_000, "it has no bound");
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(result(held.remove(0)).expect("connected"));
        drop(socket);
        let gone = connect(&address).map(drop).expect_err("refused");
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(folder).expect("removed");
        let gone = connect(&address).map(drop).expect_err("gone");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_socket_that_is_connected_to_itself_is_refused() {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
        let socket = socket.expect("a socket");
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
        let own = rustix::net::getsockname(socket.as_fd()).expect("its address");
        rustix::net::connect(&socket, &own).expect("connected to itself");
        let stream = std::net::TcpStream::from(socket);
        let stream = Stream::Tcp(TcpStream::from_std(stream));
        let refused = connect_result(&stream).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
