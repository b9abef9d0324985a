//! The backends: where they are, which one is next, and the way there.

mod connect;
mod health;
mod names;
mod url;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use crate::net::Address;
use health::{Failing, Health};
use url::Place;

pub use connect::{connect, connect_result};
pub use url::{BackendUrl, BackendUrlError, OriginUrlError};

/// Most backends: those that a request has tried are bits of a number.
pub const MOST_BACKENDS: usize = 64;

/// Every address of one backend, to be tried in this order; none while its name is not
/// resolved.
pub type Addresses = Arc<[Address]>;

/// How a backend does, as far as requests have found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// It works, or has not been asked yet.
    Works,
    /// It is the only one, so that it is asked all the same. It has failed for that long.
    Fails(Duration),
    /// It has failed for the first of these times, and the others are asked in its place for
    /// the second one.
    LeftAlone(Duration, Duration),
    /// It has failed for that long, and nobody has asked it lately: a request tries it again.
    ToBeTried(Duration),
    /// Its name has no address.
    Unresolved,
}

/// All backends, shared by all workers. No request waits for a lock here; a connect takes
/// one for reading, to copy a pointer.
pub struct Upstream {
    backends: Box<[Backend]>,
    /// Where the next choice begins to look, so that backends that are equal take turns.
    next: AtomicUsize,
    /// What the times of [`Health`] count from.
    origin: Instant,
}

/// A cache line of its own for each: every request writes to it.
#[repr(align(64))]
struct Backend {
    outstanding: AtomicUsize,
    health: Health,
    url: BackendUrl,
    /// Whose certificate a connection must show, where it speaks TLS.
    tls_name: Option<ServerName<'static>>,
    addresses: RwLock<Addresses>,
}

impl Upstream {
    /// `urls` are as [`BackendUrl::parse_list`] returns them. Names have no address before
    /// [`Upstream::resolve_names`] has found one.
    #[must_use]
    pub fn new(urls: Vec<BackendUrl>) -> Self {
        let backend = |url: BackendUrl| {
            let addresses: Addresses = match url.place() {
                Place::Address(address) => [address.clone()].into(),
                Place::Name { .. } => [].into(),
            };
            let host = url.host_name().filter(|_| url.is_https());
            Backend {
                tls_name: host.and_then(|host| ServerName::try_from(host).ok()),
                outstanding: AtomicUsize::new(0),
                health: Health::default(),
                url,
                addresses: RwLock::new(addresses),
            }
        };
        Self {
            backends: urls.into_iter().map(backend).collect(),
            next: AtomicUsize::new(0),
            origin: Instant::now(),
        }
    }

    /// Has every connection that speaks TLS show a certificate for `name`.
    #[must_use]
    pub fn with_tls_name(mut self, name: &ServerName<'static>) -> Self {
        for backend in &mut self.backends {
            if backend.url.is_https() {
                backend.tls_name = Some(name.clone());
            }
        }
        self
    }

