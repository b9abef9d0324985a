//! How often origins have refused the gateway's secret in the last minutes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::history::{PERIOD, REACH};

/// What is known of each origin, by its place.
#[derive(Default)]
pub struct Refusals(Mutex<Vec<Growth>>);

/// How the count of one origin has grown.
#[derive(Default)]
struct Growth {
    total: u64,
    /// When it was seen to have grown, and by how much; the oldest first.
    seen: VecDeque<(Instant, u64)>,
}

/// Refusals within [`REACH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// At least one.
    pub(super) times: u64,
    /// How long ago the last one was seen.
    pub(super) last: Duration,
    /// Whether it is over: the origin has let a request in since, or the secrets have been
    /// read anew.
    pub(super) is_over: bool,
}

impl Refusals {
    /// Takes note that there were `total` since the start by `now`, and tells of the last
    /// minutes; `None` where there was none in them.
    pub(super) fn look(&self, origin: usize, total: u64, now: Instant) -> Option<Refused> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= origin {
            all.resize_with(origin + 1, Growth::default);
        }
        let Growth {
            total: before,
            seen,
        } = &mut all[origin];
        let grown = total.saturating_sub(*before);
        if grown > 0 {
            *before = total;
            match seen.back_mut() {
                // Many who look at once add no more than the samples do.
                Some((at, times)) if now.saturating_duration_since(*at) < PERIOD => *times += grown,
                _ => seen.push_back((now, grown)),
            }
        }
        let age = |at: Instant| now.saturating_duration_since(at);
        while seen.front().is_some_and(|&(at, _)| age(at) > REACH) {
            seen.pop_front();
        }
        let &(last, _) = seen.back()?;
        Some(Refused {
            times: seen.iter().map(|&(_, times)| times).sum(),
            last: age(last),
            is_over: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_ten_minutes_is_over() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let look = |total, seconds| {
            let found = refusals.look(1, total, start + Duration::from_secs(seconds));
            found.map(|found| (found.times, found.last.as_secs()))
        };
        assert_eq!(look(0, 0), None);
        assert_eq!(look(3, 2), Some((3, 0)));
        assert_eq!(
            look(4, 3),
            Some((4, 1)),
            "it is one of the same two seconds"
        );
        assert_eq!(look(9, 400), Some((9, 0)));
        assert_eq!(look(9, 602), Some((9, 202)));
        assert_eq!(look(9, 603), Some((5, 203)));
        assert_eq!(look(9, 1001), None);
        assert_eq!(refusals.look(0, 0, start), None);
    }
}
