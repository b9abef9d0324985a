//! A connection as whoever speaks HTTP over it sees it: plain, or inside TLS.

use std::io;

use mio::Registry;
use mio::event::Event;

use super::proxy_protocol;
use super::socket::{Read, Socket, Write};
use super::stream::Stream;
use super::tls::server::TlsServer;
use super::tls::{TlsError, TlsSession};
use super::token::ConnectionToken;

/// A connection, registered once and edge-triggered for both directions: an event says
/// when something changes, and this type remembers it until a call says otherwise.
pub struct Transport {
    socket: Socket,
    tls: Option<Box<TlsSession>>,
}

impl Transport {
    /// Both directions are taken for ready until they are tried: most clients have sent
    /// their first request by the time that they are accepted.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            socket: Socket::new(stream),
            tls: None,
        }
    }

    /// One whose connect(2) is under way: it is writable once that has ended.
    #[must_use]
    pub fn connecting(stream: Stream) -> Self {
        Self {
            socket: Socket::connecting(stream),
            tls: None,
        }
    }

    /// Has all that is read and written pass through `session`.
    #[must_use]
    pub fn with_tls(self, session: TlsSession) -> Self {
        Self {
            tls: Some(Box::new(session)),
            ..self
        }
    }

    /// Starts to hear of readiness under `token`.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn register(&mut self, registry: &Registry, token: ConnectionToken) -> io::Result<()> {
        self.socket.register(registry, token)
    }

    /// Takes note of an event.
    pub fn on_event(&mut self, event: &Event) {
        self.socket.on_event(event);
    }

    /// Whether a read is worth a try.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.socket.is_readable() || self.tls.as_ref().is_some_and(|tls| tls.is_readable())
    }

    /// Whether a write is worth a try.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.socket.is_writable()
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> Read {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => tls.read(&mut self.socket, buffer),
        }
    }

    /// Writes until all is taken or the peer takes no more. What TLS has taken may still
    /// be on its way: see [`Self::flush`].
    pub fn write(&mut self, bytes: &[u8]) -> Write {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => tls.write(&mut self.socket, bytes),
        }
    }

    /// Bytes that have been taken and not been written to the socket.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.unflushed())
    }

    /// Bytes of memory that it holds beside itself.
    #[must_use]
    pub fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.held())
    }

    /// Bytes that the kernel holds for it and that wait for anybody.
    #[must_use]
    pub fn kernel_held(&self) -> usize {
        self.socket.kernel_held()
    }

    /// Bounds for good what the kernel may hold of what is written, where that waits.
    pub fn bound_kernel(&mut self) {
        self.socket.bound_kernel();
    }

    /// Writes what has been taken, as far as the peer takes it.
    pub fn flush(&mut self) -> Write {
        match &mut self.tls {
            None => Write::Bytes(0),
            Some(tls) => tls.flush(&mut self.socket),
        }
    }

    /// Says that nothing more will be written, in TLS too (RFC 8446, section 6.1).
    ///
    /// # Errors
    ///
    /// What shutdown(2) says: the connection is broken.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.close_notify();
        self.socket.shutdown_write()
    }

    /// Tells a TLS peer that the end which follows is meant, so that it takes what it has
    /// for whole.
    pub fn close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify(&mut self.socket);
        }
    }

    /// Whether the connection, closed on both sides, has nothing left that the peer has
    /// not taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.socket.stream().is_finished()
    }

    /// Has closing reset the connection and drop what the peer has not taken.
    pub fn reset_on_close(&self) {
        self.socket.reset_on_close();
    }

    /// A write has failed: a read tells what the peer has sent before that.
    pub fn expect_end(&mut self) {
        self.socket.expect_end();
    }

    /// Whether the peer has reset the connection, as far as events have told.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.socket.is_broken()
    }

    /// Asks the socket whether the peer has neither closed its side nor sent anything
    /// (`MSG_PEEK` in recv(2)).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.socket.is_open()
    }

    /// Reads the PROXY protocol's header, which comes before anything else.
    pub fn read_proxy_header(&mut self) -> proxy_protocol::Outcome {
        use proxy_protocol::{Malformed, Outcome};
        let mut bytes = [0; proxy_protocol::LONGEST];
        let outcome = match self.socket.peek(&mut bytes) {
            Read::Bytes(count) => proxy_protocol::read(&bytes[..count]),
            Read::Blocked | Read::Nothing => return Outcome::Partial,
            Read::End | Read::Failed(_) => return Outcome::Malformed(Malformed::Missing),
        };
        match outcome {
            // What has ended brings no more.
            Outcome::Partial if self.socket.is_readable() => Outcome::Malformed(Malformed::Missing),
            Outcome::Complete(length, _) if self.socket.take(length).is_err() => {
                Outcome::Malformed(Malformed::Missing)
            }
            outcome => outcome,
        }
    }

    /// Verifies the client's certificate again, where `server` has changed whom it lets in.
    ///
    /// # Errors
    ///
    /// Why the client is not let in any more.
    pub fn verify_again(&mut self, server: &TlsServer) -> Result<(), TlsError> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => server.verify_again(tls).map_err(TlsError::Rustls),
        }
    }

    /// The TLS session, where there is one.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_deref()
    }

    /// Whether a TLS handshake is under way.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Gives up TLS: the peer does not speak it, and is told so in plain bytes.
    pub fn drop_tls(&mut self) {
        self.tls = None;
    }

    /// The socket itself, for its options.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        self.socket.stream()
    }
}