    /// Whose certificate a connection must show; `None` where it is plain.
    #[must_use]
    pub fn tls_name(&self, backend: usize) -> Option<&ServerName<'static>> {
        self.backends[backend].tls_name.as_ref()
    }

    /// Whether connections speak TLS.
    #[must_use]
    pub fn is_https(&self, backend: usize) -> bool {
        self.backends[backend].url.is_https()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.backends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }

    /// The backend for a request that has tried those whose bits are set in `tried`: the one
    /// with the least outstanding requests among those that are not left alone. Where all
    /// are, it is the one whose time is over first. `None` once all have been tried.
    #[must_use]
    pub fn choose(&self, tried: u64, now: Instant) -> Option<usize> {
        if self.len() == 1 {
            return (tried & 1 == 0).then_some(0);
        }
        let now = self.milliseconds(now);
        let first = self.next.fetch_add(1, Relaxed) % self.len().max(1);
        let untried = || {
            (first..self.len())
                .chain(0..first)
                .filter(|at| tried >> at & 1 == 0)
        };
        let outstanding = |at: &usize| self.backends[*at].outstanding.load(Relaxed);
        // Whoever loses the trial of one takes another, or the same again, resting by then.
        loop {
            let fit = untried().filter(|at| !self.backends[*at].health.is_resting(now));
            let Some(best) = fit.min_by_key(outstanding) else {
                return untried().min_by_key(|at| self.backends[*at].health.rests_until());
            };
            if self.backends[best].health.trial(now) {
                return Some(best);
            }
        }
    }

    /// Counts a request as outstanding at `backend`.
    pub fn begin(&self, backend: usize) {
        // Where there is no choice the number serves nobody, and would cost all workers the
        // same cache line twice a request.
        if self.len() > 1 {
            self.backends[backend].outstanding.fetch_add(1, Relaxed);
        }
    }

    /// Takes back one [`Upstream::begin`].
    pub fn end(&self, backend: usize) {
        if self.len() > 1 {
            self.backends[backend].outstanding.fetch_sub(1, Relaxed);
        }
    }

    /// Leaves `backend` alone for a second, after each further failure in a row for twice as
    /// long, up to 30 seconds. Where there is but one it is noted, and changes nothing.
    pub fn failed(&self, backend: usize, now: Instant) {
        let now = self.milliseconds(now);
        self.backends[backend].health.failed(now);
    }

    /// How `backend` does.
    #[must_use]
    pub fn state(&self, backend: usize, now: Instant) -> BackendState {
        let now = self.milliseconds(now);
        match self.backends[backend].health.failing(now) {
            Some(Failing { since, left }) if left.is_zero() => BackendState::ToBeTried(since),
            Some(Failing { since, left }) if self.len() > 1 => BackendState::LeftAlone(since, left),
            Some(Failing { since, .. }) => BackendState::Fails(since),
            None if self.addresses(backend).is_empty() => BackendState::Unresolved,
            None => BackendState::Works,
        }
    }

    /// Ends the row of failures.
    pub fn succeeded(&self, backend: usize) {
        self.backends[backend].health.succeeded();
    }

    /// Where to connect to, now. Read anew for each connect.
    #[must_use]
    pub fn addresses(&self, backend: usize) -> Addresses {
        let addresses = self.backends[backend].addresses.read();
        Arc::clone(&addresses.unwrap_or_else(PoisonError::into_inner))
    }

    /// What logs and metrics call it; see [`BackendUrl::name`].
    #[must_use]
    pub fn name(&self, backend: usize) -> &str {
        self.backends[backend].url.name()
    }

    /// The authority for a request that came without one: host and port; `localhost` for a
    /// Unix socket.
    #[must_use]
    pub fn host(&self, backend: usize) -> &str {
        let url = &self.backends[backend].url;
        match url.place() {
            Place::Address(Address::Unix(_)) => "localhost",
            _ => url.name(),
        }
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX >> 9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(list: &str) -> Upstream {
        Upstream::new(BackendUrl::parse_list(list).expect("a list"))
    }

    #[test]
    fn one_backend_is_always_tried_once() {
        let upstream = upstream("http://127.0.0.1:1");
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(upstream.choose(0, now), Some(0));
            upstream.failed(0, now);
        }
        assert_eq!(upstream.choose(1, now), None);
        assert_eq!(
            &*upstream.addresses(0),
            [Address::Tcp(([127, 0, 0, 1], 1).into())]
        );
        assert_eq!(upstream.host(0), "127.0.0.1:1");
    }

    #[test]
    fn the_least_outstanding_is_chosen_and_equals_take_turns() {
        let upstream = upstream("http://a:1,http://b:1,http://unix:/c");
        let now = Instant::now();
        let mut turns: Vec<_> = (0..6).map(|_| upstream.choose(0, now)).collect();
        turns.sort_unstable();
        assert_eq!(
            turns,
            [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2)]
        );
        upstream.begin(0);
        upstream.begin(2);
        for _ in 0..6 {
            assert_eq!(upstream.choose(0, now), Some(1));
        }
        upstream.begin(1);
        upstream.begin(1);
        upstream.end(2);
        for _ in 0..6 {
            assert_eq!(upstream.choose(0, now), Some(2));
            assert_eq!(upstream.choose(0b100, now), Some(0));
        }
        assert_eq!(upstream.choose(0b111, now), None);
        assert_eq!(upstream.host(2), "localhost");
        assert_eq!(upstream.name(2), "unix:/c");
        assert!(upstream.addresses(0).is_empty());
    }

    #[test]
    fn one_that_fails_is_left_alone_and_the_last_one_is_tried() {
        let upstream = upstream("http://127.0.0.1:1,http://127.0.0.1:2");
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        upstream.failed(0, at(0));
        upstream.begin(1);
        for _ in 0..4 {
            assert_eq!(upstream.choose(0, at(900)), Some(1));
        }
        assert_eq!(
            upstream.choose(0b10, at(900)),
            Some(0),
            "it is the last one"
        );
        upstream.failed(1, at(500));
        let state = |backend, now| upstream.state(backend, at(now));
        let (since, left) = (Duration::from_millis(900), Duration::from_millis(100));
        assert_eq!(state(0, 900), BackendState::LeftAlone(since, left));
        let since = Duration::from_secs(1);
        assert_eq!(state(0, 1_000), BackendState::ToBeTried(since));
        for _ in 0..4 {
            assert_eq!(
                upstream.choose(0, at(900)),
                Some(0),
                "its time is over first"
            );
            assert_eq!(upstream.choose(0b01, at(900)), Some(1));
        }
        upstream.succeeded(1);
        assert_eq!(upstream.choose(0, at(2_000)), Some(0), "one tries it again");
        assert_eq!(
            upstream.choose(0, at(2_000)),
            Some(1),
            "the others do not wait"
        );
        upstream.succeeded(0);
        assert_eq!(upstream.choose(0, at(2_000)), Some(0));
    }
}
