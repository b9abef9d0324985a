//! How the guard does at one moment: the data of the operator's page and of `/status`.

use std::time::{Duration, SystemTime};

use super::history::{Rates, Tally};
use super::refusals::Refused;
use super::words;
use crate::auth::usage::SecretUse;
use crate::handlers::counters as decisions;
use crate::handlers::denied::DeniedClient;
use crate::keys::LeakedKey;
use crate::metrics::Totals;
use crate::net::Address;
use crate::proxy::counters::{self as backends, BackendTotals};
use crate::proxy::upstream::BackendState;
use crate::reload::FaultyFile;

/// A certificate that ends sooner than this is a problem.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// How the guard does.
pub(super) struct Snapshot {
    pub(super) now: SystemTime,
    pub(super) uptime: Duration,
    pub(super) process: u32,
    pub(super) listeners: Vec<Address>,
    pub(super) secrets: SecretsState,
    /// API keys that came in the clear and are still good.
    pub(super) leaked_keys: Vec<LeakedKey>,
    pub(super) verdicts: Vec<VerdictCount>,
    pub(super) tally: Tally,
    pub(super) backends: Vec<Backend>,
    pub(super) certificates: Vec<CertificateState>,
    pub(super) connections: Connections,
    pub(super) denied: Vec<DeniedClient>,
    pub(super) failed_reloads: Vec<FaultyFile>,
    pub(super) rates: Vec<Rates>,
}

/// The shared secrets.
pub(super) struct SecretsState {
    /// Where they come from.
    pub(super) source: String,
    pub(super) read_at: SystemTime,
    /// Whether requests have to present one here; a gateway alone sends the current one.
    pub(super) are_checked: bool,
    pub(super) is_sent: bool,
    /// Whether a gateway here has no file of keys.
    pub(super) lacks_keys: bool,
    /// The current one first.
    pub(super) used: Vec<SecretUse>,
}

/// Requests that were decided in one way.
pub(super) struct VerdictCount {
    pub(super) verdict: String,
    pub(super) status: String,
    pub(super) requests: u64,
}

/// A backend, or an origin.
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) state: BackendState,
    /// Where it has refused the gateway's secret in the last minutes.
    pub(super) refused: Option<Refused>,
    pub(super) totals: BackendTotals,
}

/// A certificate that is in use.
pub(super) struct CertificateState {
    pub(super) file: String,
    pub(super) names: Vec<String>,
    pub(super) not_after: SystemTime,
}

impl CertificateState {
    /// How long it is good yet; zero where it has ended.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// Whether it is to be renewed now.
    pub(super) fn ends_soon(&self, now: SystemTime) -> bool {
        self.left(now) < SOON
    }
}

pub(super) struct Connections {
    pub(super) open: u64,
    pub(super) accepted: u64,
    /// Why others have ended, and how many.
    pub(super) closed: Vec<(String, u64)>,
}

impl Snapshot {
    /// Whether it can do what it is there for.
    pub(super) fn is_ok(&self) -> bool {
        !self.secrets.used.is_empty() && !self.secrets.lacks_keys
    }

    /// What an operator should look at, a sentence each.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.secrets.used.is_empty() {
            problems.push(
                "No secret is configured: requests are answered with 500. Set SHARED_SECRET_FILE."
                    .to_owned(),
            );
        }
        if self.secrets.lacks_keys {
            problems.push(
                "No file of API keys is configured: the gateway answers with 500. Set \
                 API_KEYS_FILE."
                    .to_owned(),
            );
        }
        for (place, used) in self.secrets.used.iter().enumerate() {
            if let Some(since) = used.leaked {
                problems.push(leaked_secret(place, self.since(since)));
            }
        }
        problems.extend(leaked_keys(&self.leaked_keys, self.now));
        for file in &self.failed_reloads {
            problems.push(format!(
                "{file} is faulty or cannot be read; what was there stays. See the log."
            ));
        }
        for certificate in &self.certificates {
            let left = certificate.left(self.now);
            if left.is_zero() {
                problems.push(format!(
                    "The certificate in {} has ended. Renew it.",
                    certificate.file
                ));
            } else if certificate.ends_soon(self.now) {
                let left = words::span(left);
                problems.push(format!(
                    "The certificate in {} ends in {left}. Renew it.",
                    certificate.file
                ));
            }
        }
        for backend in &self.backends {
            let name = &backend.name;
            match backend.state {
                BackendState::Works => {}
                BackendState::Fails(since) => {
                    let since = words::span(since);
                    problems.push(format!(
                        "The backend {name} has failed for {since}. See the log for the reason."
                    ));
                }
                BackendState::LeftAlone(since, left) => {
                    let (since, left) = (words::span(since), words::left(left));
                    problems.push(format!(
                        "The backend {name} has failed for {since}, and is left alone for {left} \
                         more. See the log for the reason."
                    ));
                }
                BackendState::ToBeTried(since) => {
                    let since = words::span(since);
                    problems.push(format!(
                        "The backend {name} is to be tried again with a new request; it has \
                         failed for {since}."
                    ));
                }
                BackendState::Unresolved => {
                    problems.push(format!(
                        "The name of the backend {name} has no address. Look at the name, and at \
                         DNS."
                    ));
                }
            }
            if let Some(refused) = backend.refused.filter(|refused| !refused.is_over) {
                let refused = words::refused(refused);
                problems.push(format!(
                    "The origin {name} refuses the secret ({refused}). Give both the same one: \
                     the origin gets a new one first, then this gateway."
                ));
            }
        }
        problems
    }

    fn since(&self, then: SystemTime) -> Duration {
        self.now.duration_since(then).unwrap_or_default()
    }
}

