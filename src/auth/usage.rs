//! How often a secret is used, and a previous one by whom: counted without a lock and
//! without a clock. Whoever looks notes the time.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::http1::client_network::ClientNetwork;

/// Clients that are told apart for one secret.
const MOST_CLIENTS: usize = 16;
/// Counts that threads share out among them, so that few write to the same line of the cache.
const SHARDS: usize = 8;

/// The use of one secret.
#[derive(Default)]
pub(super) struct Usage {
    shards: [Shard; SHARDS],
    seen: Seen,
    clients: [ClientSlot; MOST_CLIENTS],
    /// Uses by clients for which there is no slot.
    by_others: AtomicU64,
    /// When it first came in the clear, if it did.
    leaked: OnceLock<SystemTime>,
}

#[derive(Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

#[derive(Default)]
struct ClientSlot {
    /// A [`ClientNetwork`], 0 where the slot is free.
    client: AtomicU64,
    count: AtomicU64,
    seen: Seen,
}

/// How one secret has been used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Requests that it has let in; for a previous one, since it is one.
    pub requests: u64,
    /// How long ago the last use was seen; `None` where there was none. The use itself was
    /// before that, and after the last look but one.
    pub last: Option<Duration>,
    /// Who has presented it, where it is a previous one; sixteen at the most.
    pub clients: Vec<ClientUse>,
    /// Requests of all other clients.
    pub by_others: u64,
    /// When it first came in the clear; `None` where it did not.
    pub leaked: Option<SystemTime>,
}

/// How one client has used a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUse {
    /// Who it is.
    pub client: ClientNetwork,
    /// Its requests.
    pub requests: u64,
    /// How long ago the last one was seen.
    pub last: Option<Duration>,
}

impl Usage {
    /// That of a secret which has changed its place: none yet, but for when `other`, which
    /// it was before, was used last and came in the clear.
    pub(super) fn after(other: &Self, now: Instant) -> Self {
        let last = other.seen.look(other.count_of_all(), now);
        Self {
            seen: Seen(Mutex::new((0, last))),
            leaked: other.leaked.clone(),
            ..Self::default()
        }
    }

    /// Counts so many uses in the place that this thread has.
    pub(super) fn add(&self, place: usize, uses: usize) {
        self.shards[place].0.fetch_add(uses as u64, Relaxed);
    }

    /// Notes that it came in the clear.
    pub(super) fn note_leak(&self) {
        self.leaked.get_or_init(SystemTime::now);
    }

    /// Notes who has used it.
    pub(super) fn note_client(&self, client: ClientNetwork) {
        let bits = client.to_bits();
        for slot in &self.clients {
            let taken = slot.client.compare_exchange(0, bits, Release, Acquire);
            if taken.is_ok() || taken == Err(bits) {
                slot.count.fetch_add(1, Relaxed);
                return;
            }
        }
        self.by_others.fetch_add(1, Relaxed);
    }

    fn count_of_all(&self) -> u64 {
        let counts = self.shards.iter().map(|Shard(count)| count.load(Relaxed));
        counts.sum()
    }

    /// How it has been used up to `now`.
    pub(super) fn look(&self, now: Instant) -> SecretUse {
        let ago = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        let requests = self.count_of_all();
        let clients = self.clients.iter().filter_map(|slot| {
            let client = ClientNetwork::from_bits(slot.client.load(Acquire))?;
            let requests = slot.count.load(Relaxed);
            Some(ClientUse {
                client,
                requests,
                last: ago(slot.seen.look(requests, now)),
            })
        });
        SecretUse {
            requests,
            last: ago(self.seen.look(requests, now)),
            clients: clients.collect(),
            by_others: self.by_others.load(Relaxed),
            leaked: self.leaked.get().copied(),
        }
    }
}

/// The place where this thread counts.
pub(super) fn own_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
    }
    OWN.with(|own| *own)
}

/// The count at the last look, and when it was first seen; `None` before the first use.
#[derive(Default)]
struct Seen(Mutex<(u64, Option<Instant>)>);

impl Seen {
    /// When `count` was reached at the latest. Only those who look wait here.
    fn look(&self, count: u64, now: Instant) -> Option<Instant> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count > seen.0 {
            *seen = (count, Some(now));
        }
        seen.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::forwarded::Client;

    fn client(number: u8) -> ClientNetwork {
        ClientNetwork::of(Client::Ip([203, 0, 113, number].into()))
    }

    #[test]
    fn the_last_use_is_when_it_was_seen() {
        let usage = Usage::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(usage.look(start).last, None);
        usage.add(0, 1);
        let look = usage.look(at(2));
        assert_eq!((look.requests, look.last), (1, Some(Duration::ZERO)));
        let look = usage.look(at(7));
        assert_eq!(look.last, Some(Duration::from_secs(5)));
        usage.add(0, 1);
        assert_eq!(usage.look(at(9)).last, Some(Duration::ZERO));
        // In another place it begins anew, but for that.
        let after = Usage::after(&usage, at(10));
        let look = after.look(at(10));
        assert_eq!(
            (look.requests, look.last),
            (0, Some(Duration::from_secs(1)))
        );
        usage.add(0, 1);
        usage.note_leak();
        let after = Usage::after(&usage, at(11));
        assert_eq!(after.look(at(11)).last, Some(Duration::ZERO), "just seen");
        assert!(usage.look(start).leaked.is_some());
        assert_eq!(after.look(start).leaked, usage.look(start).leaked);
    }

    #[test]
    fn sixteen_clients_are_told_apart_and_the_others_counted() {
        let usage = Usage::default();
        let now = Instant::now();
        for number in 0..20 {
            usage.note_client(client(number));
            usage.note_client(client(number));
        }
        let look = usage.look(now);
        assert_eq!(look.clients.len(), 16);
        assert_eq!(look.by_others, 8);
        for (number, used) in (0..).zip(&look.clients) {
            assert_eq!((used.client, used.requests), (client(number), 2));
            assert_eq!(used.last, Some(Duration::ZERO));
        }
    }

    #[test]
    fn threads_lose_no_count() {
        let usage = Usage::default();
        std::thread::scope(|scope| {
            for number in 0..10_u8 {
                let usage = &usage;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        usage.add(own_place(), 1);
                        usage.note_client(client(number % 3));
                    }
                });
            }
        });
        let look = usage.look(Instant::now());
        assert_eq!(look.requests, 10_000);
        let of_clients: Vec<_> = look.clients.iter().map(|used| used.client).collect();
        assert_eq!(
            of_clients.len(),
            3,
            "no client has two slots: {of_clients:?}"
        );
        let requests = look.clients.iter().map(|used| used.requests);
        assert_eq!(requests.sum::<u64>() + look.by_others, 10_000);
    }
}
