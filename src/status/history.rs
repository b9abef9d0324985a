//! The last minutes: what was counted every two seconds, in a ring.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a sample is taken.
pub const PERIOD: Duration = Duration::from_secs(2);
/// Samples that are kept.
const SAMPLES: usize = 300;
/// How far back they reach.
pub const REACH: Duration = Duration::from_secs(600);

/// All requests, in three sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Let in.
    pub let_in: u64,
    /// Denied: 401, 403, 429.
    pub denied: u64,
    /// Failed: what was malformed or too much, and what backends did wrong.
    pub failed: u64,
}

/// The samples.
#[derive(Default)]
pub struct History(Mutex<VecDeque<(Instant, Tally)>>);

/// Requests a second between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// How long ago the later sample was taken.
    pub ago: Duration,
    /// Let in.
    pub let_in: f64,
    /// Denied: 401, 403, 429.
    pub denied: f64,
    /// Failed: what was malformed or too much, and what backends did wrong.
    pub failed: f64,
}

impl History {
    /// Keeps a sample; the oldest one goes where there are enough.
    pub fn add(&self, now: Instant, tally: Tally) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than there are differences.
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
        samples.push_back((now, tally));
    }

    /// The rates, the oldest one first.
    #[must_use]
    pub fn rates(&self, now: Instant) -> Vec<Rates> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = samples.iter().zip(samples.iter().skip(1));
        let rates = pairs.map(|((from, before), (to, after))| {
            let seconds = to.saturating_duration_since(*from).as_secs_f64();
            let rate = |before: u64, after: u64| {
                #[expect(clippy::cast_precision_loss, reason = "it is drawn")]
                let more = after.saturating_sub(before) as f64;
                if seconds > 0.0 { more / seconds } else { 0.0 }
            };
            Rates {
                ago: now.saturating_duration_since(*to),
                let_in: rate(before.let_in, after.let_in),
                denied: rate(before.denied, after.denied),
                failed: rate(before.failed, after.failed),
            }
        });
        rates.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_tells_rates() {
        let history = History::default();
        let start = Instant::now();
        for number in 0..1000_u32 {
            let tally = Tally {
                let_in: u64::from(number) * 20,
                denied: u64::from(number),
                failed: 0,
            };
            history.add(start + number * PERIOD, tally);
        }
        let now = start + 999 * PERIOD;
        let rates = history.rates(now);
        assert_eq!(rates.len(), SAMPLES);
        let (first, last) = (rates[0], rates[SAMPLES - 1]);
        assert_eq!((last.ago, first.ago), (Duration::ZERO, 299 * PERIOD));
        assert!((first.let_in - 10.0).abs() < 1e-9 && (last.denied - 0.5).abs() < 1e-9);
    }
}
