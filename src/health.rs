//! `origin-guard health`: whether running guards answer and can do their work, in a line each
//! and an exit status, for HEALTHCHECK of an image and for scripts.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::admin_client::{self, StatusError};
use crate::net::Address;
use crate::printable::printable;

/// Why a guard is not healthy. Displays as the line that says so.
#[derive(Debug)]
pub struct Unhealthy {
    address: Address,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Status(StatusError),
    /// It answers, and can let nobody in.
    NotOk(Vec<String>),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "unhealthy: the guard at {} ", self.address)?;
        match &self.reason {
            Reason::Status(error) => error.fmt(to),
            Reason::NotOk(problems) => write!(to, "answers: {}", problems.join(" ")),
        }
    }
}

impl std::error::Error for Unhealthy {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Status(error) => Some(error),
            Reason::NotOk(_) => None,
        }
    }
}

/// Asks the guard at `address`, and returns the line that says how it does.
///
/// Whoever listens there is believed; where it may not be a guard, the line says so. A
/// backend that fails, an origin that refuses the secret, a file that cannot be read again
/// and a certificate that ends are in the line, and the guard is healthy all the same:
/// another one in its place would do no better.
///
/// # Errors
///
/// If it does not answer, or has no secret.
pub fn ask(address: &Address) -> Result<String, Unhealthy> {
    ask_for_line(address).map_err(|reason| Unhealthy {
        address: address.clone(),
        reason,
    })
}

fn ask_for_line(address: &Address) -> Result<String, Reason> {
    let told = admin_client::status(address).map_err(Reason::Status)?;
    let (status, whose) = (told.json, told.whose);
    let no_guard = || Reason::Status(StatusError::NoGuard);
    let problems = status["problems"].as_array().ok_or_else(no_guard)?;
    // Names of files may hold anything, and this is a line of a terminal.
    let problems = problems.iter().filter_map(Value::as_str);
    let problems: Vec<_> = problems.map(printable).collect();
    match status["ok"].as_bool() {
        Some(true) => {
            let connections = status["connections"]["open"].as_u64().unwrap_or_default();
            let mut line = format!("healthy: {address} answers, connections={connections}");
            if let Some(doubt) = whose.doubt(&[]) {
                // Writing to a string cannot fail.
                let _ = write!(line, "; it {doubt}");
            }
            for problem in problems {
                line += "; ";
                line += problem.trim_end_matches('.');
            }
            Ok(line)
        }
        Some(false) => Err(Reason::NotOk(problems)),
        None => Err(no_guard()),
    }
}
