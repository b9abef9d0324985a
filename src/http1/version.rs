//! Versions of the protocol (RFC 9110, section 2.5).

/// The version that a message is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and any higher minor version.
    Http11,
}
