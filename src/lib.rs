//! The parts of `origin-guard`, for its `main.rs` and its tests; no interface for others.
//!
//! Data goes one way: bytes -> head -> Request -> answer -> Response -> bytes.

pub mod cli;
pub mod client;
pub mod config;
pub mod deploy;
pub mod doors;
pub mod guard;
pub mod keygen;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod reload;
pub mod reply;
pub mod routes;
pub mod secret;
pub mod server;
pub mod signals;
pub mod systemd;
pub mod watchdog;
