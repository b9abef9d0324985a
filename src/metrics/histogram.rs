//! How long something takes.

use std::time::Duration;

use super::registry::{Family, Place, Series, Source, place};
use super::threads;

/// Upper bounds of the intervals of what takes little time, in microseconds; past the last
/// there is `+Inf`.
pub static SHORT: [u64; 14] = [
    10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 1_000_000,
];

/// The same for what a backend does, which may take a minute.
pub static LONG: [u64; 16] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 60_000_000,
];

/// Durations, counted by the interval that they fall into.
#[derive(Debug)]
pub struct Histogram {
    place: Place,
    bounds: &'static [u64],
}

impl Histogram {
    /// One that a table registers. `bounds` are in microseconds and go up.
    #[must_use]
    pub const fn new(bounds: &'static [u64]) -> Self {
        Self {
            place: Place::none(),
            bounds,
        }
    }

    /// One whose labels are known at the start only; see [`super::labels`].
    #[must_use]
    pub fn registered(family: &'static Family, labels: String, bounds: &'static [u64]) -> Self {
        let place = place(family, labels, &Source::Histogram((), bounds));
        Self { place, bounds }
    }

    /// Its line in a table.
    #[must_use]
    pub const fn series(&'static self, family: &'static Family, labels: &'static str) -> Series {
        Series::new(family, labels, Source::Histogram(&self.place, self.bounds))
    }

    /// Counts `times` that something took `duration`.
    pub fn observe(&self, times: u32, duration: Duration) {
        let first = self.place.first_slot();
        if first == 0 {
            return;
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let microseconds = nanoseconds.div_ceil(1000);
        let mut bounds = self.bounds.iter();
        let interval = bounds.position(|&bound| microseconds <= bound);
        let interval = interval.unwrap_or(self.bounds.len());
        threads::add([
            (first + interval, times.into()),
            (
                first + self.bounds.len() + 1,
                nanoseconds.saturating_mul(times.into()),
            ),
        ]);
    }
}
