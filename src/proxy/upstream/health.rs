//! How long a backend that fails is left alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// After the first failure; each further one doubles it.
const FIRST_REST: u64 = 1_000;
const LONGEST_REST: u64 = 30_000;

/// The health of one backend, without a lock. Times are milliseconds after any fixed moment.
///
/// Zero is a backend that works. Else bit 0 says that a request tries it again, bits 1 to 7
/// hold the failures in a row, and the others hold the time until which it is left alone.
#[derive(Debug, Default)]
pub(super) struct Health {
    packed: AtomicU64,
    /// When the row of failures began. It is there to be shown alone.
    since: AtomicU64,
}

/// A row of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    /// How long ago it began.
    pub(super) since: Duration,
    /// How long the backend is left alone yet; zero where that is over.
    pub(super) left: Duration,
}

#[derive(Clone, Copy)]
struct State {
    until: u64,
    failures: u64,
    is_on_trial: bool,
}

impl State {
    fn unpack(packed: u64) -> Self {
        Self {
            until: packed >> 8,
            failures: packed >> 1 & 0x7f,
            is_on_trial: packed & 1 == 1,
        }
    }

    fn pack(self) -> u64 {
        self.until << 8 | self.failures << 1 | u64::from(self.is_on_trial)
    }

    fn rest(self) -> u64 {
        let doublings = self.failures.saturating_sub(1).min(5);
        (FIRST_REST << doublings).min(LONGEST_REST)
    }
}

impl Health {
    /// Whether it is left alone. Once its time is over it counts as fit, until [`Self::trial`]
    /// is won by one request.
    pub(super) fn is_resting(&self, now: u64) -> bool {
        let packed = self.packed.load(Relaxed);
        packed != 0 && State::unpack(packed).until > now
    }

    /// When the rest ends; 0 where there is none.
    pub(super) fn rests_until(&self) -> u64 {
        State::unpack(self.packed.load(Relaxed)).until
    }

    /// Whether the caller may use a backend that is not resting. Where it rested before, one
    /// caller may, and for the others the rest goes on meanwhile, so that a backend that
    /// takes connections and answers none does not hold up all that come at that moment.
    pub(super) fn trial(&self, now: u64) -> bool {
        let packed = self.packed.load(Relaxed);
        if packed == 0 {
            return true;
        }
        let state = State::unpack(packed);
        if state.until > now {
            return false;
        }
        let tried = State {
            until: now + state.rest(),
            is_on_trial: true,
            ..state
        };
        self.packed
            .compare_exchange(packed, tried.pack(), Relaxed, Relaxed)
            .is_ok()
    }

    /// Many requests may fail at once; what fails while it rests makes the rest no longer.
    pub(super) fn failed(&self, now: u64) {
        let rest = |packed| {
            let state = State::unpack(packed);
            let is_known = packed != 0 && state.until > now && !state.is_on_trial;
            (!is_known).then(|| {
                let failed = State {
                    until: 0,
                    failures: (state.failures + 1).min(0x7f),
                    is_on_trial: false,
                };
                State {
                    until: now + failed.rest(),
                    ..failed
                }
                .pack()
            })
        };
        if self.packed.fetch_update(Relaxed, Relaxed, rest) == Ok(0) {
            self.since.store(now, Relaxed);
        }
    }

    /// Whether it has failed since it last succeeded.
    pub(super) fn failing(&self, now: u64) -> Option<Failing> {
        let packed = self.packed.load(Relaxed);
        let until = State::unpack(packed).until;
        let since = self.since.load(Relaxed);
        (packed != 0).then(|| Failing {
            since: Duration::from_millis(now.saturating_sub(since)),
            left: Duration::from_millis(until.saturating_sub(now)),
        })
    }

    pub(super) fn succeeded(&self) {
        // A store would take the cache line from the other workers with each request.
        if self.packed.load(Relaxed) != 0 {
            self.packed.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_for_a_second_doubling_to_thirty() {
        let health = Health::default();
        let mut now = 5;
        assert!(
            health.trial(now) && health.trial(now),
            "a fit one is for all"
        );
        for rest in [1, 2, 4, 8, 16, 30, 30, 30] {
            health.failed(now);
            health.failed(now + 1);
            let end = now + rest * 1_000;
            assert!(
                health.is_resting(end - 1) && !health.is_resting(end),
                "{rest}"
            );
            assert!(!health.trial(end - 1));
            assert!(health.trial(end) && !health.trial(end), "one tries it");
            assert!(health.is_resting(end));
            now = end + 7;
        }
        health.succeeded();
        assert!(!health.is_resting(now) && health.trial(now) && health.trial(now));
        health.failed(now);
        assert!(
            !health.is_resting(now + 1_000),
            "it begins with a second again"
        );
    }

    #[test]
    fn a_row_of_failures_has_a_beginning_and_its_rest_an_end() {
        let health = Health::default();
        assert_eq!(health.failing(0), None);
        let row = |since, left| {
            Some(Failing {
                since: Duration::from_millis(since),
                left: Duration::from_millis(left),
            })
        };
        health.failed(5_000);
        assert_eq!(health.failing(5_200), row(200, 800));
        assert_eq!(health.failing(7_000), row(2_000, 0), "it may be tried");
        health.failed(7_000);
        assert_eq!(health.failing(7_500), row(2_500, 1_500));
        health.succeeded();
        assert_eq!(health.failing(7_500), None);
        health.failed(9_000);
        assert_eq!(health.failing(9_100), row(100, 900), "another row");
    }

    #[test]
    fn a_trial_that_nobody_ends_is_followed_by_another() {
        let health = Health::default();
        health.failed(0);
        assert!(health.trial(1_000) && !health.trial(1_500));
        assert!(health.trial(2_000));
    }
}
