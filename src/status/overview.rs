//! Gathers what the operator is shown, from all rooms, and keeps the samples of the plot.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use super::history::{History, PERIOD};
use super::leaks;
use super::refusals::{Refusals, Refused};
use super::snapshot::{
    Backend, CertificateState, Connections, SecretsState, Snapshot, by_label, tally, verdicts,
};
use super::{json, page};
use crate::auth::secrets::Secrets;
use crate::handlers::admin;
use crate::handlers::denied;
use crate::keys::{Keys, LeakedKey};
use crate::metrics::Totals;
use crate::net::Address;
use crate::net::tls::server::TlsServer;
use crate::proxy::relay::Relay;
use crate::reload;
use crate::server::counters as connections;

/// Where the operator's page and `/status` take their data from.
pub struct Overview {
    /// Since when the guard runs.
    pub started: Instant,
    /// Where it listens, once it does.
    pub listeners: OnceLock<Vec<Address>>,
    /// The secrets, and how they are used.
    pub secrets: Arc<Secrets>,
    /// Where they come from.
    pub source: String,
    /// Whether requests have to present one here.
    pub checks_secret: bool,
    /// Whether a gateway here sends the current one.
    pub sends_secret: bool,
    /// The API keys of that gateway, where it has a file of them.
    pub keys: Option<Arc<Keys>>,
    /// Whether that gateway has no file of keys.
    pub lacks_keys: bool,
    /// The ways to backends and origins.
    pub relays: Vec<Arc<Relay>>,
    /// The certificates, where there are some.
    pub tls: Option<Arc<TlsServer>>,
    /// The last minutes.
    pub history: History,
    /// How often origins have refused the secret in them.
    pub refusals: Refusals,
}

impl Overview {
    /// Takes a sample every two seconds from now on, on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the system denies the thread.
    pub fn sample(self: &Arc<Self>) -> io::Result<()> {
        let overview = Arc::clone(self);
        let keep = move || {
            loop {
                let now = Instant::now();
                let totals = Totals::now();
                let sums = tally(&totals, &verdicts(&totals));
                overview.history.add(now, sums);
                // Looking is what notes the time of the last use.
                let usage = overview.secrets.usage(now);
                leaks::show(&usage, &overview.leaked_keys());
                let _ = overview.backends(&totals, now);
                std::thread::sleep(PERIOD);
            }
        };
        std::thread::Builder::new()
            .name("samples".into())
            .spawn(keep)?;
        Ok(())
    }

    fn leaked_keys(&self) -> Vec<LeakedKey> {
        let keys = self.keys.as_ref();
        keys.map_or_else(Vec::new, |keys| keys.leaked())
    }

    fn backends(&self, totals: &Totals, now: Instant) -> Vec<Backend> {
        let read = self.secrets.read_at().elapsed().unwrap_or_default();
        let relays = self.relays.iter();
        let all = relays.flat_map(|relay| (0..relay.upstream.len()).map(move |at| (relay, at)));
        let backend = |(place, (relay, at)): (usize, (&Arc<Relay>, usize))| {
            let totals = relay.counters.totals(at, totals);
            let refused = self.refusals.look(place, totals.secret_refused, now);
            let refused = refused.map(|refused| Refused {
                is_over: !totals.refuses_secret || refused.last >= read,
                ..refused
            });
            Backend {
                name: relay.upstream.name(at).to_owned(),
                state: relay.upstream.state(at, now),
                refused,
                totals,
            }
        };
        all.enumerate().map(backend).collect()
    }

    fn snapshot(&self) -> Snapshot {
        let (now, time) = (Instant::now(), SystemTime::now());
        let totals = Totals::now();
        let verdicts = verdicts(&totals);
        let pairs = self.tls.as_ref().map(|tls| tls.pairs()).unwrap_or_default();
        let certificates = pairs.into_iter().map(|pair| CertificateState {
            file: pair.path.display().to_string(),
            names: pair.facts.names.clone(),
            not_after: pair.facts.not_after,
        });
        let mut closed = by_label(&totals, &connections::CLOSED, "reason");
        closed.retain(|&(_, count)| count > 0);
        Snapshot {
            now: time,
            uptime: now.saturating_duration_since(self.started),
            process: std::process::id(),
            listeners: self.listeners.get().cloned().unwrap_or_default(),
            secrets: SecretsState {
                source: self.source.clone(),
                read_at: self.secrets.read_at(),
                are_checked: self.checks_secret,
                is_sent: self.sends_secret,
                lacks_keys: self.lacks_keys,
                used: self.secrets.usage(now),
            },
            leaked_keys: self.leaked_keys(),
            tally: tally(&totals, &verdicts),
            verdicts,
            backends: self.backends(&totals, now),
            certificates: certificates.collect(),
            connections: Connections {
                open: totals.level(&connections::OPEN),
                accepted: totals.of(&connections::ACCEPTED),
                closed,
            },
            denied: denied::most_denied(now),
            failed_reloads: reload::faulty_files(),
            rates: self.history.rates(now),
        }
    }
}

impl admin::Overview for Overview {
    fn json(&self) -> String {
        json::text(&self.snapshot())
    }

    fn page(&self, nonce: &str) -> String {
        page::text(&self.snapshot(), nonce)
    }
}
