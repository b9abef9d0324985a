//! Asks a running guard how it does: `/status`.

use std::fmt;

use serde_json::Value;

use super::{AskError, Whose, get};
use crate::net::Address;

/// Why a guard does not tell how it does. Displays as what follows its address, with what
/// to do.
#[derive(Debug)]
pub enum StatusError {
    /// It is not reached, or does not answer.
    Ask(AskError),
    /// It answers with this status.
    Status(u16),
    /// The answer is not that of a guard.
    NoGuard,
}

impl fmt::Display for StatusError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(to),
            Self::Status(404) => to.write_str(
                "does not tell how it does: it is older, or this is not its ADMIN_LISTEN; name that \
                 address",
            ),
            Self::Status(status) => write!(
                to,
                "answers with status {status}: this is not its ADMIN_LISTEN; name that address"
            ),
            Self::NoGuard => {
                to.write_str("answers what no guard does; name the ADMIN_LISTEN of a guard")
            }
        }
    }
}

impl std::error::Error for StatusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(error) => Some(error),
            Self::Status(_) | Self::NoGuard => None,
        }
    }
}

/// What a guard says of itself.
#[derive(Debug)]
pub struct Status {
    /// As it says it.
    pub json: Value,
    /// Whose process has said it.
    pub whose: Whose,
    /// The process that listens at the Unix socket, by the number that it has for this one.
    pub process: Option<u32>,
}

/// What the guard at `address` says of itself.
///
/// # Errors
///
/// If nobody answers there, or not as a guard does.
pub fn status(address: &Address) -> Result<Status, StatusError> {
    let answer = get(address, "/status").map_err(StatusError::Ask)?;
    if answer.status != 200 {
        return Err(StatusError::Status(answer.status));
    }
    let json = serde_json::from_slice(&answer.body);
    Ok(Status {
        json: json.map_err(|_| StatusError::NoGuard)?,
        whose: answer.whose,
        process: answer.process,
    })
}
