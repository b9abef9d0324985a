//! SIGHUP: reads the secrets again and swaps them, or keeps what there was.

use std::io::{self, Read as _};
use std::sync::Arc;

use crate::metrics::{Counter, count};
use crate::secret::{Secrets, Source};
use crate::{signals, systemd};

/// Reloads `secrets` from `source` at each SIGHUP from now on, on a thread of its own.
///
/// # Errors
///
/// If the system denies the signal handler or the thread.
pub fn start(source: Source, secrets: Arc<Secrets>) -> io::Result<()> {
    let mut requests = signals::reload_requests()?;
    std::thread::Builder::new()
        .name("reload".into())
        .spawn(move || {
            // Signals that came during a reload are one more reload, however many.
            let mut number = 0;
            while let Ok(1..) = requests.read(&mut [0; 256]) {
                number += 1;
                systemd::reloading();
                reload(&source, &secrets, number);
                systemd::ready();
            }
        })?;
    Ok(())
}

fn reload(source: &Source, secrets: &Secrets, number: u64) {
    if matches!(source, Source::Unset | Source::Environment) {
        count(Counter::ReloadIgnored);
        log::warn!(
            "reload_ignored source={source} reason=\"the environment of a process does not \
             change; use SHARED_SECRET_FILE or restart\""
        );
        return;
    }
    match source.load(&|name| std::env::var_os(name)) {
        Ok(loaded) => {
            let number_of_them = loaded.digests.len();
            let changed = secrets.replace(loaded.digests);
            for warning in loaded.warnings {
                log::warn!("warning {warning}");
            }
            count(Counter::ReloadSucceeded);
            log::info!(
                "reloaded number={number} source={source} secrets={number_of_them} \
                 changed={changed}"
            );
            if !changed && matches!(source, Source::Credential(_)) {
                log::info!(
                    "credential_unchanged reason=\"systemd before version 260 reads a credential \
                     when it starts a service; restart it\""
                );
            }
        }
        Err(fault) => {
            count(Counter::ReloadFailed);
            log::error!("reload_failed number={number} kept=yes {fault}");
        }
    }
}
