//! `origin-guard secret`: replaces the shared secret, step by step, and refuses no request
//! on the way. The origin rotates first, then the gateway, and then the origin lets go of
//! the previous secret, once its running guard says that nobody uses it.

pub mod cli;
mod error;
mod finish;
mod guard;
mod next_step;
mod rotate;
mod status;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::admin_client;
use crate::auth::secret_file;
use crate::config::{self, ValueError};
use crate::net::Address;
use crate::shown_path::may_be_secret;
use crate::stderr::say;

use cli::{Action, SecretArgs};
pub use error::SecretError;
use next_step::GuardName;

/// The variables that are read here.
const FILE: &str = "SHARED_SECRET_FILE";
const ADMIN: &str = "ADMIN_LISTEN";
const SECRET: &str = "SHARED_SECRET";

/// What to do where an origin refuses the secret of a gateway.
const BOTH_THE_SAME: &str = "put the gateway's secret into the origin's file, by `origin-guard secret \
                             rotate FILE --stdin` there, or the origin's into this one";

/// Runs a command; `variable` is [`std::env::var_os`] as a rule.
///
/// # Errors
///
/// What could not be done, and why; its status is the command's.
pub fn run(
    arguments: SecretArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(), SecretError> {
    if arguments.file.as_deref().is_some_and(may_be_secret) {
        return Err(SecretError::Argument);
    }
    let named = || variable(FILE).filter(|path| !path.is_empty());
    let path = arguments.file.or_else(|| named().map(PathBuf::from));
    let is_in_environment = variable(SECRET).is_some_and(|secret| !secret.is_empty());
    let path = secret_file::file_of(path.ok_or(if is_in_environment {
        SecretError::InEnvironment
    } else {
        SecretError::NoFile
    })?);
    let are_named = !arguments.admin.is_empty();
    let name = GuardName::find(&arguments.admin, &variable);
    let guards = guards(arguments.admin, &variable);
    match arguments.action {
        Action::Rotate {
            print,
            stdin,
            force,
        } => {
            let options = rotate::Options {
                print,
                stdin,
                force,
            };
            let guards = match guards {
                Err(error) if are_named => return Err(error),
                guards => guards.unwrap_or_default(),
            };
            rotate::rotate(&path, &options, &guards, &name)
        }
        Action::Status => status::status(&path, &guards?),
        Action::Finish { quiet_for, force } => {
            let quiet = cli::quiet_for(quiet_for.as_deref())?;
            let guards = if force { Vec::new() } else { guards? };
            finish::finish(&path, &guards, quiet, force)
        }
    }
}

/// The guards that are to be asked: those that are named, else those of `ADMIN_LISTEN`,
/// else the one of the unit.
///
/// # Errors
///
/// If none is known, or one is no address.
pub fn guards(
    named: Vec<String>,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Address>, SecretError> {
    let variable = || variable(ADMIN)?.into_string().ok();
    let lists = match variable().filter(|list| !list.is_empty()) {
        _ if !named.is_empty() => named,
        Some(list) => vec![list],
        None if Path::new(admin_client::OF_UNIT).exists() => {
            vec![format!("unix:{}", admin_client::OF_UNIT)]
        }
        None => return Err(SecretError::NoGuard),
    };
    let mut guards = Vec::new();
    for list in lists {
        let addresses = config::addresses(&list).map_err(ValueError::of_this_machine);
        guards.extend(addresses.map_err(|error| SecretError::Address(error.to_string()))?);
    }
    if guards.iter().any(|guard| !guard.is_tls()) {
        // The same guard listens in the clear, too.
        guards.retain(|guard| !guard.is_tls());
    }
    Ok(guards)
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
}
