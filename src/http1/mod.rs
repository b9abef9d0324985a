//! HTTP/1.x (RFC 9110, RFC 9112) as bytes: no I/O and no clock but for the `Date` field.

pub mod encode;
pub mod error;
pub mod forwarded;
pub mod framing;
pub mod request;
pub mod scan;
pub mod static_response;
mod target;
pub mod token;
