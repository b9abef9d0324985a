//! Which series there are: what each layer declares, and what is known at the start only.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Series that count the same, and differ in their labels.
#[derive(Debug)]
pub struct Family {
    /// As Prometheus calls it.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// The place of a series in each thread's counts: the number of its first slot. It is
/// slot 0, which nobody reads, until the series is registered.
#[derive(Debug)]
pub(super) struct Place(AtomicUsize);

impl Place {
    pub(super) const fn none() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(super) fn first_slot(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Where the value of a series is, and how it is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<P> {
    Counter(P),
    Gauge(P),
    /// With the upper bounds of its intervals, in microseconds.
    Histogram(P, &'static [u64]),
    /// The bits of a number, which is none until it is set.
    Value(&'static AtomicU64),
}

impl<P> Source<P> {
    /// How many slots it takes in each thread's counts.
    fn slots(&self) -> usize {
        match self {
            Self::Counter(_) | Self::Gauge(_) => 1,
            // An interval over all bounds, and the sum.
            Self::Histogram(_, bounds) => bounds.len() + 2,
            Self::Value(_) => 0,
        }
    }
}

/// A series as a layer declares it: a line of its table.
#[derive(Debug)]
pub struct Series {
    family: &'static Family,
    labels: &'static str,
    source: Source<&'static Place>,
}

impl Series {
    pub(super) const fn new(
        family: &'static Family,
        labels: &'static str,
        source: Source<&'static Place>,
    ) -> Self {
        Self {
            family,
            labels,
            source,
        }
    }
}

pub(super) struct Registered {
    pub(super) labels: Cow<'static, str>,
    pub(super) source: Source<usize>,
}

pub(super) struct Registry {
    /// In the order in which they are printed.
    pub(super) families: Vec<(&'static Family, Vec<Registered>)>,
    pub(super) slots: usize,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    families: Vec::new(),
    slots: 1,
});

pub(super) fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(super) fn family(&self, family: &Family) -> &[Registered] {
        let mut families = self.families.iter();
        let found = families.find(|(known, _)| known.name == family.name);
        found.map_or(&[], |(_, series)| series)
    }

    /// The first slot of a series; that of the same series, where there is one already.
    fn add<P>(
        &mut self,
        family: &'static Family,
        labels: Cow<'static, str>,
        source: &Source<P>,
    ) -> usize {
        let known = self.family(family).iter();
        let mut same = known.filter(|series| series.labels == labels);
        if let Some(series) = same.next() {
            return match series.source {
                Source::Counter(slot) | Source::Gauge(slot) | Source::Histogram(slot, _) => slot,
                Source::Value(_) => 0,
            };
        }
        let slot = self.slots;
        self.slots += source.slots();
        let source = match *source {
            Source::Counter(_) => Source::Counter(slot),
            Source::Gauge(_) => Source::Gauge(slot),
            Source::Histogram(_, bounds) => Source::Histogram(slot, bounds),
            Source::Value(value) => Source::Value(value),
        };
        let registered = Registered { labels, source };
        let mut families = self.families.iter_mut();
        match families.find(|(known, _)| known.name == family.name) {
            Some((_, series)) => series.push(registered),
            None => self.families.push((family, vec![registered])),
        }
        slot
    }
}

/// Registers the series of a layer, so that they are printed with 0 before anything has
/// been counted. A thread must not count before all series are registered: what it then
/// counts of later ones is lost.
pub fn register(table: &'static [Series]) {
    let mut registry = registry();
    for series in table {
        let slot = registry.add(series.family, series.labels.into(), &series.source);
        match series.source {
            Source::Counter(place) | Source::Gauge(place) | Source::Histogram(place, _) => {
                place.0.store(slot, Relaxed);
            }
            Source::Value(_) => {}
        }
    }
}

/// Registers a series whose labels are known at the start only; see [`labels`].
pub(super) fn place(family: &'static Family, labels: String, source: &Source<()>) -> Place {
    let slot = registry().add(family, labels.into(), source);
    Place(AtomicUsize::new(slot))
}

/// `backend="127.0.0.1:3000",class="2xx"` of pairs, with what the text format wants
/// escaped.
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{}\"", value.replace('\n', "\\n"))
    });
    pairs.collect::<Vec<_>>().join(",")
}
