//! `/status`: all that the operator's page shows, for programs; `origin-guard secret` and
//! `origin-guard health` ask for it. docs/operations.md lists the names, which stay.
//!
//! A secret is named by its place alone, the current one is the first. A digest or a part
//! of one would let whoever reads this try guesses without asking the guard, and a key of
//! the process's own would tell nothing that the place does not.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::history::{REACH, Rates};
use super::snapshot::{Backend, CertificateState, Connections, Snapshot, VerdictCount};
use crate::auth::usage::{ClientUse, SecretUse};
use crate::handlers::denied::DeniedClient;
use crate::proxy::upstream::BackendState;

fn seconds(time: Duration) -> f64 {
    thousandths(time.as_secs_f64())
}

/// A number of seconds, or of requests a second, with thousandths.
fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Seconds since 1970.
fn time(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    seconds(since.unwrap_or_default())
}

/// The text of the answer.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let secrets = &snapshot.secrets;
    let tally = &snapshot.tally;
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ok": snapshot.is_ok(),
        "problems": snapshot.problems(),
        "uptime_seconds": seconds(snapshot.uptime),
        "pid": snapshot.process,
        "listeners": snapshot.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "secrets": {
            "source": secrets.source,
            "read_at": time(secrets.read_at),
            "checked": secrets.are_checked,
            "sent": secrets.is_sent,
            "used": secrets.used.iter().map(secret).collect::<Vec<_>>(),
        },
        "leaked_keys": snapshot.leaked_keys.len(),
        "requests": {
            "let_in": tally.let_in,
            "denied": tally.denied,
            "failed": tally.failed,
        },
        "verdicts": snapshot.verdicts.iter().filter_map(verdict).collect::<Vec<_>>(),
        "rates": rates(&snapshot.rates),
        "connections": connections(&snapshot.connections),
        "backends": snapshot.backends.iter().map(backend).collect::<Vec<_>>(),
        "certificates": certificates(snapshot),
        "denied_clients": snapshot.denied.iter().map(denied).collect::<Vec<_>>(),
    });
    // Values that have just been made can be printed.
    status.to_string() + "\n"
}

fn secret(used: &SecretUse) -> Value {
    json!({
        "requests": used.requests,
        "last_used_seconds_ago": used.last.map(seconds),
        "clients": used.clients.iter().map(client).collect::<Vec<_>>(),
        "requests_of_other_clients": used.by_others,
        "leaked_at": used.leaked.map(time),
    })
}

fn client(used: &ClientUse) -> Value {
    json!({
        "client": used.client.to_string(),
        "requests": used.requests,
        "last_used_seconds_ago": used.last.map(seconds),
    })
}

fn backend(backend: &Backend) -> Value {
    let (state, failing, left_alone) = match backend.state {
        BackendState::Works => ("works", None, None),
        BackendState::Fails(since) => ("fails", Some(since), None),
        BackendState::LeftAlone(since, left) => ("left_alone", Some(since), Some(left)),
        BackendState::ToBeTried(since) => ("to_be_tried", Some(since), None),
        BackendState::Unresolved => ("unresolved", None, None),
    };
    let answers = backend
        .totals
        .answers
        .iter()
        .filter(|(_, count)| *count > 0);
    let answers = answers.map(|(class, count)| {
        json!({
            "class": class,
            "answers": count,
        })
    });
    json!({
        "backend": backend.name,
        "state": state,
        "failing_for_seconds": failing.map(seconds),
        "left_alone_for_seconds": left_alone.map(seconds),
        "answers": answers.collect::<Vec<_>>(),
        "failures": backend.totals.failures,
        "secret_refused_last_10_minutes": backend.refused.map_or(0, |refused| refused.times),
        "secret_refused_now": backend.refused.is_some_and(|refused| !refused.is_over),
        "secret_refused_seconds_ago": backend.refused.map(|refused| seconds(refused.last)),
    })
}

/// What has not happened is left out, as on the page.
fn verdict(count: &VerdictCount) -> Option<Value> {
    let verdict = json!({
        "verdict": count.verdict,
        "status": count.status,
        "requests": count.requests,
    });
    (count.requests > 0).then_some(verdict)
}

/// The samples of the plot, the oldest one first.
fn rates(rates: &[Rates]) -> Vec<Value> {
    let rates = rates.iter().filter(|rates| rates.ago <= REACH);
    let rate = |rates: &Rates| {
        json!({
            "seconds_ago": seconds(rates.ago),
            "let_in": thousandths(rates.let_in),
            "denied": thousandths(rates.denied),
            "failed": thousandths(rates.failed),
        })
    };
    rates.map(rate).collect()
}

fn connections(connections: &Connections) -> Value {
    let closed = connections.closed.iter().map(|(reason, count)| {
        json!({
            "reason": reason,
            "connections": count,
        })
    });
    json!({
        "accepted": connections.accepted,
        "open": connections.open,
        "closed": closed.collect::<Vec<_>>(),
    })
}

fn certificates(snapshot: &Snapshot) -> Vec<Value> {
    let certificate = |certificate: &CertificateState| {
        json!({
            "file": certificate.file,
            "names": certificate.names,
            "not_after": time(certificate.not_after),
            "ends_in_seconds": seconds(certificate.left(snapshot.now)),
        })
    };
    snapshot.certificates.iter().map(certificate).collect()
}

fn denied(denied: &DeniedClient) -> Value {
    json!({
        "client": denied.client.to_string(),
        "denials": denied.denials,
        "reason": denied.reason,
        "path": denied.path,
        "last_denied_seconds_ago": seconds(denied.last),
    })
}
