//! How many refusals and failures are logged.
//!
//! Each client has a budget of its own, so that one who floods does not hide the others
//! from fail2ban; above it all of them share one, so that many who flood do not fill the
//! disk. Each failure of each backend has the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Lines of one source in one period: twice what fail2ban waits for by default (`maxretry`).
const OF_ONE: u32 = 10;
/// Lines of all sources in one period. journald drops lines past 333 a second.
const OF_ALL: u32 = 200;
/// The length of a period.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Counts the lines of the present period.
pub(super) struct Budget<K> {
    since: Option<Instant>,
    written: u32,
    /// Sources with a line in this period, so never more than [`OF_ALL`].
    sources: HashMap<K, u32>,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    Write,
    LeaveOut,
    /// The first one that is left out since [`Budget::take_left_out`].
    LeaveOutFirst,
}

impl<K> Default for Budget<K> {
    fn default() -> Self {
        Self {
            since: None,
            written: 0,
            sources: HashMap::new(),
            left_out: 0,
        }
    }
}

impl<K: Eq + Hash> Budget<K> {
    /// Counts a line about `source`.
    pub(super) fn rule(&mut self, source: K, now: Instant) -> Ruling {
        let current = self
            .since
            .is_some_and(|since| now.saturating_duration_since(since) < PERIOD);
        if !current {
            self.since = Some(now);
            self.written = 0;
            self.sources.clear();
        }
        if self.written < OF_ALL {
            let source = self.sources.entry(source).or_default();
            if *source < OF_ONE {
                *source += 1;
                self.written += 1;
                return Ruling::Write;
            }
        }
        self.left_out += 1;
        if self.left_out == 1 {
            Ruling::LeaveOutFirst
        } else {
            Ruling::LeaveOut
        }
    }

    /// How many lines were left out since the last call.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

/// Whose budget an address uses. A host commands a whole /64 (RFC 4291, section 2.5.4).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    fn written(budget: &mut Budget<IpAddr>, clients: impl IntoIterator<Item = IpAddr>) -> usize {
        let now = Instant::now();
        let rulings = clients
            .into_iter()
            .map(|client| budget.rule(network(client), now));
        rulings.filter(|&ruling| ruling == Ruling::Write).count()
    }

    fn v6(network: u128, host: u128) -> IpAddr {
        Ipv6Addr::from_bits((0x2001_0db8 << 96) | (network << 64) | host).into()
    }

    #[test]
    fn one_client_s_flood_leaves_room_for_another() {
        let mut budget = Budget::default();
        let (flooder, other) = (
            IpAddr::from([203, 0, 113, 7]),
            IpAddr::from([198, 51, 100, 9]),
        );
        assert_eq!(written(&mut budget, repeat_n(flooder, 1000)), 10);
        assert_eq!(written(&mut budget, repeat_n(other, 3)), 3);
        assert_eq!(budget.take_left_out(), 990);
    }

    #[test]
    fn hosts_of_one_network_share_a_budget_and_networks_do_not() {
        let mut budget = Budget::default();
        assert_eq!(written(&mut budget, (0..1000).map(|host| v6(1, host))), 10);
        assert_eq!(written(&mut budget, [v6(2, 1)]), 1);
    }

    #[test]
    fn all_together_have_a_budget_and_no_client_more_is_kept_than_it() {
        let mut budget = Budget::default();
        assert_eq!(
            written(&mut budget, (0..5000).map(|network| v6(network, 1))),
            200
        );
        assert_eq!(budget.sources.len(), 200);
        let later = Instant::now() + PERIOD;
        assert_eq!(budget.rule(network(v6(1, 1)), later), Ruling::Write);
        assert_eq!(budget.sources.len(), 1);
    }
}
