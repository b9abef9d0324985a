//! How an exchange comes to a connection to a backend: a kept one, else a fresh one to
//! each address of each backend in turn.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::Registry;
use rustix::io::Errno;

use super::failure::Failure;
use super::pool::{BackendConnection, Pool, PoolKey};
use super::relay::Relay;
use super::report;
use super::upstream::{self, Addresses};
use crate::net::{Stream, Transport};

/// How long to wait before a Unix socket whose backlog is full is tried again: it has no
/// event for that (`EAGAIN` in unix(7)).
const UNIX_RETRY: Duration = Duration::from_millis(5);
/// The wait doubles up to this one: many that try again at once are a load of their own.
const LONGEST_UNIX_RETRY: Duration = Duration::from_millis(80);

/// What connecting happens under.
pub struct AttemptContext<'a> {
    /// What is forwarded where.
    pub relay: &'a Relay,
    /// The number of the relay, which tells its connections in the pool.
    pub relay_number: usize,
    /// The worker's connections.
    pub pool: &'a mut Pool,
    /// Where connections hear of readiness.
    pub registry: &'a Registry,
    /// The session's slot.
    pub owner: usize,
    /// The time of this turn.
    pub now: Instant,
}

enum State {
    /// A Unix socket is tried again then.
    Waiting(Instant),
    Connecting(BackendConnection),
    Connected(BackendConnection),
    /// There is none, and none is wanted.
    Closed,
}

/// The way to a connection, and the connection.
pub struct Attempt {
    state: State,
    /// The backends that have been tried, as bits.
    tried: u64,
    backend: usize,
    /// Whether the backend counts this exchange as outstanding.
    begun: bool,
    /// Those of the backend, once a connection is to be made.
    addresses: Option<Addresses>,
    next_address: usize,
    /// How long to wait for room in the backlog of a Unix socket.
    unix_retry: Duration,
    /// Why the last address of this backend took no connection.
    error: Option<String>,
    /// When the attempt at the present address ends.
    deadline: Instant,
}

