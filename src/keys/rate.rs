//! How many requests a consumer may send: `100/1m`, and how many of them at once.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::time::span;
use crate::decimal::decimal;
use crate::notations::RATE;

/// So many requests in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    /// In seconds.
    window: u32,
    burst: u32,
}

const MOST: u32 = 1_000_000;
const LONGEST: u32 = 86_400;
/// Steps of the clock are a millionth of a second divided by this at most, so that they
/// can be counted for five years.
const FINEST: u64 = 100_000;
const MICROSECONDS: u64 = 1_000_000;

/// Why a text is not a rate. Displays as what follows the name of what it was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateError {
    /// It is not a count, a slash and a span.
    NotARate,
    /// The count is out of bounds.
    Count,
    /// The span is out of bounds.
    Span,
    /// The count is odd and high, so that no clock can tell when the next one is due.
    TooFine,
    /// The burst that the rate names is out of bounds.
    Burst,
    /// The text is not a burst.
    NotABurst,
}

impl fmt::Display for RateError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARate => write!(to, "is not a rate; {}", RATE.remedy()),
            Self::Count => write!(
                to,
                "has a count out of bounds, 1 to {MOST} requests; {}",
                RATE.remedy()
            ),
            Self::Span => write!(to, "has a span out of bounds, 1s to 1d; {}", RATE.remedy()),
            Self::TooFine => write!(
                to,
                "has too odd a count; round it to hundreds ({})",
                RATE.remedy()
            ),
            Self::Burst => write!(
                to,
                "has a burst out of bounds, 1 to {MOST}; write it in digits alone, such as 20"
            ),
            Self::NotABurst => write!(
                to,
                "is not a number from 1 to {MOST}; write it in digits alone, such as 20"
            ),
        }
    }
}

impl std::error::Error for RateError {}

impl Rate {
    /// Reads `100/1m`, or `100/1m burst=20`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let (rate, burst) = match text.split_once(" burst=") {
            Some((rate, burst)) => (rate, Some(number(burst).ok_or(RateError::Burst)?)),
            None => (text, None),
        };
        let (count, window) = rate.split_once('/').ok_or(RateError::NotARate)?;
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let window = span(window)
            .filter(|_| is_number)
            .ok_or(RateError::NotARate)?;
        let count = number(count).ok_or(RateError::Count)?;
        let window = u32::try_from(window).map_err(|_| RateError::Span)?;
        if !(1..=LONGEST).contains(&window) {
            return Err(RateError::Span);
        }
        let rate = Self {
            count,
            window,
            burst: burst.unwrap_or(count),
        };
        if rate.steps().1 > FINEST {
            return Err(RateError::TooFine);
        }
        Ok(rate)
    }

    /// The same with another burst.
    ///
    /// # Errors
    ///
    /// If that is not a number, or too high.
    pub fn with_burst(self, burst: &str) -> Result<Self, RateError> {
        let burst = number(burst).ok_or(RateError::NotABurst)?;
        Ok(Self { burst, ..self })
    }

    /// Requests in the span.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// The span in seconds.
    #[must_use]
    pub fn window(self) -> u32 {
        self.window
    }

    /// The rate and the burst, as `--rate` and `--burst` take them.
    pub(super) fn parts(self) -> (String, u32) {
        let burst = self.count;
        (Self { burst, ..self }.to_string(), self.burst)
    }

    /// Steps between two requests, and steps in a microsecond, both whole.
    fn steps(self) -> (u64, u64) {
        let (window, count) = (u64::from(self.window) * MICROSECONDS, u64::from(self.count));
        let divisor = greatest_common_divisor(window, count);
        (window / divisor, count / divisor)
    }
}

fn number(text: &str) -> Option<u32> {
    decimal(text).filter(|number| (1..=MOST).contains(number))
}

fn greatest_common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

