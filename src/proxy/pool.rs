//! The connections that a worker has to its backends: lent to an exchange, or kept for
//! the next one. It is the worker's own, so that it needs no lock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::Registry;
use mio::event::Event;

use super::counters::{IDLE, OPEN};
use crate::net::{ConnectionToken, Read, Side, Transport};

/// A request that is not idempotent takes no connection that has rested for longer: the
/// backend may be closing it at this moment.
const FRESH: Duration = Duration::from_millis(500);

/// A connection to a backend. Whoever has it gives it back by [`Pool::put`] or
/// [`Pool::discard`].
pub struct BackendConnection {
    /// The socket.
    pub transport: Transport,
    token: ConnectionToken,
    key: PoolKey,
    last_used: Instant,
    /// Whether an exchange has had it before.
    pub reused: bool,
}

/// Which backend a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolKey {
    /// The number of the relay.
    pub relay: usize,
    /// The number of the backend in its upstream.
    pub backend: usize,
}

enum State {
    Free,
    /// The session in this slot has it.
    Lent(usize),
    Idle(BackendConnection),
}

struct Slot {
    generation: u32,
    state: State,
}

/// The idle connections of one backend: the one that was used last is at the back, and
/// is the next to be used. Entries whose connection is gone are skipped.
struct Idle {
    key: PoolKey,
    timeout: Duration,
    tokens: VecDeque<ConnectionToken>,
}

/// The connections of one worker to all its backends.
#[derive(Default)]
pub struct Pool {
    slots: Vec<Slot>,
    free: Vec<usize>,
    idle: Vec<Idle>,
}

impl Pool {
    /// Takes up a connection that has been made, or is being made, for the session
    /// `owner`.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn adopt(
        &mut self,
        transport: Transport,
        key: PoolKey,
        owner: usize,
        registry: &Registry,
        now: Instant,
    ) -> std::io::Result<BackendConnection> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                state: State::Free,
            });
            self.slots.len() - 1
        });
        let token = ConnectionToken::new(Side::Backend, slot, self.slots[slot].generation);
        let mut connection = BackendConnection {
            transport,
            token,
            key,
            last_used: now,
            reused: false,
        };
        self.slots[slot].state = State::Lent(owner);
        OPEN.increment();
        if let Err(error) = connection.transport.register(registry, token) {
            self.discard(connection);
            return Err(error);
        }
        Ok(connection)
    }

    /// Takes an idle connection for the session `owner`, the one that was used last.
    /// `once_only` is for a request that cannot be sent twice; it takes none that has
    /// rested for long. Such a one is closed, so that there are no more connections than
    /// there were exchanges at once, and the others are left for other requests.
    pub fn take(
        &mut self,
        key: PoolKey,
        once_only: bool,
        owner: usize,
        now: Instant,
    ) -> Option<BackendConnection> {
        let place = self.idle.iter().position(|idle| idle.key == key)?;
        loop {
            let token = self.idle[place].tokens.pop_back()?;
            let Some(mut connection) = self.take_idle(token, owner) else {
                continue;
            };
            let rested = now.saturating_duration_since(connection.last_used);
            let (is_late, is_fresh) = (rested >= self.idle[place].timeout, rested < FRESH);
            // What a backend sends without being asked is nobody's answer: a connection on
            // which anything waits is not used again.
            let is_usable = !is_late && (!once_only || is_fresh);
            if is_usable && connection.transport.is_open() {
                connection.reused = true;
                return Some(connection);
            }
            self.discard(connection);
            if once_only && !is_fresh {
                return None;
            }
        }
    }

    fn take_idle(&mut self, token: ConnectionToken, owner: usize) -> Option<BackendConnection> {
        let slot = self.slots.get_mut(token.slot())?;
        if slot.generation != token.generation || !matches!(slot.state, State::Idle(_)) {
            return None;
        }
        match std::mem::replace(&mut slot.state, State::Lent(owner)) {
            State::Idle(connection) => {
                IDLE.decrement();
                Some(connection)
            }
            State::Free | State::Lent(_) => None,
        }
    }

    /// Keeps a connection on which nothing is under way, for `timeout` at the most.
    pub fn put(&mut self, mut connection: BackendConnection, timeout: Duration, now: Instant) {
        // No event tells again of what has come by now: more than was asked for, or the end.
        if has_more(&mut connection) {
            return self.discard(connection);
        }
        connection.last_used = now;
        let (key, token) = (connection.key, connection.token);
        self.slots[token.slot()].state = State::Idle(connection);
        IDLE.increment();
        if let Some(idle) = self.idle.iter_mut().find(|idle| idle.key == key) {
            idle.tokens.push_back(token);
        } else {
            self.idle.push(Idle {
                key,
                timeout,
                tokens: [token].into(),
            });
        }
    }

    /// Closes a connection.
    pub fn discard(&mut self, connection: BackendConnection) {
        self.free_slot(connection.token.slot());
        // Dropping the socket closes it, which also takes it out of the epoll set.
        drop(connection);
    }

    fn free_slot(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        entry.generation = entry.generation.wrapping_add(1);
        OPEN.decrement();
        if let State::Idle(_) = std::mem::replace(&mut entry.state, State::Free) {
            IDLE.decrement();
        }
        self.free.push(slot);
    }

    /// The session that has the connection which an event is for. An idle one that ends,
    /// or brings what nobody has asked for, is closed.
    pub fn on_event(&mut self, token: ConnectionToken, event: &Event) -> Option<usize> {
        let slot = self.slots.get_mut(token.slot())?;
        if slot.generation != token.generation {
            return None;
        }
        match &mut slot.state {
            State::Free => None,
            State::Lent(owner) => Some(*owner),
            State::Idle(connection) => {
                connection.transport.on_event(event);
                // The event may be an old one, of the answer that has been read.
                if has_more(connection) {
                    self.free_slot(token.slot());
                }
                None
            }
        }
    }

    /// When the next idle connection is to be given up.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        let oldest = |idle: &Idle| {
            let used = idle
                .tokens
                .iter()
                .find_map(|&token| self.idle_since(token))?;
            Some(used + idle.timeout)
        };
        self.idle.iter().filter_map(oldest).min()
    }

    fn idle_since(&self, token: ConnectionToken) -> Option<Instant> {
        let slot = self.slots.get(token.slot())?;
        match &slot.state {
            State::Idle(connection) if slot.generation == token.generation => {
                Some(connection.last_used)
            }
            _ => None,
        }
    }

    /// Closes the idle connections whose time has passed.
    pub fn expire(&mut self, now: Instant) {
        for place in 0..self.idle.len() {
            while let Some(&token) = self.idle[place].tokens.front() {
                match self.idle_since(token) {
                    Some(used) if used + self.idle[place].timeout > now => break,
                    Some(_) => self.free_slot(token.slot()),
                    None => {}
                }
                self.idle[place].tokens.pop_front();
            }
        }
    }

    /// Connections that nobody uses, and all.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let is_idle = |slot: &&Slot| matches!(slot.state, State::Idle(_));
        let idle = self.slots.iter().filter(is_idle).count();
        (idle, self.slots.len() - self.free.len())
    }
}

/// Whether there is more to read than the answer, or the end.
fn has_more(connection: &mut BackendConnection) -> bool {
    let transport = &mut connection.transport;
    while transport.is_readable() {
        match transport.read(&mut [0]) {
            Read::Nothing => {}
            Read::Blocked => return false,
            Read::Bytes(_) | Read::End | Read::Failed(_) => return true,
        }
    }
    false
}