impl Attempt {
    /// Nothing is tried yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Closed,
            tried: 0,
            backend: 0,
            begun: false,
            addresses: None,
            next_address: 0,
            unix_retry: UNIX_RETRY,
            error: None,
            deadline: now,
        }
    }

    /// Takes a kept connection, or starts to make one. `once_only` is for a request that
    /// must not be sent twice.
    ///
    /// # Errors
    ///
    /// Why no backend can be had.
    pub fn start(
        &mut self,
        once_only: bool,
        context: &mut AttemptContext<'_>,
    ) -> Result<(), Failure> {
        self.choose(Failure::Refused, Some(once_only), context)
    }

    /// Starts to make a fresh connection to the same backend.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub fn start_afresh(&mut self, context: &mut AttemptContext<'_>) -> Result<(), Failure> {
        self.close(context.pool);
        match self.connect(context) {
            Ok(()) => Ok(()),
            Err(failure) => self.next_backend(failure, context),
        }
    }

    /// Chooses the next backend that has not been tried; `kept` tells whether a kept
    /// connection serves, and whether the request must not be sent twice.
    fn choose(
        &mut self,
        mut failure: Failure,
        kept: Option<bool>,
        context: &mut AttemptContext<'_>,
    ) -> Result<(), Failure> {
        let upstream = &context.relay.upstream;
        while let Some(backend) = upstream.choose(self.tried, context.now) {
            self.backend = backend;
            upstream.begin(backend);
            self.begun = true;
            let key = self.key(context);
            let taken = kept.and_then(|once_only| {
                let (owner, now) = (context.owner, context.now);
                context.pool.take(key, once_only, owner, now)
            });
            if let Some(connection) = taken {
                self.state = State::Connected(connection);
                return Ok(());
            }
            match self.connect(context) {
                Ok(()) => return Ok(()),
                // It is not the backend's fault, and no other one can be had either.
                Err(Failure::Full) => {
                    self.end(context.relay);
                    return Err(Failure::Full);
                }
                Err(error) => failure = error,
            }
            self.leave_backend(failure, context);
        }
        Err(failure)
    }

    fn key(&self, context: &AttemptContext<'_>) -> PoolKey {
        PoolKey {
            relay: context.relay_number,
            backend: self.backend,
        }
    }

    /// The present backend is left alone, and the next one is tried.
    fn next_backend(
        &mut self,
        failure: Failure,
        context: &mut AttemptContext<'_>,
    ) -> Result<(), Failure> {
        if failure == Failure::Full {
            return Err(failure);
        }
        self.leave_backend(failure, context);
        self.choose(failure, Some(true), context)
    }

    fn leave_backend(&mut self, failure: Failure, context: &mut AttemptContext<'_>) {
        let detail = self.error.take();
        report::backend_failed(context.relay, self.backend, failure, detail, None);
        let upstream = &context.relay.upstream;
        upstream.failed(self.backend, context.now);
        self.tried |= 1 << self.backend;
        self.end(context.relay);
    }

    fn end(&mut self, relay: &Relay) {
        if std::mem::take(&mut self.begun) {
            relay.upstream.end(self.backend);
        }
    }

    fn connect(&mut self, context: &mut AttemptContext<'_>) -> Result<(), Failure> {
        let addresses = context.relay.upstream.addresses(self.backend);
        let is_unresolved = addresses.is_empty();
        self.addresses = Some(addresses);
        self.next_address = 0;
        self.unix_retry = UNIX_RETRY;
        self.deadline = context.now + context.relay.limits.connect_timeout;
        if is_unresolved {
            return Err(Failure::Unresolved);
        }
        self.connect_to_next(Failure::Refused, context)
    }

    fn connect_to_next(
        &mut self,
        failure: Failure,
        context: &mut AttemptContext<'_>,
    ) -> Result<(), Failure> {
        while let Some(addresses) = &self.addresses
            && let Some(address) = addresses.get(self.next_address)
        {
            match upstream::connect(address) {
                Ok(stream) => {
                    let key = self.key(context);
                    let (owner, registry, now) = (context.owner, context.registry, context.now);
                    let transport = self.secured(stream, context.relay)?;
                    let adopted = context.pool.adopt(transport, key, owner, registry, now);
                    let connection = adopted.map_err(|_| Failure::Full)?;
                    self.state = State::Connecting(connection);
                    return Ok(());
                }
                Err(error) if is_ours(&error) => return Err(Failure::Full),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.state = State::Waiting(context.now + self.unix_retry);
                    self.unix_retry = (self.unix_retry * 2).min(LONGEST_UNIX_RETRY);
                    return Ok(());
                }
                Err(error) => self.error = Some(error.to_string()),
            }
            self.next_address += 1;
            self.deadline = context.now + context.relay.limits.connect_timeout;
        }
        Err(failure)
    }

    /// The connection, inside TLS where the backend wants it.
    fn secured(&self, stream: Stream, relay: &Relay) -> Result<Transport, Failure> {
        let transport = Transport::connecting(stream);
        if !relay.upstream.is_https(self.backend) {
            return Ok(transport);
        }
        let name = relay.upstream.tls_name(self.backend);
        let session = match (&relay.tls, name) {
            (Some(client), Some(name)) => client.session(name).ok(),
            _ => None,
        };
        let session = session.ok_or(Failure::Tls("unavailable"))?;
        Ok(transport.with_tls(session))
    }

    /// Goes on with connecting. `Ok(true)` where something has changed.
    ///
    /// # Errors
    ///
    /// Why no backend can be had.
    pub fn advance(&mut self, context: &mut AttemptContext<'_>) -> Result<bool, Failure> {
        let now = context.now;
        let failure = match &self.state {
            State::Connecting(connection) if connection.transport.is_writable() => {
                match upstream::connect_result(connection.transport.stream()) {
                    Ok(true) => {
                        context.relay.upstream.succeeded(self.backend);
                        self.state = match std::mem::replace(&mut self.state, State::Closed) {
                            State::Connecting(connection) => State::Connected(connection),
                            other => other,
                        };
                        return Ok(true);
                    }
                    Ok(false) => return Ok(false),
                    Err(error) => {
                        self.error = Some(error.to_string());
                        Failure::Refused
                    }
                }
            }
            State::Connecting(_) | State::Waiting(_) if self.deadline <= now => {
                Failure::ConnectTimeout
            }
            State::Waiting(until) if *until <= now => {
                return self
                    .connect_to_next(Failure::Refused, context)
                    .or_else(|failure| self.next_backend(failure, context))
                    .map(|()| true);
            }
            _ => return Ok(false),
        };
        self.close(context.pool);
        self.next_address += 1;
        self.deadline = now + context.relay.limits.connect_timeout;
        self.connect_to_next(failure, context)
            .or_else(|failure| self.next_backend(failure, context))
            .map(|()| true)
    }

    /// When connecting is to be looked at again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until.min(self.deadline)),
            State::Connecting(_) => Some(self.deadline),
            State::Connected(_) | State::Closed => None,
        }
    }

    /// The number of the backend.
    #[must_use]
    pub fn backend(&self) -> usize {
        self.backend
    }

    /// The connection, once it is made.
    pub fn connected(&mut self) -> Option<&mut BackendConnection> {
        match &mut self.state {
            State::Connected(connection) => Some(connection),
            _ => None,
        }
    }

    /// The connection, made or not, for an event.
    pub fn connection(&mut self) -> Option<&mut BackendConnection> {
        match &mut self.state {
            State::Connecting(connection) | State::Connected(connection) => Some(connection),
            State::Waiting(_) | State::Closed => None,
        }
    }

    fn take(&mut self) -> Option<BackendConnection> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Connecting(connection) | State::Connected(connection) => Some(connection),
            State::Waiting(_) | State::Closed => None,
        }
    }

    /// Closes the connection.
    pub fn close(&mut self, pool: &mut Pool) {
        if let Some(connection) = self.take() {
            pool.discard(connection);
        }
    }

    /// The exchange is over; a connection on which nothing is under way is kept.
    pub fn finish(&mut self, keep: bool, relay: &Relay, pool: &mut Pool, now: Instant) {
        if let Some(connection) = self.take() {
            if keep {
                pool.put(connection, relay.limits.idle_timeout, now);
            } else {
                pool.discard(connection);
            }
        }
        self.end(relay);
    }
}

/// Whether this system has run out of something, and the backend has no part in it
/// (connect(2), socket(2)).
fn is_ours(error: &io::Error) -> bool {
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    Errno::from_io_error(error).is_some_and(|error| ours.contains(&error))
}
