//! What the loop counts.

use crate::metrics::{Counter, Family, Gauge, Histogram, SHORT, Series, declare_counters};

static ACCEPTED_FAMILY: Family = Family {
    name: "origin_guard_connections_accepted_total",
    help: "Connections accepted.",
};
/// Connections that have ended.
pub(crate) static CLOSED: Family = Family {
    name: "origin_guard_connections_closed_total",
    help: "Connections closed, by the reason.",
};
static OPEN_FAMILY: Family = Family {
    name: "origin_guard_connections_open",
    help: "Connections that are open.",
};
static ANSWERS_FAMILY: Family = Family {
    name: "origin_guard_answer_seconds",
    help: "From a request's arrival at the worker to its answer's handing over to the kernel.",
};

declare_counters! {
    pub(crate) COUNTERS:
    pub(crate) ACCEPTED = ACCEPTED_FAMILY "";
    pub(super) CLOSED_PEER = CLOSED r#"reason="peer""#;
    pub(super) CLOSED_ANSWERED = CLOSED r#"reason="answered""#;
    pub(super) CLOSED_REFUSED = CLOSED r#"reason="refused""#;
    pub(super) CLOSED_NOT_ALLOWED = CLOSED r#"reason="not_allowed""#;
    pub(super) CLOSED_IDLE = CLOSED r#"reason="idle""#;
    pub(super) CLOSED_HEAD_TIMEOUT = CLOSED r#"reason="head_timeout""#;
    pub(super) CLOSED_BODY_TIMEOUT = CLOSED r#"reason="body_timeout""#;
    pub(super) CLOSED_WRITE_TIMEOUT = CLOSED r#"reason="write_timeout""#;
    pub(super) CLOSED_SHED = CLOSED r#"reason="shed""#;
    pub(super) CLOSED_FULL = CLOSED r#"reason="full""#;
    pub(super) CLOSED_MEMORY = CLOSED r#"reason="memory""#;
    pub(super) CLOSED_DRAIN = CLOSED r#"reason="drain""#;
    pub(super) CLOSED_ERROR = CLOSED r#"reason="error""#;
}

/// Connections that are open.
pub(crate) static OPEN: Gauge = Gauge::new();
/// How long answers of our own take.
pub(super) static ANSWERS: Histogram = Histogram::new(&SHORT);

/// What is not a counter.
pub(crate) static LEVELS: &[Series] = &[
    OPEN.series(&OPEN_FAMILY, ""),
    ANSWERS.series(&ANSWERS_FAMILY, ""),
];

pub(super) fn accepted() {
    ACCEPTED.increment();
    OPEN.increment();
}

pub(super) fn closed(reason: &Counter) {
    reason.increment();
    OPEN.decrement();
}
