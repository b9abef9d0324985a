//! `secret finish`: the previous secrets go, once all guards say that nobody uses them.

use std::path::Path;
use std::time::Duration;

use super::error::Against;
use super::guard::{self, GuardStatus};
use super::{BOTH_THE_SAME, SecretError};
use crate::auth::secret_file::{self, SecretFile};
use crate::net::Address;
use crate::status::words::span;
use crate::stderr::say;

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
        "{}: {removed} previous {secrets} removed; the guard takes the current one alone once it \
         has read the file",
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
    let mut gateways = Vec::new();
    for address in guards {
        let mut add = |(what, passes): (String, bool)| {
            let what = format!("the guard at {address} {what}");
            reasons.push(Against { what, passes });
        };
        match guard::ask(address) {
            Ok(status) => {
                if let Some(doubt) = status.doubt(file) {
                    add((doubt.to_string(), false));
                }
                against(&status, file, quiet).into_iter().for_each(add);
                let has_read = status.has_not_read(file).is_none();
                waits_for_current |= status.checks && has_read;
                if status.is_gateway() && has_read {
                    gateways.push(address);
                }
                let current = status.secrets.first();
                is_current_used |= current.is_some_and(|used| used.requests > 0);
            }
            Err(error) => add((error.to_string(), false)),
        }
    }
    if waits_for_current && !is_current_used {
        let what = "no guard has seen the current secret yet: set it at the gateway first";
        reasons.push(Against {
            what: what.to_owned(),
            passes: false,
        });
    }
    if !reasons.is_empty() {
        return Err(SecretError::NotYet(reasons));
    }
    if gateways.len() == guards.len() {
        for address in gateways {
            say(&format!(
                "the guard at {address} is a gateway: it sends the current secret and checks none. \
                 No guard was asked that knows who still uses the previous one; the origin's does \
                 (--admin ADDRESS)"
            ));
        }
    }
    Ok(())
}

/// All that a guard has against it, each as what follows its address, and whether that
/// passes by itself.
fn against(status: &GuardStatus, file: &SecretFile, quiet: Duration) -> Vec<(String, bool)> {
    if let Some(not_read) = status.has_not_read(file) {
        // What it knows is of other secrets.
        return vec![(not_read.to_string(), not_read.passes())];
    }
    let refused = status.refused_by();
    // The previous one may be the one that is good there.
    let mut reasons: Vec<_> = refused
        .map(|refused| {
            let what = format!("is a gateway, and its origin {refused}; {BOTH_THE_SAME}");
            // The operator has to do something: waiting does not make it good.
            (what, false)
        })
        .collect();
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
        let what = format!(
            "saw it used {} ago{by}; it may go once nobody has used it for {}",
            span(last),
            span(quiet)
        );
        reasons.push((what, true));
    }
    if status.uptime < quiet {
        let what = format!(
            "has run for {} only, and cannot tell who used it before; wait until it has run for \
             {}",
            span(status.uptime),
            span(quiet)
        );
        reasons.push((what, true));
    }
    reasons
}
