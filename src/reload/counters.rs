//! What is counted of reloads.

use crate::metrics::{Family, Series, Value, declare_counters};

static RELOADS: Family = Family {
    name: "origin_guard_reloads_total",
    help: "Reloads of what SIGHUP reads again, by their result.",
};
static LAST_RELOADS: Family = Family {
    name: "origin_guard_last_reload_successful",
    help: "1 where a file is in use as it was last read, 0 where it is faulty or unreadable now.",
};

declare_counters! {
    COUNTERS:
    pub(super) RELOAD_SUCCEEDED = RELOADS r#"result="success""#;
    pub(super) RELOAD_FAILED = RELOADS r#"result="failure""#;
    pub(super) RELOAD_IGNORED = RELOADS r#"result="ignored""#;
}

/// How the last reload of each file ended; not set where there is no such file.
pub(super) static LAST_SECRETS: Value = Value::new();
pub(super) static LAST_KEYS: Value = Value::new();
pub(super) static LAST_CERTIFICATES: Value = Value::new();
pub(super) static LAST_ALLOW_FROM: Value = Value::new();

/// What is counted here.
pub(crate) static TABLES: [&[Series]; 2] = [
    COUNTERS,
    &[
        LAST_SECRETS.series(&LAST_RELOADS, r#"file="secrets""#),
        LAST_KEYS.series(&LAST_RELOADS, r#"file="keys""#),
        LAST_CERTIFICATES.series(&LAST_RELOADS, r#"file="certificates""#),
        LAST_ALLOW_FROM.series(&LAST_RELOADS, r#"file="allow_from""#),
    ],
];

/// The files whose last reload failed.
pub(crate) fn failed_files() -> impl Iterator<Item = &'static str> {
    let files = [
        ("secrets", &LAST_SECRETS),
        ("keys", &LAST_KEYS),
        ("certificates", &LAST_CERTIFICATES),
        ("allow_from", &LAST_ALLOW_FROM),
    ];
    let failed = |last: &Value| last.get().is_some_and(|last| last < 1.0);
    files
        .into_iter()
        .filter(move |(_, last)| failed(last))
        .map(|(file, _)| file)
}
