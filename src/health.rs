//! `origin-guard health`: whether a running guard answers and can do its work, in one line
//! and an exit status, for HEALTHCHECK of an image and for scripts.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::admin_client::{self, AskError};
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
    Ask(AskError),
    Status(u16),
    NoGuard,
    /// It answers, and can let nobody in.
    NotOk(Vec<String>),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "unhealthy: the guard at {} ", self.address)?;
        match &self.reason {
            Reason::Ask(error) => error.fmt(to),
            Reason::Status(status) => write!(to, "answers with status {status}"),
            Reason::NoGuard => to.write_str("answers what no guard does"),
            Reason::NotOk(problems) => write!(to, "answers: {}", problems.join(" ")),
        }
    }
}

impl std::error::Error for Unhealthy {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Ask(error) => Some(error),
            _ => None,
        }
    }
}

/// Asks the guard at each of these addresses, and tells how the first one does.
///
/// Whoever listens there is believed; where it may not be a guard, the line says so. A
/// backend that fails, an origin that refuses the secret, a file that cannot be read again
/// and a certificate that ends are in the line, and the guard is healthy all the same:
/// another one in its place would do no better.
///
/// # Errors
///
/// The first one that does not answer, or has no secret.
pub fn ask(addresses: &[Address]) -> Result<String, Unhealthy> {
    let mut said = String::new();
    for address in addresses {
        let line = ask_one(address).map_err(|reason| Unhealthy {
            address: address.clone(),
            reason,
        })?;
        if said.is_empty() {
            said = line;
        }
    }
    Ok(said)
}

fn ask_one(address: &Address) -> Result<String, Reason> {
    let answer = admin_client::get(address, "/status").map_err(Reason::Ask)?;
    if answer.status != 200 {
        return Err(Reason::Status(answer.status));
    }
    let status: Value = serde_json::from_slice(&answer.body).map_err(|_| Reason::NoGuard)?;
    let problems = status["problems"].as_array().ok_or(Reason::NoGuard)?;
    // Names of files may hold anything, and this is a line of a terminal.
    let problems = problems.iter().filter_map(Value::as_str);
    let problems: Vec<_> = problems.map(printable).collect();
    match status["ok"].as_bool() {
        Some(true) => {
            let connections = status["connections_open"].as_u64().unwrap_or_default();
            let mut line = format!("healthy: {address} answers, connections={connections}");
            if let Some(doubt) = answer.whose.doubt(&[]) {
                // Writing to a string cannot fail.
                let _ = write!(line, "; it {doubt}");
            }
            for problem in problems {
                line += "; ";
                line += problem.trim_end_matches('.');
            }
            Ok(line + "\n")
        }
        Some(false) => Err(Reason::NotOk(problems)),
        None => Err(Reason::NoGuard),
    }
}
