//! The parts of `origin-guard`, for its `main.rs` and its tests; no interface for others.
//!
//! Data goes one way: bytes -> head -> Request -> decision -> response -> bytes.

#![warn(
    clippy::print_stderr,
    reason = "it panics where that is closed or full: stderr::say"
)]

pub mod admin_client;
pub mod app;
pub mod auth;
pub mod check;
pub mod cli;
pub mod config;
mod decimal;
pub mod demo_backend;
pub mod deploy;
pub mod documents;
pub mod finding;
mod guessable;
pub mod handler;
pub mod handlers;
pub mod health;
pub mod http1;
pub mod key_uses;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod net;
pub mod notations;
pub mod printable;
pub mod private_file;
pub mod probe;
pub mod proxy;
pub mod random;
pub mod reload;
mod rfc3339;
pub mod rotation;
pub mod server;
mod shell;
mod shown_path;
pub mod signals;
mod spelling;
pub mod status;
pub mod stderr;
pub mod systemd;
pub mod usage;
mod user;
