//! Which paths a door serves: plain functions `&Request -> Response`.

pub mod admin;
pub mod front;
pub mod gateway;
pub mod origin;
mod request_log;
pub mod responses;
