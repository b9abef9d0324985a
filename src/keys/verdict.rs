//! The verdict on a request that should present a key.

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
    /// One word for the log and for metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
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
