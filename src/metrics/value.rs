//! A number that is set, by any thread and seldom.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::registry::{Family, Series, Source, place};

/// A number that is set. It is not printed before that.
#[derive(Debug)]
pub struct Value(AtomicU64);

impl Value {
    /// One that a table registers.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "one that no table has is not printed"
    )]
    pub const fn new() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }

    /// One whose labels are known at the start only; see [`super::labels`]. It is there for
    /// as long as the process.
    #[must_use]
    pub fn registered(family: &'static Family, labels: String) -> &'static Self {
        let value = &*Box::leak(Box::new(Self::new()));
        place(family, labels, &Source::Value(&value.0));
        value
    }

    /// Its line in a table.
    #[must_use]
    pub const fn series(&'static self, family: &'static Family, labels: &'static str) -> Series {
        Series::new(family, labels, Source::Value(&self.0))
    }

    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// What it was last set to.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        number(&self.0)
    }
}

/// The number that has these bits, if it has been set.
pub(super) fn number(bits: &AtomicU64) -> Option<f64> {
    Some(f64::from_bits(bits.load(Relaxed))).filter(|value| !value.is_nan())
}
