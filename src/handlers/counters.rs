//! What several handlers count.

use crate::metrics::{Counter, Family, declare_counters};

/// A request counts once: with what was decided on it.
pub(crate) static REQUESTS: Family = Family {
    name: "origin_guard_requests_total",
    help: "Requests by what was decided on them, with the status of the answer.",
};
static SECRETS: Family = Family {
    name: "origin_guard_secret_used_total",
    help: "Requests let in by which secret; one that is previous can be dropped when nobody uses it. It is none where a certificate is enough.",
};

declare_counters! {
    pub(super) TABLE:
    pub(crate) NO_SECRET = REQUESTS r#"verdict="no_secret",status="401""#;
    pub(crate) INVALID_SECRET = REQUESTS r#"verdict="invalid_secret",status="401""#;
    pub(crate) REPEATED_SECRET = REQUESTS r#"verdict="repeated_secret",status="401""#;
    pub(crate) MISCONFIGURED = REQUESTS r#"verdict="misconfigured",status="500""#;
    pub(super) METHOD_NOT_ALLOWED = REQUESTS r#"verdict="method_not_allowed",status="405""#;
    LOOP_DETECTED = REQUESTS r#"verdict="loop",status="508""#;
    pub(super) NOT_FOUND = REQUESTS r#"verdict="not_found",status="404""#;
    pub(super) HEALTHY = REQUESTS r#"verdict="healthy",status="200""#;
    pub(super) OPTIONS = REQUESTS r#"verdict="options",status="204""#;
    REFUSED_400 = REQUESTS r#"verdict="bad_request",status="400""#;
    REFUSED_408 = REQUESTS r#"verdict="bad_request",status="408""#;
    REFUSED_413 = REQUESTS r#"verdict="bad_request",status="413""#;
    REFUSED_414 = REQUESTS r#"verdict="bad_request",status="414""#;
    REFUSED_417 = REQUESTS r#"verdict="bad_request",status="417""#;
    REFUSED_431 = REQUESTS r#"verdict="bad_request",status="431""#;
    REFUSED_501 = REQUESTS r#"verdict="bad_request",status="501""#;
    REFUSED_505 = REQUESTS r#"verdict="bad_request",status="505""#;
    REFUSED_503 = REQUESTS r#"verdict="overload",status="503""#;
    FAILED = REQUESTS r#"verdict="failed",status="500""#;
    pub(super) SECRET_CURRENT = SECRETS r#"secret="current""#;
    pub(crate) SECRET_PREVIOUS = SECRETS r#"secret="previous""#;
    pub(super) SECRET_NONE = SECRETS r#"secret="none""#;
}

/// What counts a request that the loop refuses with `status`.
pub(super) fn refused(status: u16) -> &'static Counter {
    match status {
        408 => &REFUSED_408,
        413 => &REFUSED_413,
        414 => &REFUSED_414,
        417 => &REFUSED_417,
        431 => &REFUSED_431,
        500 => &FAILED,
        501 => &REFUSED_501,
        503 => &REFUSED_503,
        505 => &REFUSED_505,
        508 => &LOOP_DETECTED,
        _ => &REFUSED_400,
    }
}
