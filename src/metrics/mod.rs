//! What the program has counted since it started, as Prometheus text
//! (exposition format 0.0.4).
//!
//! Each thread counts in a sheet of its own, which only it writes: counting takes no
//! lock and no locked instruction. Whoever reads adds the sheets up.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// Declares what is counted: the variant, its family and its labels, family by family.
macro_rules! counters {
    ($($name:ident: $family:ident $labels:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the labels in SERIES say it")]
        pub enum Counter { $($name,)* }

        /// In the order of [`Counter`].
        const SERIES: &[(&Family, &str)] = &[$((&$family, $labels),)*];
    };
}

struct Family {
    name: &'static str,
    help: &'static str,
}

const REQUESTS: Family = Family {
    name: "origin_guard_requests_total",
    help: "Requests by what was decided on them, with the status of the answer.",
};
const SECRETS: Family = Family {
    name: "origin_guard_secret_used_total",
    help: "Requests let in by which secret; one that is previous can be dropped when nobody uses it.",
};
const ACCEPTED: Family = Family {
    name: "origin_guard_connections_accepted_total",
    help: "Connections accepted.",
};
const CLOSED: Family = Family {
    name: "origin_guard_connections_closed_total",
    help: "Connections closed, by the reason.",
};
const RELOADS: Family = Family {
    name: "origin_guard_reloads_total",
    help: "Reloads of what SIGHUP reads again, by their result.",
};

counters! {
    Granted: REQUESTS r#"verdict="granted",status="200""#,
    Forwarded: REQUESTS r#"verdict="granted",status="forwarded""#,
    Public: REQUESTS r#"verdict="public",status="forwarded""#,
    NoSecret: REQUESTS r#"verdict="no_secret",status="401""#,
    InvalidSecret: REQUESTS r#"verdict="invalid_secret",status="401""#,
    RepeatedSecret: REQUESTS r#"verdict="repeated_secret",status="401""#,
    Misconfigured: REQUESTS r#"verdict="misconfigured",status="500""#,
    MethodNotAllowed: REQUESTS r#"verdict="method_not_allowed",status="405""#,
    LoopDetected: REQUESTS r#"verdict="loop",status="508""#,
    NotFound: REQUESTS r#"verdict="not_found",status="404""#,
    Healthy: REQUESTS r#"verdict="healthy",status="200""#,
    Options: REQUESTS r#"verdict="options",status="204""#,
    KeyGranted: REQUESTS r#"verdict="key_granted",status="200""#,
    KeyAbsent: REQUESTS r#"verdict="no_key",status="401""#,
    KeyMalformed: REQUESTS r#"verdict="malformed_key",status="401""#,
    KeyUnknown: REQUESTS r#"verdict="unknown_key",status="401""#,
    KeyRevoked: REQUESTS r#"verdict="revoked_key",status="401""#,
    KeyExpired: REQUESTS r#"verdict="expired_key",status="401""#,
    KeyClockBeforeCreated: REQUESTS r#"verdict="clock_before_created",status="401""#,
    KeyMisconfigured: REQUESTS r#"verdict="key_misconfigured",status="500""#,
    Refused400: REQUESTS r#"verdict="bad_request",status="400""#,
    Refused408: REQUESTS r#"verdict="bad_request",status="408""#,
    Refused414: REQUESTS r#"verdict="bad_request",status="414""#,
    Refused417: REQUESTS r#"verdict="bad_request",status="417""#,
    Refused431: REQUESTS r#"verdict="bad_request",status="431""#,
    Refused501: REQUESTS r#"verdict="bad_request",status="501""#,
    Refused505: REQUESTS r#"verdict="bad_request",status="505""#,
    Refused503: REQUESTS r#"verdict="overload",status="503""#,
    Failed: REQUESTS r#"verdict="failed",status="500""#,
    SecretCurrent: SECRETS r#"secret="current""#,
    SecretPrevious: SECRETS r#"secret="previous""#,
    Accepted: ACCEPTED "",
    ClosedPeer: CLOSED r#"reason="peer""#,
    ClosedAnswered: CLOSED r#"reason="answered""#,
    ClosedRefused: CLOSED r#"reason="refused""#,
    ClosedIdle: CLOSED r#"reason="idle""#,
    ClosedHeadTimeout: CLOSED r#"reason="head_timeout""#,
    ClosedBodyTimeout: CLOSED r#"reason="body_timeout""#,
    ClosedWriteTimeout: CLOSED r#"reason="write_timeout""#,
    ClosedShed: CLOSED r#"reason="shed""#,
    ClosedFull: CLOSED r#"reason="full""#,
    ClosedMemory: CLOSED r#"reason="memory""#,
    ClosedDrain: CLOSED r#"reason="drain""#,
    ClosedError: CLOSED r#"reason="error""#,
    ReloadSucceeded: RELOADS r#"result="success""#,
    ReloadFailed: RELOADS r#"result="failure""#,
    ReloadIgnored: RELOADS r#"result="ignored""#,
}

impl Counter {
    /// What counts a request that the loop refuses with `status`.
    #[must_use]
    pub fn refused(status: u16) -> Self {
        match status {
            408 => Self::Refused408,
            414 => Self::Refused414,
            417 => Self::Refused417,
            431 => Self::Refused431,
            500 => Self::Failed,
            501 => Self::Refused501,
            503 => Self::Refused503,
            505 => Self::Refused505,
            508 => Self::LoopDetected,
            _ => Self::Refused400,
        }
    }
}

/// A file that is read again while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "FILES says it")]
pub enum ReloadedFile {
    Secrets,
    Keys,
}

/// The label of each [`ReloadedFile`].
const FILES: [&str; 2] = ["secrets", "keys"];
/// How the last reload of each file ended: 0 where there is no such file, 1 where it
/// failed, 2 where it succeeded.
static LAST_RELOADS: [AtomicU8; FILES.len()] = [const { AtomicU8::new(0) }; FILES.len()];

/// Notes how the last reload of `file` ended.
pub fn last_reload(file: ReloadedFile, succeeded: bool) {
    LAST_RELOADS[file as usize].store(1 + u8::from(succeeded), Relaxed);
}

/// The label of each file that there is, and whether its last reload succeeded.
fn last_reloads() -> impl Iterator<Item = (&'static str, bool)> {
    let last = LAST_RELOADS.iter().map(|last| last.load(Relaxed));
    let known = FILES.into_iter().zip(last).filter(|(_, last)| *last != 0);
    known.map(|(file, last)| (file, last == 2))
}

/// Upper bounds of the histogram, in microseconds; past the last there is `+Inf`.
const BOUNDS: [u64; 14] = [
    10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 1_000_000,
];

/// One thread's counts. Aligned so that no two threads write to one line of the cache.
#[repr(align(128))]
struct ThreadCounters {
    counts: [AtomicU64; SERIES.len()],
    /// Answers in each interval between the bounds; the last is what is over all of them.
    answers: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

static SHEETS: Mutex<Vec<Arc<ThreadCounters>>> = Mutex::new(Vec::new());

thread_local! {
    static SHEET: Arc<ThreadCounters> = {
        let sheet = Arc::new(ThreadCounters {
            counts: [const { AtomicU64::new(0) }; SERIES.len()],
            answers: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            nanoseconds: AtomicU64::new(0),
        });
        // It stays when its thread ends: what was counted has happened.
        SHEETS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&sheet));
        sheet
    };
}