/// The secret at this place came in the clear, first so long ago.
fn leaked_secret(place: usize, since: Duration) -> String {
    let first = words::ago(Some(since));
    let (which, remedy) = match place {
        0 => ("current", "Replace it (origin-guard secret rotate)"),
        _ => ("previous", "End the rotation (origin-guard secret finish)"),
    };
    format!(
        "The {which} secret came in plain HTTP (first {first}), and whoever was on its way can \
         know it. {remedy}, and have its sender use https; the log says who that is."
    )
}

/// The same of keys, in one sentence that names the first few.
fn leaked_keys(keys: &[LeakedKey], now: SystemTime) -> Option<String> {
    const NAMED: usize = 5;
    let since = now.duration_since(keys.first()?.since).unwrap_or_default();
    let first = words::ago(Some(since));
    let (named, more) = keys.split_at(keys.len().min(NAMED));
    let named: Vec<_> = named.iter().map(|key| key.id.to_string()).collect();
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "API keys came in plain HTTP (first {first}), and whoever was on their way can know them: \
         {}{more}. Revoke them (origin-guard keys revoke), and have their senders use https; the \
         log says who they are.",
        named.join(", ")
    ))
}

/// The value of a label in `name="value",other="value"`, as the tables of counters write it.
fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let mut pairs = labels.split(',');
    let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""));
    value
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or_default()
}

/// The counters of a family, by one label.
pub(super) fn by_label(
    totals: &Totals,
    family: &crate::metrics::Family,
    name: &str,
) -> Vec<(String, u64)> {
    let series = totals.by_labels(family).into_iter();
    let named = series.map(|(labels, count)| (label(&labels, name).to_owned(), count));
    named.collect()
}

pub(super) fn verdicts(totals: &Totals) -> Vec<VerdictCount> {
    let series = totals.by_labels(&decisions::REQUESTS).into_iter();
    let verdicts = series.map(|(labels, requests)| VerdictCount {
        verdict: label(&labels, "verdict").to_owned(),
        status: label(&labels, "status").to_owned(),
        requests,
    });
    verdicts.collect()
}

/// The sums of all requests.
pub(super) fn tally(totals: &Totals, verdicts: &[VerdictCount]) -> Tally {
    let sum = |wanted: fn(&VerdictCount) -> bool| {
        let counted = verdicts.iter().filter(|count| wanted(count));
        counted.map(|count| count.requests).sum::<u64>()
    };
    let is_let_in =
        |count: &VerdictCount| ["granted", "key_granted", "public"].contains(&&*count.verdict);
    let is_denied = |count: &VerdictCount| ["401", "403", "429"].contains(&&*count.status);
    let is_failed = |count: &VerdictCount| {
        let kinds = ["bad_request", "overload", "failed", "loop"];
        kinds.contains(&&*count.verdict) || count.verdict.ends_with("misconfigured")
    };
    Tally {
        let_in: sum(is_let_in),
        denied: sum(is_denied),
        failed: sum(is_failed) + totals.family(&backends::FAILURES).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_are_read_as_the_tables_write_them() {
        let labels = r#"verdict="no_secret",status="401""#;
        assert_eq!(label(labels, "verdict"), "no_secret");
        assert_eq!(label(labels, "status"), "401");
        assert_eq!(label(labels, "stat"), "");
        assert_eq!(label("", "verdict"), "");
    }
}
