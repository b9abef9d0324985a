//! What the Rust peers share: the settings that the driver gives, and the check.

use std::net::SocketAddr;

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};

pub const GRANTED: &str = r#"{"message":"Access granted"}"#;
pub const NO_SECRET: &str = r#"{"error":"No secret provided"}"#;
pub const INVALID_SECRET: &str = r#"{"error":"Invalid secret"}"#;

/// Where to listen.
#[must_use]
pub fn address() -> SocketAddr {
    let port = std::env::var("PORT").expect("PORT");
    SocketAddr::from(([127, 0, 0, 1], port.parse().expect("PORT is a number")))
}

/// The secret's digest.
pub struct Secret([u8; 32]);

impl Secret {
    #[must_use]
    pub fn from_environment() -> Self {
        let secret = std::env::var("SHARED_SECRET").expect("SHARED_SECRET");
        Self(Sha256::digest(secret).into())
    }

    /// The status and the body for what a request presents.
    #[must_use]
    pub fn judge(&self, presented: Option<&[u8]>) -> (u16, &'static str) {
        match presented {
            None | Some([]) => (401, NO_SECRET),
            Some(value) if constant_time_eq_32(&self.0, &Sha256::digest(value).into()) => {
                (200, GRANTED)
            }
            Some(_) => (401, INVALID_SECRET),
        }
    }
}
