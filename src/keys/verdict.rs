//! What becomes of a request that should present a key.

/// The judgement of what a request presents as its API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyVerdict {
    /// A key that is good now.
    Granted,
    /// The header is absent or holds no key.
    NoKey,
    /// Something that no key can be, or several headers.
    Malformed,
    /// A key by its form, and none of the file's.
    Unknown,
    /// A key that was revoked.
    Revoked,
    /// A key whose time is over.
    Expired,
    /// A key that was created later than now by this machine's clock. Such a clock has been
    /// set back, and would make good again what has expired.
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
