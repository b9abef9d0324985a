//! Who presents one invalid key after the other.
//!
//! A good key is never looked at here, so that nobody can hold it up by guessing from its
//! address. Against guessing itself the 160 bits of a key are the protection; this bounds
//! what guessing costs.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::api_key;
use crate::http1::forwarded::{Client, TrustedProxies};
use crate::keys::{Exceeded, KeyVerdict};
use crate::log::network;

/// Invalid keys of one network in one period that are answered as such.
const MOST: u64 = 20;
/// The length of a period, in seconds.
const PERIOD: u64 = 60;
/// Networks that are counted at once; one more takes the place of another. A power of two.
const SLOTS: usize = 8192;

/// Counts invalid keys by network, in bounded memory and without a lock.
///
/// A slot holds part of the network's hash (32 bits), the number of the period (24) and
/// the count in it (8). The hash has a key of its own in each process, so that nobody can
/// choose addresses that share a slot.
pub struct Guesses {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
    since: Instant,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            since: Instant::now(),
        }
    }
}

impl Guesses {
    /// Takes note of the verdict on what `client` has presented. Where it is one invalid key
    /// too many, returns when that is over.
    pub(super) fn note(
        &self,
        verdict: KeyVerdict,
        client: Client,
        trusted: &TrustedProxies,
    ) -> Option<Exceeded> {
        let address = client.address().filter(|_| {
            // A proxy that does not say for whom it asks would be everybody.
            api_key::is_invalid(verdict) && !trusted.trusts(client)
        })?;
        let left = self.note_at(address, self.since.elapsed().as_secs())?;
        Some(Exceeded::Guessing(left))
    }

    /// Takes note of an invalid key. Where there were too many in this period, returns in
    /// how many seconds it ends.
    fn note_at(&self, address: IpAddr, seconds: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(network(address));
        let slot = usize::try_from(hash).unwrap_or_default() & (SLOTS - 1);
        // From 1 on, so that it is not what an empty slot holds.
        let period = (seconds / PERIOD + 1) & 0xff_ffff;
        let whose = hash >> 32 << 32 | period << 8;
        let more = |held: u64| {
            let count = if held & !0xff == whose {
                held & 0xff
            } else {
                0
            };
            Some(whose | (count + 1).min(0xff))
        };
        let held = self.slots[slot].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let held = held.unwrap_or_default();
        let count = if held & !0xff == whose {
            held & 0xff
        } else {
            0
        };
        (count >= MOST).then(|| PERIOD - seconds % PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn v6(network: u128, host: u128) -> IpAddr {
        Ipv6Addr::from_bits((0x2001_0db8 << 96) | (network << 64) | host).into()
    }

    #[test]
    fn twenty_a_minute_of_one_network_and_no_more() {
        let guesses = Guesses::default();
        let limited = |address: IpAddr, seconds: u64| guesses.note_at(address, seconds);
        for host in 0..20 {
            assert_eq!(limited(v6(1, host), 3), None);
        }
        assert_eq!(limited(v6(1, 99), 3), Some(57));
        for _ in 0..1000 {
            assert_eq!(limited(v6(1, 99), 59), Some(1));
        }
        assert_eq!(limited(IpAddr::from([203, 0, 113, 7]), 3), None);
        assert_eq!(limited(v6(2, 1), 3), None);
        assert_eq!(limited(v6(1, 99), 60), None);
    }
}
