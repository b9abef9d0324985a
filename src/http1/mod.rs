//! HTTP/1.x (RFC 9110, RFC 9112) as bytes: no I/O and no clock.

pub mod body;
pub mod cdn_loop;
pub mod client_network;
pub mod date;
pub mod edits;
pub mod encode;
pub mod error;
pub mod fields;
pub mod forwarded;
pub mod framing;
pub mod method;
pub mod names;
pub mod network;
pub mod query;
pub mod request;
pub mod response;
pub mod scan;
pub mod static_response;
pub mod target;
pub mod token;
pub mod version;
