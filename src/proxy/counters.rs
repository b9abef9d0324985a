//! What is counted of forwarded requests, by backend.

use super::failure::Failure;
use super::refused_requests::RefusedRequests;
use crate::metrics::{
    self, Counter, Family, Gauge, Histogram, LONG, SHORT, Series, Totals, declare_counters, labels,
};

/// Final answers of backends.
pub(crate) static RESPONSES: Family = Family {
    name: "origin_guard_backend_responses_total",
    help: "Answers of a backend, by the class of their status; 1xx are tunnels.",
};
/// What backends did wrong.
pub(crate) static FAILURES: Family = Family {
    name: "origin_guard_backend_failures_total",
    help: "Failures of a backend, by the reason. One that takes no connection is counted even if another one answers.",
};
static RETRIES: Family = Family {
    name: "origin_guard_backend_retries_total",
    help: "Requests that went to a backend once more, because a kept connection had ended.",
};
static SENT: Family = Family {
    name: "origin_guard_backend_sent_bytes_total",
    help: "Bytes of bodies and tunnels on their way to a backend.",
};
static RECEIVED: Family = Family {
    name: "origin_guard_backend_received_bytes_total",
    help: "Bytes of bodies and tunnels on their way from a backend.",
};
static SECONDS: Family = Family {
    name: "origin_guard_backend_seconds",
    help: "From the last byte of a request that a backend was sent to the end of its answer's head.",
};
static ADDED_FAMILY: Family = Family {
    name: "origin_guard_added_seconds",
    help: "What the guard adds to the time of a forwarded request: from its arrival to its sending, and from the arrival of the answer's head to its sending.",
};
static OPEN_FAMILY: Family = Family {
    name: "origin_guard_backend_connections_open",
    help: "Connections to backends.",
};
static IDLE_FAMILY: Family = Family {
    name: "origin_guard_backend_connections_idle",
    help: "Connections to backends that no request uses.",
};
static ENDED: Family = Family {
    name: "origin_guard_exchanges_broken_total",
    help: "Forwarded requests that ended before their answer did, by the reason, where the backend is not at fault.",
};

declare_counters! {
    BROKEN:
    BODY_TIMEOUT = ENDED r#"reason="body_timeout""#;
    BODY_INCOMPLETE = ENDED r#"reason="incomplete_body""#;
    BODY_TOO_LARGE = ENDED r#"reason="body_too_large""#;
    WRITE_TIMEOUT = ENDED r#"reason="write_timeout""#;
    CLIENT_GONE = ENDED r#"reason="client_gone""#;
    TUNNEL_IDLE = ENDED r#"reason="tunnel_idle""#;
    FULL = ENDED r#"reason="full""#;
    pub(super) CLOSED = ENDED r#"reason="closed""#;
    BODY_MALFORMED = ENDED r#"reason="malformed_body""#;
}

/// What counts an exchange that broke for a reason other than the backend's, whose failures
/// are counted by backend.
pub(super) fn broken(failure: Failure) -> Option<&'static Counter> {
    Some(match failure {
        Failure::BodyTimeout => &BODY_TIMEOUT,
        Failure::BodyIncomplete => &BODY_INCOMPLETE,
        Failure::BodyTooLarge => &BODY_TOO_LARGE,
        Failure::WriteTimeout => &WRITE_TIMEOUT,
        Failure::ClientGone => &CLIENT_GONE,
        Failure::TunnelIdle => &TUNNEL_IDLE,
        Failure::Full => &FULL,
        // Each fault of a chunked body has a reason of its own.
        Failure::BodyMalformed(_) => &BODY_MALFORMED,
        Failure::Refused
        | Failure::Unresolved
        | Failure::ConnectTimeout
        | Failure::Timeout
        | Failure::Reset
        | Failure::Tls(_)
        | Failure::Malformed(_) => return None,
    })
}

pub(super) static OPEN: Gauge = Gauge::new();
pub(super) static IDLE: Gauge = Gauge::new();
pub(super) static ADDED: Histogram = Histogram::new(&SHORT);

