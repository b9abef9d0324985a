//! The file of secrets.

use std::path::PathBuf;
use std::sync::Arc;

use super::counters::{LAST_SECRETS, RELOAD_FAILED, RELOAD_IGNORED, RELOAD_SUCCEEDED};
use super::faulty::FaultyFile;
use super::watch::{Outcome, State, Watched, shown};
use crate::auth::secret_source::Source;
use crate::auth::secrets::Secrets;
use crate::metrics::Value;
use crate::private_file::Fingerprint;

pub(super) struct SecretFile {
    pub(super) source: Source,
    /// Its state when it was last read.
    pub(super) seen: Option<Fingerprint>,
    pub(super) secrets: Arc<Secrets>,
}

impl Watched for SecretFile {
    fn last_reload(&self) -> &'static Value {
        &LAST_SECRETS
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.source
            .path()
            .map(ToOwned::to_owned)
            .into_iter()
            .collect()
    }

    fn seen(&self) -> State {
        vec![self.seen]
    }

    fn faulty(&self) -> Vec<FaultyFile> {
        let name = match self.source {
            Source::Credential(_) => "the credential shared-secret",
            _ => "SHARED_SECRET_FILE",
        };
        vec![FaultyFile::new(name, self.source.path())]
    }

    fn reload(&mut self, number: Option<u64>, _: bool) -> Outcome {
        let source = &self.source;
        let Some(path) = source.path() else {
            RELOAD_IGNORED.increment();
            log::warn!(
                "reload_ignored source={source} reason=\"the environment of a process does not \
                 change; use SHARED_SECRET_FILE or restart\""
            );
            return Outcome::Succeeded;
        };
        // This comes before the file is opened, so that a later change is seen.
        self.seen = Fingerprint::at(path);
        match source.load(&|name| std::env::var_os(name)) {
            Ok(loaded) => {
                let number_of_them = loaded.digests.len();
                let changed = self.secrets.replace(loaded.digests, loaded.current);
                for warning in loaded.warnings {
                    log::warn!("warning {warning}");
                }
                RELOAD_SUCCEEDED.increment();
                log::info!(
                    "reloaded {}source={source} secrets={number_of_them} changed={changed}",
                    shown(number)
                );
                if number.is_some() && !changed && matches!(source, Source::Credential(_)) {
                    log::info!(
                        "credential_unchanged reason=\"systemd before version 260 reads a \
                         credential when it starts a service; restart it\""
                    );
                }
                Outcome::Succeeded
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!("reload_failed {}kept=yes {error}", shown(number));
                Outcome::Failed
            }
        }
    }
}
