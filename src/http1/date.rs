//! The `Date` field (RFC 9110, section 6.6.1), formatted once a second.

use std::time::SystemTime;

/// The text of a date, for one second. It has no clock of its own.
#[derive(Debug, Default)]
pub struct Date {
    /// Since 1970.
    second: u64,
    text: String,
}

impl Date {
    /// The text for the second that `now` is in: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn at(&mut self, now: SystemTime) -> &str {
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if self.text.is_empty() || second != self.second {
            self.second = second;
            self.text = httpdate::fmt_http_date(now);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn changes_with_the_second_alone() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let mut date = Date::default();
        assert_eq!(date.at(start), "Sun, 06 Nov 1994 08:49:37 GMT");
        let later = start + Duration::from_millis(999);
        assert_eq!(date.at(later), "Sun, 06 Nov 1994 08:49:37 GMT");
        let later = start + Duration::from_secs(1);
        assert_eq!(date.at(later), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