static LEVELS: &[Series] = &[
    OPEN.series(&OPEN_FAMILY, ""),
    IDLE.series(&IDLE_FAMILY, ""),
    ADDED.series(&ADDED_FAMILY, ""),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The reason where an origin answers 401 to the gateway's secret.
const SECRET_REFUSED: &str = "secret_refused";
const REASONS: [&str; 8] = [
    "refused",
    "unresolved",
    "connect_timeout",
    "timeout",
    "reset",
    "tls",
    "malformed",
    SECRET_REFUSED,
];

/// What is counted of one backend.
pub(super) struct BackendCounters {
    responses: [Counter; CLASSES.len()],
    failures: [Counter; REASONS.len()],
    /// The requests whose secret was refused, until one of them is let in.
    pub(super) refused: RefusedRequests,
    pub(super) retries: Counter,
    pub(super) sent: Counter,
    pub(super) received: Counter,
    pub(super) seconds: Histogram,
}

impl BackendCounters {
    fn new(backend: &str) -> Self {
        let of = |name, value| labels(&[("backend", backend), (name, value)]);
        let backend = || labels(&[("backend", backend)]);
        Self {
            responses: CLASSES.map(|class| Counter::registered(&RESPONSES, of("class", class))),
            failures: REASONS.map(|reason| Counter::registered(&FAILURES, of("reason", reason))),
            refused: RefusedRequests::default(),
            retries: Counter::registered(&RETRIES, backend()),
            sent: Counter::registered(&SENT, backend()),
            received: Counter::registered(&RECEIVED, backend()),
            seconds: Histogram::registered(&SECONDS, backend(), &LONG),
        }
    }

    pub(super) fn response(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len());
        self.responses[class - 1].increment();
    }

    /// Counts that the origin has refused the gateway's secret.
    pub(super) fn secret_refused(&self, request: u64) {
        self.failure(SECRET_REFUSED);
        self.refused.add(request);
    }

    /// Counts a failure of the backend, by one of `REASONS`.
    pub(super) fn failure(&self, reason: &str) {
        if let Some(counter) = self.of_reason(reason) {
            counter.increment();
        }
    }

    fn of_reason(&self, reason: &str) -> Option<&Counter> {
        let place = REASONS.iter().position(|known| *known == reason)?;
        Some(&self.failures[place])
    }
}

/// What a backend has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendTotals {
    /// Its answers by the class of their status, `2xx`.
    pub answers: [(&'static str, u64); CLASSES.len()],
    /// How often it failed.
    pub failures: u64,
    /// How often it has refused the gateway's secret; these are among its failures.
    pub secret_refused: u64,
    /// Whether it has let none of those requests in since.
    pub refuses_secret: bool,
}

/// What is counted of each of the backends, in their order.
pub struct RelayCounters(Box<[BackendCounters]>);

impl RelayCounters {
    /// Registers the series of `backends`.
    #[must_use]
    pub fn new<'a>(backends: impl Iterator<Item = &'a str>) -> Self {
        let counters = backends.map(BackendCounters::new).collect();
        [BROKEN, LEVELS].into_iter().for_each(metrics::register);
        Self(counters)
    }

    pub(super) fn of(&self, backend: usize) -> &BackendCounters {
        &self.0[backend]
    }

    /// What is counted of one backend: its answers by the class of their status, and its
    /// failures.
    #[must_use]
    pub fn totals(&self, backend: usize, totals: &Totals) -> BackendTotals {
        let counters = self.of(backend);
        let failures = counters.failures.iter();
        BackendTotals {
            answers: std::array::from_fn(|class| {
                (CLASSES[class], totals.of(&counters.responses[class]))
            }),
            failures: failures.map(|counter| totals.of(counter)).sum(),
            secret_refused: counters
                .of_reason(SECRET_REFUSED)
                .map_or(0, |counter| totals.of(counter)),
            refuses_secret: counters.refused.are_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_counted_in_one_place() {
        for failure in [
            Failure::Refused,
            Failure::Unresolved,
            Failure::Full,
            Failure::ConnectTimeout,
            Failure::Timeout,
            Failure::Reset,
            Failure::Tls("unknown_issuer"),
            Failure::Malformed("bare_lf"),
            Failure::BodyTimeout,
            Failure::BodyMalformed("bare_lf"),
            Failure::BodyIncomplete,
            Failure::BodyTooLarge,
            Failure::WriteTimeout,
            Failure::ClientGone,
            Failure::TunnelIdle,
        ] {
            let by_backend = REASONS.contains(&failure.reason());
            assert_ne!(by_backend, broken(failure).is_some(), "{failure}");
        }
    }
}
