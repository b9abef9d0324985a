//! What only goes up, and what goes up and down.

use super::registry::{Family, Place, Series, Source, place};
use super::threads;

/// Something that is counted.
#[derive(Debug)]
pub struct Counter(Place);

impl Counter {
    /// One that a table registers.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "one that no table has counts nothing"
    )]
    pub const fn new() -> Self {
        Self(Place::none())
    }

    /// One whose labels are known at the start only; see [`super::labels`].
    #[must_use]
    pub fn registered(family: &'static Family, labels: String) -> Self {
        Self(place(family, labels, &Source::Counter(())))
    }

    /// Its line in a table.
    #[must_use]
    pub const fn series(&'static self, family: &'static Family, labels: &'static str) -> Series {
        Series::new(family, labels, Source::Counter(&self.0))
    }

    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `amount`.
    pub fn add(&self, amount: u64) {
        threads::add([(self.0.first_slot(), amount)]);
    }

    pub(super) fn slot(&self) -> usize {
        self.0.first_slot()
    }
}

/// Each counter is itself and no other, whatever it counts.
impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Counter {}

/// How many there are now of something.
#[derive(Debug)]
pub struct Gauge(Place);

impl Gauge {
    /// One that a table registers.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "one that no table has counts nothing"
    )]
    pub const fn new() -> Self {
        Self(Place::none())
    }

    /// One whose labels are known at the start only; see [`super::labels`].
    #[must_use]
    pub fn registered(family: &'static Family, labels: String) -> Self {
        Self(place(family, labels, &Source::Gauge(())))
    }

    /// Its line in a table.
    #[must_use]
    pub const fn series(&'static self, family: &'static Family, labels: &'static str) -> Series {
        Series::new(family, labels, Source::Gauge(&self.0))
    }

    /// One more.
    pub fn increment(&self) {
        threads::add([(self.0.first_slot(), 1)]);
    }

    /// One less; another thread may have counted it.
    pub fn decrement(&self) {
        threads::add([(self.0.first_slot(), u64::MAX)]);
    }

    pub(super) fn slot(&self) -> usize {
        self.0.first_slot()
    }
}
