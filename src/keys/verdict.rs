//! The verdict on a request that should present a key.

use std::hint::black_box;

/// The judgement of what a request presents as its API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyVerdict {
    /// A key that is good now.
    Granted,
    /// The header is absent or holds no key.
    NoKey,
    /// The text cannot be a key, or there are several headers.
    Malformed,
    /// The text has the form of a key, and the file does not have it.
    Unknown,
    /// A key that was revoked.
    Revoked,
    /// A key that has expired.
    Expired,
    /// A key whose creation is in the future by this machine's clock. The clock was set
    /// back, and with it expired keys would be good again.
    ClockBeforeCreated,
    /// There is no secret or no file of keys, so nobody can be let in.
    Misconfigured,
}

impl KeyVerdict {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Granted,
        Self::NoKey,
        Self::Malformed,
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::ClockBeforeCreated,
        Self::Misconfigured,
    ];

    /// One word for the log and for metrics. It is looked up in a list, because a branch for
    /// each kind would show in the time: which one is taken is foreseen or not.
    #[must_use]
    pub fn reason(self) -> &'static str {
        static REASONS: Reasons = {
            let mut reasons = [""; KeyVerdict::ALL.len()];
            let mut at = 0;
            while at < reasons.len() {
                reasons[at] = KeyVerdict::ALL[at].word();
                at += 1;
            }
            Reasons(reasons)
        };
        REASONS.0[black_box(self as usize)]
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::NoKey => "no_key",
            Self::Malformed => "malformed_key",
            Self::Unknown => "unknown_key",
            Self::Revoked => "revoked_key",
            Self::Expired => "expired_key",
            Self::ClockBeforeCreated => "clock_before_created",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// As long as two lines of the cache, which processors fetch in pairs, and in no third one.
#[repr(align(128))]
struct Reasons([&'static str; KeyVerdict::ALL.len()]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_its_place() {
        for (place, verdict) in KeyVerdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, place);
            assert_eq!(verdict.reason(), verdict.word());
        }
    }
}
