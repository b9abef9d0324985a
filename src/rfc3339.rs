//! Times as all that is printed writes them: RFC 3339, in UTC, `2026-11-25T20:16:26Z`.

use std::fmt;
use std::time::{Duration, SystemTime};

/// 9999-12-31T23:59:59Z, the last that RFC 3339 can write.
pub(crate) const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The text of `time`, in whole seconds; what it cannot write is moved to the nearest it can.
pub(crate) fn text(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    after_1970(since.unwrap_or_default()).to_string()
}

/// Displays as the text of the time so long after 1970.
pub(crate) fn after_1970(time: Duration) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + time.min(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_text() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(text(at(1_738_368_000)), "2025-02-01T00:00:00Z");
        assert_eq!(text(at(300_000_000_000)), "9999-12-31T23:59:59Z");
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(text(early), "1970-01-01T00:00:00Z");
    }
}
