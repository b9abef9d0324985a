//! What is counted, of all layers: which tables there are, the line that systemd shows, and
//! what the operator's listener shows.

pub mod history;
mod html;
mod json;
mod leaks;
pub mod overview;
mod page;
pub mod refusals;
pub mod snapshot;
pub(crate) mod words;

use crate::handlers::{self, counters as decisions, front, origin};
use crate::metrics::{self, Totals};
use crate::proxy::counters as backends;
use crate::server::counters as connections;
use crate::{key_uses, reload};

/// Registers what each layer counts. No thread counts before that.
pub fn start() {
    metrics::start();
    let tables = [connections::COUNTERS, connections::LEVELS];
    let tables = tables
        .into_iter()
        .chain(handlers::TABLES)
        .chain(reload::TABLES)
        .chain([key_uses::TABLE, leaks::TABLE]);
    tables.for_each(metrics::register);
}

/// `connections=12 requests=345 granted=333 by_previous=0 denied=12`, for systemd's
/// `STATUS=`; behind it ` forwarded=330 failed=3` where there is a backend; before it
/// `RELOAD FAILED file=keys, see the log;` where that is so.
#[must_use]
pub fn line() -> String {
    let totals = Totals::now();
    let sum = |counters: &[_]| -> u64 { counters.iter().map(|&each| totals.of(each)).sum() };
    let failed: Vec<_> = reload::failed_files().collect();
    let failed = if failed.is_empty() {
        String::new()
    } else {
        format!("RELOAD FAILED file={}, see the log; ", failed.join(","))
    };
    let forwarded = totals.family(&backends::RESPONSES).map(|forwarded| {
        let failed = totals.family(&backends::FAILURES).unwrap_or_default();
        format!(" forwarded={forwarded} failed={failed}")
    });
    failed
        + &format!(
            "connections={} requests={} granted={} by_previous={} denied={}",
            totals.level(&connections::OPEN),
            totals.family(&decisions::REQUESTS).unwrap_or_default(),
            sum(&[&origin::GRANTED, &front::FORWARDED]),
            sum(&[&decisions::SECRET_PREVIOUS]),
            sum(&[
                &decisions::NO_SECRET,
                &decisions::INVALID_SECRET,
                &decisions::REPEATED_SECRET,
                &decisions::MISCONFIGURED,
            ]),
        )
        + &forwarded.unwrap_or_default()
}
