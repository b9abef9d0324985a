//! `/status`: what `origin-guard secret` and `origin-guard health` ask a running guard.
//!
//! A secret is named by its place alone, the current one is the first. A digest or a part
//! of one would let whoever reads this try guesses without asking the guard, and a key of
//! the process's own would tell nothing that the place does not.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::snapshot::{Backend, Snapshot};
use crate::auth::usage::{ClientUse, SecretUse};
use crate::proxy::upstream::BackendState;

/// Seconds, with thousandths.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The text of the answer.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let secrets = &snapshot.secrets;
    let read_at = secrets.read_at.duration_since(SystemTime::UNIX_EPOCH);
    let tally = &snapshot.tally;
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ok": snapshot.is_ok(),
        "problems": snapshot.problems(),
        "uptime_seconds": seconds(snapshot.uptime),
        "secrets": {
            "source": secrets.source,
            "read_at": seconds(read_at.unwrap_or_default()),
            "checked": secrets.are_checked,
            "sent": secrets.is_sent,
            "used": secrets.used.iter().map(secret).collect::<Vec<_>>(),
        },
        "requests": {
            "let_in": tally.let_in,
            "denied": tally.denied,
            "failed": tally.failed,
        },
        "connections_open": snapshot.connections.open,
        "backends": snapshot.backends.iter().map(backend).collect::<Vec<_>>(),
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
    json!({
        "backend": backend.name,
        "state": state,
        "failing_for_seconds": failing.map(seconds),
        "left_alone_for_seconds": left_alone.map(seconds),
        "failures": backend.totals.failures,
        "secret_refused_last_10_minutes": backend.refused.map_or(0, |refused| refused.times),
    })
}
