//! All that is counted, as Prometheus text (exposition format 0.0.4).

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::counters::{Counter, Gauge};
use super::registry::{Family, Registered, Source, registry};
use super::threads;
use super::value::number;

/// The sums of all threads at one moment, more or less.
pub struct Totals(Vec<u64>);

impl Totals {
    /// Adds them up.
    #[must_use]
    pub fn now() -> Self {
        Self(threads::sums(registry().slots))
    }

    fn at(&self, slot: usize) -> u64 {
        // Slot 0 is that of what nobody has registered.
        if slot == 0 { 0 } else { self.0[slot] }
    }

    /// What `counter` has counted.
    #[must_use]
    pub fn of(&self, counter: &Counter) -> u64 {
        self.at(counter.slot())
    }

    /// How many there are.
    #[must_use]
    pub fn level(&self, gauge: &Gauge) -> u64 {
        level(self.at(gauge.slot()))
    }

    /// The sum of all counters of a family; `None` where it has none.
    #[must_use]
    pub fn family(&self, family: &Family) -> Option<u64> {
        let registry = registry();
        let counters = registry.family(family).iter();
        let counts = counters.filter_map(|series| match series.source {
            Source::Counter(slot) => self.0.get(slot),
            _ => None,
        });
        counts.copied().reduce(u64::wrapping_add)
    }

    /// The labels and the count of each counter of a family, in their order.
    #[must_use]
    pub fn by_labels(&self, family: &Family) -> Vec<(String, u64)> {
        let registry = registry();
        let counters = registry.family(family).iter();
        let counts = counters.filter_map(|series| match series.source {
            Source::Counter(slot) => Some((series.labels.to_string(), *self.0.get(slot)?)),
            _ => None,
        });
        counts.collect()
    }

    /// All of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(8192);
        for (family, series) in &registry().families {
            let Some(first) = series.first() else {
                continue;
            };
            let kind = match first.source {
                Source::Counter(_) => "counter",
                Source::Gauge(_) | Source::Value(_) => "gauge",
                Source::Histogram(..) => "histogram",
            };
            let Family { name, help } = family;
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for series in series {
                self.series(&mut text, name, series);
            }
        }
        text
    }

    fn series(&self, text: &mut String, name: &str, series: &Registered) {
        let labels = &series.labels;
        match series.source {
            Source::Counter(slot) => line(text, name, labels, &self.at(slot)),
            Source::Gauge(slot) => line(text, name, labels, &level(self.at(slot))),
            Source::Value(bits) => {
                if let Some(value) = number(bits) {
                    line(text, name, labels, &value);
                }
            }
            Source::Histogram(first, bounds) => {
                let separator = if labels.is_empty() { "" } else { "," };
                let mut sum = 0;
                for interval in 0..=bounds.len() {
                    sum += self.at(first + interval);
                    let bound = bounds.get(interval).map_or("+Inf".into(), |&bound| {
                        Duration::from_micros(bound).as_secs_f64().to_string()
                    });
                    let labels = format!("{labels}{separator}le=\"{bound}\"");
                    line(text, &format!("{name}_bucket"), &labels, &sum);
                }
                let seconds = Duration::from_nanos(self.at(first + bounds.len() + 1));
                line(text, &format!("{name}_sum"), labels, &seconds.as_secs_f64());
                line(text, &format!("{name}_count"), labels, &sum);
            }
        }
    }
}

/// A gauge may go down in one thread after the look at the other, in which it went up.
fn level(sum: u64) -> u64 {
    if sum.cast_signed() < 0 { 0 } else { sum }
}

fn line(text: &mut String, name: &str, labels: &str, value: &dyn Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}