impl fmt::Display for Rate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
        let fits = |(unit, _): &&(u32, char)| self.window.is_multiple_of(*unit);
        let (unit, letter) = units.iter().find(fits).unwrap_or(&(1, 's'));
        write!(to, "{}/{}{letter}", self.count, self.window / unit)?;
        if self.burst == self.count {
            return Ok(());
        }
        write!(to, " burst={}", self.burst)
    }
}

/// Why a request of a consumer is not let in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// There were too many; in so many seconds, rounded up, the next one is let in.
    Rate(Rate, u64),
    /// Too many are under way.
    Concurrent,
    /// The client has presented too many invalid keys; in so many seconds it is told again
    /// that one is invalid.
    Guessing(u64),
}

/// What a consumer's requests have used up; all workers share it.
///
/// This is the generic cell rate algorithm (ITU-T I.371): one number says until when the
/// requests so far would last, if they came evenly. It counts per process.
#[derive(Debug, Default)]
pub struct Usage {
    /// In steps since the start of the process.
    until: AtomicU64,
    /// 0 where there is no limit.
    interval: AtomicU64,
    per_microsecond: AtomicU64,
    count: AtomicU32,
    window: AtomicU32,
    burst: AtomicU32,
    under_way: AtomicU32,
}

impl Usage {
    /// Sets the rate. What is used up stays so.
    pub(super) fn set(&self, rate: Option<Rate>) {
        if rate == self.rate() {
            return;
        }
        let Some(rate) = rate else {
            self.interval.store(0, Ordering::Relaxed);
            return;
        };
        let (interval, per_microsecond) = rate.steps();
        let before = self.per_microsecond.load(Ordering::Relaxed).max(1);
        let until = self.until.load(Ordering::Relaxed) / before;
        self.until
            .store(until.saturating_mul(per_microsecond), Ordering::Relaxed);
        self.per_microsecond
            .store(per_microsecond, Ordering::Relaxed);
        self.count.store(rate.count, Ordering::Relaxed);
        self.window.store(rate.window, Ordering::Relaxed);
        self.burst.store(rate.burst, Ordering::Relaxed);
        self.interval.store(interval, Ordering::Relaxed);
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        (self.interval.load(Ordering::Relaxed) > 0).then(|| Rate {
            count: self.count.load(Ordering::Relaxed),
            window: self.window.load(Ordering::Relaxed),
            burst: self.burst.load(Ordering::Relaxed),
        })
    }

