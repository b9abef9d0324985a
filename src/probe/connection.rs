//! A connection that blocks, with a deadline; plain or inside TLS.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use rustls::Error as RustlsError;

use crate::admin_client::{Doubt, Whose, listener};
use crate::net::tls::certificates::Facts;
use crate::net::tls::{TlsError, TlsSession};
use crate::net::{Address, ConnectionToken, Read, Side, Transport, Write};
use crate::proxy::upstream::{connect, connect_result};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an exchange may take in all.
const EXCHANGE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection is to be had.
    Connect(io::Error),
    /// TLS cannot be agreed on, or the certificate cannot be verified.
    Tls(TlsError),
    /// The other side ended the connection without an answer.
    Closed,
    /// What came is not HTTP: one word.
    Malformed(&'static str),
    /// Nothing came in time.
    Late,
    /// This machine denies something.
    System(io::Error),
    /// It may be a stranger who would get the secret.
    Doubtful(Doubt),
}

impl Failure {
    /// Whether the certificate cannot be verified.
    pub(crate) fn is_unverifiable(&self) -> bool {
        matches!(
            self,
            Self::Tls(TlsError::Rustls(RustlsError::InvalidCertificate(_)))
        )
    }
}

/// One connection.
pub(crate) struct Connection {
    poll: Poll,
    events: Events,
    transport: Transport,
    deadline: Instant,
    /// What came before all had been sent.
    early: Vec<u8>,
    is_sent: bool,
}

impl Connection {
    /// Connects to `address`; TLS is spoken by `session`, where there is one.
    pub(crate) fn open(address: &Address, session: Option<TlsSession>) -> Result<Self, Failure> {
        let stream = connect(address).map_err(Failure::Connect)?;
        let mut transport = Transport::connecting(stream);
        let poll = Poll::new().map_err(Failure::System)?;
        let token = ConnectionToken::new(Side::Backend, 0, 0);
        transport
            .register(poll.registry(), token)
            .map_err(Failure::System)?;
        let mut connection = Self {
            poll,
            events: Events::with_capacity(4),
            transport,
            deadline: Instant::now() + CONNECT,
            early: Vec::new(),
            is_sent: false,
        };
        connection.connect()?;
        if let Some(session) = session {
            connection.transport = connection.transport.with_tls(session);
        }
        connection.deadline = Instant::now() + EXCHANGE;
        Ok(connection)
    }

    /// Like [`Self::open`], for the secret. Every user of this machine may listen at a free
    /// port of loopback, and at a Unix socket in a folder that everyone may write to: without
    /// TLS the secret is not for who may be such a stranger.
    pub(crate) fn open_for_secret(
        address: &Address,
        session: Option<TlsSession>,
    ) -> Result<Self, Failure> {
        if session.is_some() || !address.is_local() {
            return Self::open(address, session);
        }
        let listening = || address.socket_addr().and_then(listener);
        let before = listening();
        let connection = Self::open(address, None)?;
        let whose = match address {
            Address::Unix(path) => Whose::of_unix(connection.transport.stream(), path),
            _ => Whose::of_tcp(before, listening()),
        };
        match whose.doubt(&[]) {
            Some(doubt) => Err(Failure::Doubtful(doubt)),
            None => Ok(connection),
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        loop {
            self.wait().map_err(|failure| match failure {
                Failure::Late => Failure::Connect(io::ErrorKind::TimedOut.into()),
                other => other,
            })?;
            if self.transport.is_writable()
                && connect_result(self.transport.stream()).map_err(Failure::Connect)?
            {
                return Ok(());
            }
        }
    }

    /// Waits for something to happen.
    fn wait(&mut self) -> Result<(), Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Late);
        }
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Failure::System(error));
            }
            _ => {}
        }
        for event in &self.events {
            self.transport.on_event(event);
        }
        Ok(())
    }

    /// Sends `request`. Inside TLS the first byte of it leaves once the certificate is
    /// verified, and none if it cannot be.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        let mut sent = 0;
        let mut bytes = [0; 4096];
        loop {
            let written = match self.transport.flush() {
                Write::Bytes(_) => self.transport.write(&request[sent..]),
                failed @ Write::Failed(_) => failed,
            };
            match written {
                Write::Bytes(count) => {
                    sent += count;
                    self.is_sent = sent == request.len() && self.transport.unflushed() == 0;
                }
                // The other side may have said why before it closed.
                Write::Failed(_)
                    if self.transport.tls().is_none_or(|tls| tls.error().is_none()) =>
                {
                    self.transport.expect_end();
                    return Ok(());
                }
                Write::Failed(error) => return Err(self.failure(error)),
            }
            if self.is_sent {
                return Ok(());
            }
            match self.transport.read(&mut bytes) {
                Read::Bytes(count) => self.early.extend_from_slice(&bytes[..count]),
                Read::Nothing => {}
                Read::Blocked => self.wait()?,
                Read::End => return Err(Failure::Closed),
                Read::Failed(error) => return Err(self.failure(error)),
            }
        }
    }

    /// Whether the whole of a request has left this process, after the handshake where
    /// there is one.
    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// Reads once, and waits for it. `Ok(0)` is the end.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, Failure> {
        if !self.early.is_empty() {
            buffer.append(&mut self.early);
            return Ok(buffer.len());
        }
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.transport.read(&mut bytes) {
                Read::Bytes(count) => {
                    buffer.extend_from_slice(&bytes[..count]);
                    return Ok(count);
                }
                Read::Nothing => {}
                Read::Blocked => self.wait()?,
                Read::End => return Ok(0),
                Read::Failed(error) => match self.failure(error) {
                    // Many servers end so. What came is judged by its own framing.
                    Failure::Tls(TlsError::Truncated) => return Ok(0),
                    failure => return Err(failure),
                },
            }
        }
    }

    /// What the certificate says of itself, once it is verified.
    pub(crate) fn certificate(&self) -> Option<Facts> {
        let session = self.transport.tls()?;
        let chain = session.state().peer_certificates()?;
        Facts::of(chain.first()?).ok()
    }

    fn failure(&self, error: io::Error) -> Failure {
        let tls = self.transport.tls().and_then(TlsSession::error);
        match (tls, error.kind()) {
            (Some(error), _) => Failure::Tls(error.clone()),
            (None, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Failure::Closed,
            (None, _) => Failure::System(error),
        }
    }
}
