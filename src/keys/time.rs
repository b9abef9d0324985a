//! Times of the file: whole seconds, in UTC, as RFC 3339 writes them.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::decimal::decimal;
use crate::rfc3339;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The last that the file can hold.
const LAST: u64 = rfc3339::LAST.as_secs();

/// Seconds since 1970, up to the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// A time that no clock here reaches.
    pub const NEVER: Self = Self(u64::MAX);

    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()).min(LAST))
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// Whole minutes since 1970.
    pub(super) fn to_minutes(self) -> u64 {
        self.0 / MINUTE
    }

    /// The time to the minute, as `2026-11-24T07:00Z`.
    pub(super) fn to_minute_text(self) -> String {
        let text = self.to_string();
        let end = "2026-11-24T07:00".len();
        text[..end].to_owned() + "Z"
    }

    pub(super) fn of_minutes(minutes: u64) -> Self {
        Self(minutes.saturating_mul(MINUTE).min(LAST))
    }

    /// So many seconds earlier, 1970 at the earliest.
    pub(super) fn before(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Reads `2026-11-24T07:00:00Z`: a time in UTC, in whole seconds, from 1970 on.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // humantime takes more forms: fractions of a second and `+00:00`, which have other
        // lengths, and leap seconds.
        let is_whole = text.len() == "2026-11-24T07:00:00Z".len() && text.ends_with('Z');
        if !is_whole || text.get(17..19) == Some("60") {
            return None;
        }
        let time = humantime::parse_rfc3339(text).ok()?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self(since.as_secs()))
    }

    /// Reads `2026-11-24`: the day's first second, in UTC.
    #[must_use]
    pub fn of_date(text: &str) -> Option<Self> {
        Self::parse(&format!("{text}T00:00:00Z"))
    }

    /// So many seconds later; `None` past the year 9999.
    #[must_use]
    pub fn after(self, seconds: u64) -> Option<Self> {
        let later = self.0.checked_add(seconds)?;
        (later <= LAST).then_some(Self(later))
    }

    /// Seconds since `earlier`, 0 where that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339::after_1970(Duration::from_secs(self.0)).fmt(to)
    }
}

/// Reads a [span](crate::notations::SPAN) such as `90d`; returns seconds.
#[must_use]
pub fn span(text: &str) -> Option<u64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => MINUTE,
        b'h' => HOUR,
        b'd' => DAY,
        b'w' => 7 * DAY,
        _ => return None,
    };
    decimal::<u64>(&text[..text.len() - 1])?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1972-02-29T23:59:59Z", 68_255_999),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-24T07:00:00Z", 1_795_503_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(Time::parse(text), Some(Time(seconds)), "{text}");
            assert_eq!(Time(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_day_reads_as_it_is_written_and_follows_the_one_before() {
        const DAYS_IN_400_YEARS: u64 = 146_097;
        const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (mut year, mut month, mut day) = (1970, 1, 1);
        // The calendar repeats itself after 400 years.
        for number in 0..DAYS_IN_400_YEARS {
            let text = format!("{year:04}-{month:02}-{day:02}");
            assert_eq!(Time::of_date(&text), Some(Time(number * DAY)), "{text}");
            assert_eq!(Time(number * DAY).to_string(), text + "T00:00:00Z");
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length =
                LENGTHS[usize::try_from(month - 1).expect("small")] + u64::from(leap && month == 2);
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert_eq!((year, month, day), (2370, 1, 1));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T07:00:00",
            "2026-11-24t07:00:00z",
            "2026-11-24 07:00:00Z",
            "2026-11-24T07:00:00+00:00",
            "2026-11-24T24:00:00Z",
            "2026-11-24T07:60:00Z",
            "2026-11-24T07:00:60Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "+026-01-01T00:00:00Z",
            "2026-11-24T07:00:00.5Z",
            "2026-11-24T07:00:00.Z",
            "2026-11-24T07:00:00+0",
            "2026-11-24T07:00:00 Z",
            "10000-01-01T00:00:0Z",
        ] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Time::of_date("2024-02-29"),
            Time::parse("2024-02-29T00:00:00Z")
        );
        assert_eq!(Time::of_date("2023-02-29"), None);
    }

    #[test]
    fn spans_and_their_bounds() {
        assert_eq!(span("90d"), Some(90 * DAY));
        assert_eq!(span("12h"), Some(12 * HOUR));
        assert_eq!(span("30m"), Some(30 * MINUTE));
        assert_eq!(span("0s"), Some(0));
        assert_eq!(span("2w"), Some(14 * DAY));
        for bad in [
            "",
            "d",
            "90",
            "-1d",
            "+1d",
            "1.5h",
            "1 d",
            "90D",
            "9\u{e4}",
            "99999999999999999999s",
        ] {
            assert_eq!(span(bad), None, "{bad}");
        }
        assert_eq!(span("18446744073709551615w"), None);
        assert_eq!(Time(LAST).after(0), Some(Time(LAST)));
        assert_eq!(Time(LAST).after(1), None);
        assert_eq!(Time(1).after(u64::MAX), None);
        assert_eq!(Time(1).since(Time(2)), 0);
    }
}