    /// Takes note of a request now; an error says why it is not let in, and uses up nothing.
    ///
    /// # Errors
    ///
    /// How long the next one has to wait.
    pub fn take(&self) -> Result<(), Exceeded> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        if self.interval.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let now = START.elapsed().as_micros();
        self.take_at(u64::try_from(now).unwrap_or(u64::MAX))
    }

    /// The same at so many microseconds.
    fn take_at(&self, now: u64) -> Result<(), Exceeded> {
        let Some(rate) = self.rate() else {
            return Ok(());
        };
        let interval = self.interval.load(Ordering::Relaxed);
        let per_microsecond = self.per_microsecond.load(Ordering::Relaxed);
        let now = now.saturating_mul(per_microsecond);
        let tolerance = interval.saturating_mul(u64::from(rate.burst) - 1);
        let next = |until: u64| {
            let from = until.max(now);
            (from - now <= tolerance).then(|| from.saturating_add(interval))
        };
        let taken = self
            .until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(|_| ()).map_err(|until| {
            let steps = until.saturating_sub(now).saturating_sub(tolerance);
            let seconds = steps.div_ceil(per_microsecond.saturating_mul(MICROSECONDS));
            Exceeded::Rate(rate, seconds.max(1))
        })
    }

    /// Takes note of a request that begins, unless `most` are under way.
    ///
    /// # Errors
    ///
    /// If they are.
    pub(super) fn begin(&self, most: u32) -> Result<(), Exceeded> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) < most {
            return Ok(());
        }
        self.end();
        Err(Exceeded::Concurrent)
    }

    /// Takes note of the end of a request that had begun.
    pub(super) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(rate: &str) -> Usage {
        let usage = Usage::default();
        usage.set(Some(Rate::parse(rate).expect("a rate")));
        usage
    }

    /// Asks as often as it is let in, at each of these microseconds.
    fn granted(usage: &Usage, times: impl Iterator<Item = u64>) -> u64 {
        let mut count = 0;
        for now in times {
            while usage.take_at(now).is_ok() {
                count += 1;
            }
        }
        count
    }

    #[test]
    fn exactly_the_burst_and_the_rate_pass() {
        for (text, burst, count, window) in [
            ("100/1m", 100, 100, 60),
            ("7/1s", 7, 7, 1),
            ("7/1s burst=3", 3, 7, 1),
            ("1/1d", 1, 1, 86_400),
            ("99991/1h burst=2", 2, 99_991, 3600),
            ("1000000/1m", 1_000_000, 1_000_000, 60),
        ] {
            let window: u64 = window * MICROSECONDS;
            let usage = usage(text);
            assert_eq!(granted(&usage, [0].into_iter()), burst, "{text}");
            let mut all = burst;
            // So often that the bucket is never full, and at odd times.
            let step = window * burst / count / 3 + 1;
            let times = (0..).map(|number| number * step);
            for at in times.take_while(|at| *at <= 3 * window) {
                all += granted(&usage, [at].into_iter());
                assert_eq!(all, burst + at * count / window, "{text} at {at}");
            }
        }
        let usage = usage("100/1m");
        assert_eq!(granted(&usage, [0, 59_999_999].into_iter()), 199);
        assert_eq!(granted(&usage, [60_000_000].into_iter()), 1);
    }

    #[test]
    fn the_wait_is_rounded_up_and_over_then() {
        let rate = Rate::parse("2/3s burst=1").expect("a rate");
        let usage = usage("2/3s burst=1");
        assert_eq!(usage.take_at(0), Ok(()));
        assert_eq!(usage.take_at(1), Err(Exceeded::Rate(rate, 2)));
        assert_eq!(usage.take_at(500_000), Err(Exceeded::Rate(rate, 1)));
        assert_eq!(usage.take_at(1_499_999), Err(Exceeded::Rate(rate, 1)));
        assert_eq!(usage.take_at(1_500_000), Ok(()));
    }

    #[test]
    fn what_is_used_up_stays_so_when_the_rate_changes() {
        let usage = usage("10/1m");
        assert_eq!(granted(&usage, [0].into_iter()), 10);
        usage.set(Some(Rate::parse("20/1m").expect("a rate")));
        assert_eq!(granted(&usage, [0].into_iter()), 0);
        usage.set(None);
        assert_eq!(usage.take_at(0), Ok(()));
    }

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "100/1m",
            "5/1s",
            "1/1d",
            "90/90s",
            "100/1m burst=20",
            "2/2h",
        ] {
            assert_eq!(Rate::parse(text).expect(text).to_string(), text);
        }
        for bad in [
            "",
            "100",
            "/1m",
            "100/",
            "100/m",
            "+1/1m",
            "1.5/1s",
            "100/1m burst",
            "x/1m",
        ] {
            assert_eq!(Rate::parse(bad), Err(RateError::NotARate), "{bad}");
        }
        for bad in ["0/1m", "1000001/1m", "99999999999/1m"] {
            assert_eq!(Rate::parse(bad), Err(RateError::Count), "{bad}");
        }
        for bad in ["1/0s", "1/2d", "1/1w", "1/9999999w"] {
            assert_eq!(Rate::parse(bad), Err(RateError::Span), "{bad}");
        }
        assert_eq!(Rate::parse("999983/1h"), Err(RateError::TooFine));
        for bad in [
            "1/1s burst=0",
            "1/1s burst=",
            "1/1s burst=+2",
            "1/1s burst=1000001",
        ] {
            assert_eq!(Rate::parse(bad), Err(RateError::Burst), "{bad}");
        }
    }
}
