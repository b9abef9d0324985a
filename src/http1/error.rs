//! Why a request is refused.

/// Why a request is refused before any function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The status that answers it.
    pub status: u16,
    /// One word for the log.
    pub reason: &'static str,
}

impl RequestError {
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}
