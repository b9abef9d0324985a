//! What is forwarded, each way: printed from what was understood, never copied.

mod nominations;
mod own_fields;
mod request;
mod response;
mod write;

pub use crate::http1::cdn_loop::is_loop;
pub use own_fields::OwnFields;
pub use request::{Forwarding, HostRule, request_head};
pub use response::{ClientBody, ClientSide, response_head, trailers};

#[cfg(test)]
mod tests;
