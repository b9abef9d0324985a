//! The limits of what is forwarded.

use std::time::Duration;

/// The limits of an exchange with a backend, and of the connections to it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `MAX_BODY_BYTES`: the longest body of a request; a longer one is a 413. `None` is
    /// without limit.
    pub body_bytes: Option<u64>,
    /// `BODY_TIMEOUT`: without a byte of a request's body; then 408.
    pub body_timeout: Duration,
    /// `BACKEND_CONNECT_TIMEOUT`: for one connection to a backend; then 504.
    pub connect_timeout: Duration,
    /// `BACKEND_TIMEOUT`: from a request's last byte to the end of the answer's head, then
    /// between bytes; then 504, or the answer is broken off.
    pub answer_timeout: Duration,
    /// `BACKEND_IDLE_TIMEOUT`: how long an unused connection to a backend is kept.
    pub idle_timeout: Duration,
    /// `TUNNEL_IDLE_TIMEOUT`: without a byte either way after a 101.
    pub tunnel_idle_timeout: Duration,
}
