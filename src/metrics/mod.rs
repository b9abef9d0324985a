//! What the program has counted since it started.
//!
//! Each layer declares what it counts, in a table; this module knows none of them. Each
//! thread counts in slots of its own, which only it writes: counting takes no lock and no
//! locked instruction. Whoever reads adds the threads up.

mod counters;
mod histogram;
mod registry;
mod text;
mod threads;
mod value;

use std::time::SystemTime;

pub use counters::{Counter, Gauge};
pub use histogram::{Histogram, LONG, SHORT};
pub use registry::{Family, Series, labels, register};
pub use text::Totals;
pub use value::Value;

/// Declares counters, and the table that registers them:
/// `declare_counters! { pub(crate) TABLE: pub(crate) NOT_FOUND = REQUESTS "status=\"404\""; }`
macro_rules! declare_counters {
    ($table_seen:vis $table:ident: $($seen:vis $name:ident = $family:ident $labels:literal;)*) => {
        $($seen static $name: $crate::metrics::Counter = $crate::metrics::Counter::new();)*
        $table_seen static $table: &[$crate::metrics::Series] =
            &[$($name.series(&$family, $labels)),*];
    };
}
pub(crate) use declare_counters;

static BUILD_INFO: Value = Value::new();
static START_TIME: Value = Value::new();

static PROCESS: &[Series] = &[
    BUILD_INFO.series(
        &Family {
            name: "origin_guard_build_info",
            help: "The version that runs.",
        },
        concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""),
    ),
    START_TIME.series(
        &Family {
            name: "process_start_time_seconds",
            help: "When it started, in seconds since 1970.",
        },
        "",
    ),
];

/// Registers what holds for the process as a whole, and notes the time of the start.
pub fn start() {
    register(PROCESS);
    BUILD_INFO.set(1.0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    START_TIME.set(since.map_or(0.0, |since| since.as_secs_f64()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    static FAMILY: Family = Family {
        name: "test_total",
        help: "Tests.",
    };
    static TIMES: Family = Family {
        name: "test_seconds",
        help: "Times.",
    };
    static OPEN: Family = Family {
        name: "test_open",
        help: "Open.",
    };
    declare_counters! {
        TABLE:
        FIRST = FAMILY r#"of="first""#;
        SECOND = FAMILY r#"of="second""#;
    }

    /// A thread sees what was registered before it first counted, so each part of this
    /// test counts in a thread of its own.
    fn in_a_thread(count: impl FnOnce() + Send + 'static) {
        std::thread::spawn(count).join().expect("it ends");
    }

    #[test]
    fn threads_are_added_up_and_what_is_zero_is_printed() {
        static GAUGE: Gauge = Gauge::new();
        static GAUGES: &[Series] = &[GAUGE.series(&OPEN, "")];
        register(TABLE);
        register(TABLE);
        register(GAUGES);
        let odd = labels(&[("of", "a\"b\\c\nd")]);
        let late = Counter::registered(&FAMILY, odd);
        let times = Histogram::registered(&TIMES, labels(&[("of", "x")]), &SHORT);
        in_a_thread(|| {
            FIRST.increment();
            GAUGE.increment();
            GAUGE.increment();
        });
        in_a_thread(move || {
            FIRST.add(2);
            GAUGE.decrement();
            late.increment();
            times.observe(3, Duration::from_micros(20));
            times.observe(1, Duration::from_secs(2));
        });
        let totals = Totals::now();
        assert_eq!(totals.of(&FIRST), 3);
        assert_eq!(totals.level(&GAUGE), 1);
        assert_eq!(totals.family(&FAMILY), Some(4));
        let text = totals.text();
        let wanted = "# HELP test_total Tests.\n\
                      # TYPE test_total counter\n\
                      test_total{of=\"first\"} 3\n\
                      test_total{of=\"second\"} 0\n\
                      test_total{of=\"a\\\"b\\\\c\\nd\"} 1\n";
        assert!(text.contains(wanted), "{text}");
        for line in [
            "# TYPE test_open gauge\ntest_open 1\n",
            "test_seconds_bucket{of=\"x\",le=\"0.00001\"} 0\n",
            "test_seconds_bucket{of=\"x\",le=\"0.000025\"} 3\n",
            "test_seconds_bucket{of=\"x\",le=\"1\"} 3\n",
            "test_seconds_bucket{of=\"x\",le=\"+Inf\"} 4\n",
            "test_seconds_sum{of=\"x\"} 2.00006\n",
            "test_seconds_count{of=\"x\"} 4\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
