//! Times of the file: whole seconds, in UTC, as RFC 3339 writes them.

use std::fmt;
use std::time::SystemTime;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// 9999-12-31T23:59:59Z, the last that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;
/// From 0000-03-01, where the civil calendar's arithmetic begins, to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;
const DAYS_IN_400_YEARS: u64 = 146_097;

/// Seconds since 1970, up to the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// A time that no clock here reaches.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time that it is.
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

    /// Reads `2026-11-24T07:00:00Z`: a time in UTC, in whole seconds, from 1970 on.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; 20] = text.as_bytes().try_into().ok()?;
        if [text[10], text[13], text[16], text[19]] != *b"T::Z" {
            return None;
        }
        let Self(day) = Self::parse_date(text[..10].try_into().ok()?)?;
        let part = |at: usize, below: u64| number(&text[at..at + 2]).filter(|&part| part < below);
        let (hour, minute, second) = (part(11, 24)?, part(14, 60)?, part(17, 60)?);
        Some(Self(day + hour * HOUR + minute * MINUTE + second))
    }

    /// Reads `2026-11-24`: the day's first second, in UTC.
    #[must_use]
    pub fn of_date(text: &str) -> Option<Self> {
        Self::parse_date(text.as_bytes().try_into().ok()?)
    }

    fn parse_date(text: [u8; 10]) -> Option<Self> {
        if [text[4], text[7]] != *b"--" {
            return None;
        }
        let (year, month, day) = (
            number(&text[..4])?,
            number(&text[5..7])?,
            number(&text[8..])?,
        );
        if year < 1970 || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let days = days(year, month, day);
        // A day that its month has not comes back as one of the next month.
        (civil(days) == (year, month, day)).then_some(Self(days * DAY))
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
        let seconds = self.0.min(LAST);
        let (year, month, day) = civil(seconds / DAY);
        let (hour, minute, second) = (
            seconds % DAY / HOUR,
            seconds % HOUR / MINUTE,
            seconds % MINUTE,
        );
        write!(
            to,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Reads a span such as `90d`: digits, and one of `s`, `m`, `h`, `d`, `w`; in seconds.
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
    let count = &text[..text.len() - 1];
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| count.parse::<u64>().ok())??
        .checked_mul(unit)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| 10 * sum + u64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years are counted from
/// March, so that a leap day is a year's last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year * 365 + year / 4 - year / 100 + day_of_year;
    era * DAYS_IN_400_YEARS + day_of_era - DAYS_BEFORE_1970
}

/// The inverse of [`days`].
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    // Less the leap days: after 4 years, but for 100, but for 400.
    let without_leap_days =
        day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096;
    let year = without_leap_days / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
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
        const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..=LAST / DAY {
            assert_eq!(civil(number), (year, month, day));
            assert_eq!(days(year, month, day), number);
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
        assert_eq!((year, month, day), (10000, 1, 1));
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
