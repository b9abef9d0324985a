//! What is read again while the guard serves: secrets and keys at SIGHUP, keys also when
//! their file changes. What is faulty leaves what there was.

use std::io::{self, ErrorKind, Read as _};
use std::sync::Arc;
use std::time::Duration;

use crate::auth::secret_source::Source;
use crate::auth::secrets::Secrets;
use crate::keys::{Keys, Opened};
use crate::metrics::{Counter, count};
use crate::{signals, systemd};

/// How often the file of keys is looked at. inotify(7) would say at once, and say
/// nothing of a file behind a symbolic link that is turned, on a network's file system or
/// in a folder that another mount covers; a stat(2) costs a microsecond everywhere.
const LOOK: Duration = Duration::from_millis(500);

/// Reloads from now on, on a thread of its own, so that one reload follows the other.
///
/// # Errors
///
/// If the system denies the signal handler or the thread.
pub fn start(source: Source, secrets: Arc<Secrets>, keys: Option<Arc<Keys>>) -> io::Result<()> {
    let mut requests = signals::reload_requests()?;
    requests.set_read_timeout(keys.as_ref().map(|_| LOOK))?;
    std::thread::Builder::new()
        .name("reload".into())
        .spawn(move || {
            let mut number = 0;
            loop {
                match requests.read(&mut [0; 256]) {
                    // Signals that came during a reload are one more, however many.
                    Ok(1..) => {
                        number += 1;
                        systemd::reloading();
                        reload_secrets(&source, &secrets, number);
                        if let Some(keys) = &keys {
                            reload_keys(keys);
                        }
                        systemd::ready();
                    }
                    Ok(0) => return,
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                        ErrorKind::Interrupted => continue,
                        _ => return,
                    },
                }
                if let Some(keys) = &keys
                    && keys.has_changed()
                {
                    reload_keys(keys);
                }
            }
        })?;
    Ok(())
}

fn reload_secrets(source: &Source, secrets: &Secrets, number: u64) {
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
            let changed = secrets.replace(loaded.digests, loaded.current);
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

fn reload_keys(keys: &Keys) {
    match keys.reload() {
        Ok(Opened {
            keys: number,
            warning,
        }) => {
            if let Some(warning) = warning {
                log::warn!("warning API_KEYS_FILE: {warning}");
            }
            count(Counter::ReloadSucceeded);
            log::info!("keys_reloaded keys={number} file={}", keys.path().display());
        }
        Err(fault) => {
            count(Counter::ReloadFailed);
            log::error!(
                "keys_reload_failed kept={} API_KEYS_FILE: {fault}",
                keys.len()
            );
        }
    }
}
