//! The file of keys.

use std::path::PathBuf;
use std::sync::Arc;

use super::counters::{LAST_KEYS, RELOAD_FAILED, RELOAD_SUCCEEDED};
use super::faulty::FaultyFile;
use super::watch::{Outcome, State, Watched};
use crate::keys::{Keys, Opened};
use crate::metrics::Value;

impl Watched for Arc<Keys> {
    fn last_reload(&self) -> &'static Value {
        &LAST_KEYS
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![Keys::path(self).to_owned()]
    }

    fn seen(&self) -> State {
        vec![Keys::seen(self)]
    }

    fn faulty(&self) -> Vec<FaultyFile> {
        vec![FaultyFile::new("API_KEYS_FILE", Some(Keys::path(self)))]
    }

    fn reload(&mut self, _: Option<u64>, _: bool) -> Outcome {
        match Keys::reload(self) {
            Ok(Opened {
                keys: number,
                warning,
            }) => {
                if let Some(warning) = warning {
                    log::warn!("warning API_KEYS_FILE: {warning}");
                }
                RELOAD_SUCCEEDED.increment();
                log::info!(
                    "keys_reloaded keys={number} file={}",
                    Keys::path(self).display()
                );
                Outcome::Succeeded
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!(
                    "keys_reload_failed kept={} API_KEYS_FILE: {error}",
                    self.len()
                );
                Outcome::Failed
            }
        }
    }
}
