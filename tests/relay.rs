//! What is forwarded, and how: scripted backends and clients around the real binary.

mod support;

#[path = "relay/scripted.rs"]
mod scripted;

#[path = "relay/backends.rs"]
mod backends;
#[path = "relay/bodies.rs"]
mod bodies;
#[path = "relay/broken.rs"]
mod broken;
#[path = "relay/clients.rs"]
mod clients;
#[path = "relay/crowds.rs"]
mod crowds;
#[path = "relay/draining.rs"]
mod draining;
#[path = "relay/early.rs"]
mod early;
#[path = "relay/interim.rs"]
mod interim;
#[path = "relay/limits.rs"]
mod limits;
#[path = "relay/retries.rs"]
mod retries;
#[path = "relay/tunnels.rs"]
mod tunnels;
