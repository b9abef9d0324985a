//! Why a request is refused.

use std::fmt;

/// Why a request is refused before any function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The status that answers it.
    pub status: u16,
    /// One word for the log.
    pub reason: &'static str,
}

impl fmt::Display for RequestError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "the request is refused with {}: {}",
            self.status, self.reason
        )
    }
}

impl std::error::Error for RequestError {}

impl RequestError {
    /// The peer may not connect, so that no request of it is read.
    pub(crate) const NOT_ALLOWED: Self = Self::new(403, "not_allowed");

    /// The request says that its body is longer than may be forwarded.
    pub(crate) const BODY_TOO_LONG: Self = Self::new(413, "body_too_long");

    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}
