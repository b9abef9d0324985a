//! `secret finish`: the previous secrets go, once all guards say that nobody uses them.

use std::path::Path;
use std::time::Duration;

use super::guard::{self, GuardStatus};
use super::{SecretError, say};
use crate::auth::secret_file::{self, SecretFile};
use crate::net::Address;
use crate::status::words::span;

/// Removes all secrets but the current one from the file at `path`, where no guard has seen
/// one of them for `quiet`.
pub(super) fn finish(
    path: &Path,
    guards: &[Address],
    quiet: Duration,
    force: bool,
) -> Result<(), SecretError> {
    let mut removed = 0;
    let file = SecretFile::read(path)?;
    super::warn(&file.warnings);
    if file.secrets == 1 {
        say(&format!(
            "{}: it holds only the current secret; there is nothing to remove",
            path.display()
        ));
        return Ok(());
    }
    secret_file::remove_previous(path, |file: &SecretFile| {
        removed = file.secrets - 1;
        if force {
            Ok(())
        } else {
            may(file, guards, quiet)
        }
    })?;
    let secrets = if removed == 1 { "secret" } else { "secrets" };
    say(&format!(
        "{}: {removed} previous {secrets} removed; only the current one is good once the guard has \
         read the file",
        path.display()
    ));
    say("a guard with SHARED_SECRET_FILE does so by itself; for systemd's credential run:");
    say("  systemctl restart origin-guard");
    Ok(())
}

fn may(file: &SecretFile, guards: &[Address], quiet: Duration) -> Result<(), SecretError> {
    let mut reasons = Vec::new();
    let mut is_current_used = false;
    let mut waits_for_current = false;
    for address in guards {
        match guard::ask(address) {
            Ok(status) => {
                let doubt = status.doubt(file);
                reasons.extend(doubt.map(|doubt| format!("the guard at {address} {doubt}")));
                let against = against(&status, file, quiet).into_iter();
                reasons.extend(against.map(|reason| format!("the guard at {address} {reason}")));
                waits_for_current |= status.checks && status.has_not_read(file).is_none();
                let current = status.secrets.first();
                is_current_used |= current.is_some_and(|used| used.requests > 0);
            }
            Err(error) => reasons.push(format!("the guard at {address} {error}")),
        }
    }
    if waits_for_current && !is_current_used {
        reasons.push(
            "no guard has seen the current secret yet: set it at the gateway first".to_owned(),
        );
    }
    if reasons.is_empty() {
        Ok(())
    } else {
        Err(SecretError::NotYet(reasons))
    }
}

/// All that a guard has against it, each as what follows its address.
fn against(status: &GuardStatus, file: &SecretFile, quiet: Duration) -> Vec<String> {
    if let Some(not_read) = status.has_not_read(file) {
        // What it knows is of other secrets.
        return vec![not_read.to_string()];
    }
    let mut reasons = Vec::new();
    if !status.checks {
        return reasons;
    }
    let previous = status.secrets.iter().skip(1);
    let used = previous.filter_map(|used| Some((used.last?, used)));
    if let Some((last, used)) = used.min_by_key(|(last, _)| *last)
        && last < quiet
    {
        let clients = used
            .clients
            .iter()
            .filter(|(_, _, last)| last.is_some_and(|last| last < quiet));
        let clients: Vec<_> = clients.map(|(client, ..)| client.as_str()).collect();
        let by = if clients.is_empty() {
            String::new()
        } else {
            format!(" by {}", clients.join(", "))
        };
        reasons.push(format!(
            "saw it used {} ago{by}; it may go once nobody has used it for {}",
            span(last),
            span(quiet)
        ));
    }
    if status.uptime < quiet {
        reasons.push(format!(
            "has run for {} only, and cannot tell who used it before; wait until it has run for \
             {}",
            span(status.uptime),
            span(quiet)
        ));
    }
    reasons
}
