//! Which paths a door serves: plain functions `&Request -> Response`.

pub mod origin;
