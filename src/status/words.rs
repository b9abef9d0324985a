//! Numbers and times as a person reads them.

use std::time::Duration;

use super::history::REACH;
use super::refusals::Refused;

/// `12 s`, `5 min`, `3 h 12 min`, `40 d 2 h`: in its two largest units.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |large: u64, unit: &str, small: u64, of: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {of}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => pair(minutes, "min", seconds % 60, "s"),
        (0, _, _) => pair(hours, "h", minutes % 60, "min"),
        _ => pair(days, "d", hours % 24, "h"),
    }
}

/// What is left of a time, in whole seconds and never less: `1 s` until it is over.
pub(super) fn left(time: Duration) -> String {
    let begun = u64::from(time.subsec_nanos() > 0);
    span(Duration::from_secs(time.as_secs() + begun))
}

/// `3 times in the last 10 min, the last 5 s ago`.
pub(super) fn refused(refused: Refused) -> String {
    let times = match refused.times {
        1 => "once".to_owned(),
        times => format!("{} times", count(times)),
    };
    let (reach, last) = (span(REACH), ago(Some(refused.last)));
    format!("{times} in the last {reach}, the last {last}")
}

/// `5 s ago`, or `never`.
pub(crate) fn ago(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{} ago", span(time)))
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_person_reads_them() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3600, "1 h"),
            (11_520, "3 h 12 min"),
            (86_400, "1 d"),
            (3_463_200, "40 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(ago(None), "never");
        for (milliseconds, text) in [(1, "1 s"), (1000, "1 s"), (1001, "2 s"), (59_500, "1 min")] {
            assert_eq!(left(Duration::from_millis(milliseconds)), text);
        }
        for (times, text) in [
            (1, "once in the last 10 min, the last 5 s ago"),
            (1234, "1,234 times in the last 10 min, the last 5 s ago"),
        ] {
            let last = Duration::from_secs(5);
            assert_eq!(
                refused(Refused {
                    times,
                    last,
                    is_over: false
                }),
                text
            );
        }
    }
}
