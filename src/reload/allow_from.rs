//! The file of networks that may connect.

use std::path::PathBuf;
use std::sync::Arc;

use super::counters::{LAST_ALLOW_FROM, RELOAD_FAILED, RELOAD_SUCCEEDED};
use super::faulty::FaultyFile;
use super::watch::{Outcome, State, Watched, shown};
use crate::metrics::Value;
use crate::server::AllowList;

impl Watched for Arc<AllowList> {
    fn last_reload(&self) -> &'static Value {
        &LAST_ALLOW_FROM
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.path().map(ToOwned::to_owned).into_iter().collect()
    }

    fn seen(&self) -> State {
        vec![AllowList::seen(self)]
    }

    fn faulty(&self) -> Vec<FaultyFile> {
        vec![FaultyFile::new("ALLOW_FROM_FILE", self.path())]
    }

    fn reload(&mut self, number: Option<u64>, _: bool) -> Outcome {
        match AllowList::reload(self) {
            Ok(changed) => {
                RELOAD_SUCCEEDED.increment();
                log::info!(
                    "allow_from_reloaded {}networks={} changed={changed}",
                    shown(number),
                    self.count()
                );
                if changed {
                    for warning in self.warnings() {
                        log::warn!("warning ALLOW_FROM_FILE: {warning}");
                    }
                }
                Outcome::Succeeded
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!(
                    "allow_from_reload_failed {}kept={} ALLOW_FROM_FILE: {error}",
                    shown(number),
                    self.count()
                );
                Outcome::Failed
            }
        }
    }
}