/// No other thread writes it, so adding needs no locked instruction.
fn add(to: &AtomicU64, amount: u64) {
    to.store(to.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// Counts one.
pub fn count(counter: Counter) {
    SHEET.with(|sheet| add(&sheet.counts[counter as usize], 1));
}

/// Counts `answers` that were written `after` the readiness that their requests came with.
pub fn answered(answers: u32, after: Duration) {
    let microseconds = after.as_nanos().div_ceil(1000);
    let interval = BOUNDS
        .iter()
        .position(|&bound| microseconds <= u128::from(bound))
        .unwrap_or(BOUNDS.len());
    let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    SHEET.with(|sheet| {
        add(&sheet.answers[interval], answers.into());
        add(
            &sheet.nanoseconds,
            nanoseconds.saturating_mul(answers.into()),
        );
    });
}

/// Notes the time of the start, which `process_start_time_seconds` tells.
pub fn start() {
    started();
}

fn started() -> f64 {
    static STARTED: OnceLock<f64> = OnceLock::new();
    *STARTED.get_or_init(|| {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64())
    })
}

/// The sum of all sheets at one moment, more or less.
pub struct Totals {
    counts: [u64; SERIES.len()],
    answers: [u64; BOUNDS.len() + 1],
    nanoseconds: u64,
}

impl Totals {
    /// Adds the sheets up.
    #[must_use]
    pub fn now() -> Self {
        let mut totals = Self {
            counts: [0; SERIES.len()],
            answers: [0; BOUNDS.len() + 1],
            nanoseconds: 0,
        };
        let sheets = SHEETS.lock().unwrap_or_else(PoisonError::into_inner);
        for sheet in &*sheets {
            let sums = totals.counts.iter_mut().chain(&mut totals.answers);
            for (sum, count) in sums.zip(sheet.counts.iter().chain(&sheet.answers)) {
                *sum = sum.wrapping_add(count.load(Relaxed));
            }
            let nanoseconds = sheet.nanoseconds.load(Relaxed);
            totals.nanoseconds = totals.nanoseconds.wrapping_add(nanoseconds);
        }
        totals
    }

    fn family(&self, family: &'static Family) -> u64 {
        let of_it = |series: &(&Family, &str)| series.0.name == family.name;
        let counts = SERIES.iter().zip(self.counts);
        counts
            .filter(|(series, _)| of_it(series))
            .map(|(_, count)| count)
            .sum()
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        // A connection may end between the looks at two sheets.
        self.family(&ACCEPTED).saturating_sub(self.family(&CLOSED))
    }

    /// `connections=12 requests=345 granted=333 by_previous=0 denied=12`, for systemd's
    /// `STATUS=`; before it `RELOAD FAILED file=keys, see the log;` where that is so.
    #[must_use]
    pub fn status(&self) -> String {
        let failed: Vec<_> = last_reloads()
            .filter(|(_, succeeded)| !succeeded)
            .map(|(file, _)| file)
            .collect();
        let failed = if failed.is_empty() {
            String::new()
        } else {
            format!("RELOAD FAILED file={}, see the log; ", failed.join(","))
        };
        failed
            + &format!(
                "connections={} requests={} granted={} by_previous={} denied={}",
                self.open(),
                self.family(&REQUESTS),
                self.counts[Counter::Granted as usize] + self.counts[Counter::Forwarded as usize],
                self.counts[Counter::SecretPrevious as usize],
                self.counts[Counter::NoSecret as usize]
                    + self.counts[Counter::InvalidSecret as usize]
                    + self.counts[Counter::RepeatedSecret as usize]
                    + self.counts[Counter::Misconfigured as usize],
            )
    }

    /// All of it as Prometheus text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(8192);
        let mut family = "";
        for ((of, labels), count) in SERIES.iter().zip(self.counts) {
            if of.name != family {
                family = of.name;
                describe(&mut text, of.name, of.help, "counter");
            }
            let labels = match *labels {
                "" => String::new(),
                labels => format!("{{{labels}}}"),
            };
            line(&mut text, &format!("{family}{labels}"), &count);
        }
        let open = "origin_guard_connections_open";
        describe(&mut text, open, "Connections that are open.", "gauge");
        line(&mut text, open, &self.open());
        self.histogram(&mut text);
        let last = "origin_guard_last_reload_successful";
        describe(
            &mut text,
            last,
            "1 where a file is in use as it was last read, 0 where it is faulty or unreadable now.",
            "gauge",
        );
        for (file, succeeded) in last_reloads() {
            let value = u8::from(succeeded);
            line(&mut text, &format!("{last}{{file=\"{file}\"}}"), &value);
        }
        let info = "origin_guard_build_info";
        describe(&mut text, info, "The version that runs.", "gauge");
        let version = env!("CARGO_PKG_VERSION");
        line(&mut text, &format!("{info}{{version=\"{version}\"}}"), &1);
        let start = "process_start_time_seconds";
        describe(
            &mut text,
            start,
            "When it started, in seconds since 1970.",
            "gauge",
        );
        line(&mut text, start, &started());
        text
    }

    fn histogram(&self, text: &mut String) {
        let name = "origin_guard_answer_seconds";
        describe(
            text,
            name,
            "From a request's arrival at the worker to its answer's handing over to the kernel.",
            "histogram",
        );
        let mut sum = 0;
        for (interval, count) in self.answers.iter().enumerate() {
            sum += count;
            let bound = BOUNDS.get(interval).map_or("+Inf".into(), |&bound| {
                Duration::from_micros(bound).as_secs_f64().to_string()
            });
            line(text, &format!("{name}_bucket{{le=\"{bound}\"}}"), &sum);
        }
        let seconds = Duration::from_nanos(self.nanoseconds).as_secs_f64();
        line(text, &format!("{name}_sum"), &seconds);
        line(text, &format!("{name}_count"), &sum);
    }
}

fn describe(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, series: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(text, "{series} {value}");
}
