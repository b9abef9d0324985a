//! Certificates and keys of TLS, authorities and their lists of what was revoked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::counters::{LAST_CERTIFICATES, RELOAD_FAILED, RELOAD_SUCCEEDED};
use super::faulty::FaultyFile;
use super::watch::{Outcome, State, Watched, shown, state};
use crate::metrics::{Family, Value, labels};
use crate::net::tls::server::{Reloaded, TlsServer, TlsServerError};

static ENDS: Family = Family {
    name: "origin_guard_certificate_not_after_timestamp_seconds",
    help: "When a certificate that is in use ends, in seconds since 1970.",
};

/// The files of TLS.
pub(super) struct Certificates {
    tls: Arc<TlsServer>,
    seen: State,
    /// What the last reload found faulty.
    faulty: Vec<FaultyFile>,
    /// When each certificate ends, in the order of the pairs.
    ends: Vec<&'static Value>,
}

impl Certificates {
    pub(super) fn new(tls: Arc<TlsServer>) -> Self {
        let pairs = tls.pairs();
        let end = |path: &PathBuf| {
            Value::registered(&ENDS, labels(&[("certificate", &path.to_string_lossy())]))
        };
        let certificates = Self {
            ends: pairs.iter().map(|pair| end(&pair.path)).collect(),
            // They have just been read; what has changed since is seen at the next look.
            seen: state(&tls.files().map(ToOwned::to_owned).collect::<Vec<_>>()),
            tls,
            faulty: Vec::new(),
        };
        certificates.note_ends();
        certificates
    }

    fn note_ends(&self) {
        for (pair, end) in self.tls.pairs().iter().zip(&self.ends) {
            let since = pair.facts.not_after.duration_since(SystemTime::UNIX_EPOCH);
            end.set(since.map_or(0.0, |since| since.as_secs_f64()));
        }
    }
}

impl Watched for Certificates {
    fn last_reload(&self) -> &'static Value {
        &LAST_CERTIFICATES
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.tls.files().map(ToOwned::to_owned).collect()
    }

    fn seen(&self) -> State {
        self.seen.clone()
    }

    fn faulty(&self) -> Vec<FaultyFile> {
        self.faulty.clone()
    }

    fn reload(&mut self, number: Option<u64>, may_wait: bool) -> Outcome {
        // This comes before the files are opened, so that a later change is seen.
        self.seen = state(&self.paths());
        let Reloaded { changed, faults } = self.tls.reload();
        self.note_ends();
        if changed {
            for pair in self.tls.pairs() {
                log::info!("certificate {}", pair.facts);
            }
        }
        if faults.is_empty() {
            RELOAD_SUCCEEDED.increment();
            log::info!("certificates_reloaded {}changed={changed}", shown(number));
            return Outcome::Succeeded;
        }
        if may_wait && faults.iter().any(TlsServerError::may_settle) {
            return Outcome::Unsettled;
        }
        let pairs = self.tls.pair_files();
        self.faulty.clear();
        for fault in &faults {
            let file = FaultyFile::new(fault.variable(pairs), fault.path());
            if !self.faulty.contains(&file) {
                self.faulty.push(file);
            }
        }
        RELOAD_FAILED.increment();
        for fault in faults {
            log::error!(
                "certificates_reload_failed {}kept=yes {fault}",
                shown(number)
            );
        }
        Outcome::Failed
    }
}
