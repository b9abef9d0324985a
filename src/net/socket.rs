//! A connected socket with what epoll(7) has said of it.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::event::Event;
use mio::{Interest, Registry};

use super::buffers;
use super::stream::Stream;
use super::token::ConnectionToken;

/// What one read comes to.
#[derive(Debug)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// None now; an event tells of more.
    Blocked,
    /// No data, though something came; the next read is worth a try.
    Nothing,
    /// The peer has closed its side.
    End,
    /// The connection is broken.
    Failed(io::Error),
}

/// What one write comes to.
#[derive(Debug)]
pub enum Write {
    /// So many bytes were taken, perhaps none.
    Bytes(usize),
    /// The connection is broken.
    Failed(io::Error),
}

/// A connection, registered once and edge-triggered for both directions: an event says
/// when something changes, and this type remembers it until a call says otherwise.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Socket {
    stream: Stream,
    readable: bool,
    writable: bool,
    /// The peer has closed its side, or the connection broke: a short read is not the
    /// last one.
    ends: bool,
    /// The connection is of no more use in either direction: it was reset, or a Unix
    /// peer is gone.
    broken: bool,
    /// This side has said that it writes no more.
    write_closed: bool,
    /// What the kernel holds at most of what has been written, once that is bounded.
    bounded: Option<usize>,
}

impl Socket {
    /// Both directions are taken for ready until they are tried: most clients have sent
    /// their first request by the time that they are accepted.
    #[must_use]
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            readable: true,
            writable: true,
            ends: false,
            broken: false,
            write_closed: false,
            bounded: None,
        }
    }

    /// One whose connect(2) is under way: it is writable once that has ended.
    #[must_use]
    pub(super) fn connecting(stream: Stream) -> Self {
        Self {
            readable: false,
            writable: false,
            ..Self::new(stream)
        }
    }

    /// Starts to hear of readiness under `token`.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token: ConnectionToken,
    ) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.stream, token.into(), both)
    }

    /// Takes note of an event.
    pub(super) fn on_event(&mut self, event: &Event) {
        self.ends |= event.is_read_closed() || event.is_error();
        // Once both sides have closed, both directions end without a reset.
        self.broken |= event.is_error() || event.is_write_closed() && !self.write_closed;
        self.readable |= event.is_readable() || self.ends;
        self.writable |= event.is_writable() || event.is_error();
        if self.writable && self.bounded.is_some() {
            // What was too much has been taken.
            self.bounded = Some(buffers::untaken(&self.stream));
        }
    }

    /// Whether a read is worth a try.
    #[must_use]
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether a write is worth a try.
    #[must_use]
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => {
                    self.readable = false;
                    Read::End
                }
                Ok(count) => {
                    // A short read has drained the socket; what comes later makes it
                    // ready again (epoll(7), question 9).
                    self.readable = count == buffer.len() || self.ends;
                    Read::Bytes(count)
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => {
                        self.readable = false;
                        Read::Blocked
                    }
                    _ => Read::Failed(error),
                },
            };
        }
    }

    /// Reads once without taking anything. The next event tells of more.
    pub(super) fn peek(&mut self, buffer: &mut [u8]) -> Read {
        match self.stream.peek(buffer) {
            Ok(0) => Read::End,
            Ok(count) => {
                self.readable = self.ends;
                Read::Bytes(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Read::Blocked
            }
            Err(error) => Read::Failed(error),
        }
    }

    /// Takes `count` bytes that have been seen. There may be more.
    pub(super) fn take(&mut self, count: usize) -> io::Result<()> {
        let mut seen = [0; super::proxy_protocol::LONGEST];
        self.stream.read_exact(&mut seen[..count])?;
        self.readable = true;
        Ok(())
    }

    /// Writes until all is taken or the peer takes no more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Write {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(0) => return Write::Failed(ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => {
                        self.writable = false;
                        break;
                    }
                    _ => return Write::Failed(error),
                },
            }
        }
        Write::Bytes(sent)
    }

    /// A write has failed: a read tells what the peer has sent before that.
    pub(super) fn expect_end(&mut self) {
        self.ends = true;
        self.readable = true;
    }

    /// Whether the peer has reset the connection, as far as events have told.
    #[must_use]
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Asks the socket whether the peer has neither closed its side nor sent anything
    /// (`MSG_PEEK` in recv(2)).
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        !self.ends && self.stream.has_nothing_to_read()
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    ///
    /// What shutdown(2) says: the connection is broken.
    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.write_closed, true) {
            return Ok(());
        }
        self.stream.shutdown_write()
    }

    /// Has closing reset the connection and drop what the peer has not taken.
    pub(super) fn reset_on_close(&self) {
        self.stream.forget_unsent();
    }

    /// Bytes that the kernel holds for it, as far as they wait for anybody: what is
    /// unread, and what a peer that takes no more may have left.
    #[must_use]
    pub(super) fn kernel_held(&self) -> usize {
        let unread = if self.readable {
            buffers::unread(&self.stream)
        } else {
            0
        };
        let untaken = match self.bounded {
            _ if self.writable => 0,
            Some(bound) => bound,
            None => buffers::untaken(&self.stream),
        };
        unread + untaken
    }

    /// Bounds for good what the kernel may hold of what is written, where that waits.
    pub(super) fn bound_kernel(&mut self) {
        if !self.writable && self.bounded.is_none() {
            self.bounded = Some(buffers::bound_untaken(&self.stream));
        }
    }

    /// The socket itself, for its options.
    #[must_use]
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }
}
