//! The API key that a request presents, and what is counted of it.

use std::hint::black_box;

use super::counters::REQUESTS;
use crate::keys::{Exceeded, KeyVerdict};
use crate::metrics::{Counter, declare_counters};

/// The header whose value is a scheme and credentials (RFC 9110, section 11.6.2).
const AUTHORIZATION: &str = "Authorization";
const SCHEME: &str = "Bearer";

declare_counters! {
    pub(super) COUNTERS:
    KEY_GRANTED = REQUESTS r#"verdict="key_granted",status="200""#;
    KEY_ABSENT = REQUESTS r#"verdict="no_key",status="401""#;
    KEY_MALFORMED = REQUESTS r#"verdict="malformed_key",status="401""#;
    KEY_UNKNOWN = REQUESTS r#"verdict="unknown_key",status="401""#;
    KEY_REVOKED = REQUESTS r#"verdict="revoked_key",status="401""#;
    KEY_EXPIRED = REQUESTS r#"verdict="expired_key",status="401""#;
    KEY_CLOCK_BEFORE_CREATED = REQUESTS r#"verdict="clock_before_created",status="401""#;
    KEY_RATE_LIMITED = REQUESTS r#"verdict="rate_limited",status="429""#;
    KEY_GUESSED = REQUESTS r#"verdict="guessing",status="429""#;
    KEY_CONCURRENT = REQUESTS r#"verdict="too_many_concurrent",status="429""#;
    KEY_MISCONFIGURED = REQUESTS r#"verdict="key_misconfigured",status="500""#;
}

/// What a request presents.
pub(super) enum Presented<'a> {
    Nothing,
    /// No key can be read from it.
    Nonsense,
    Text(&'a [u8]),
}

/// What stands in the field `header`: `Authorization` with the scheme `Bearer` (RFC 6750,
/// section 2.1), or another one with the key alone. Twice is nonsense.
pub(super) fn presented<'a>(
    header: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Presented<'a> {
    let mut values = fields.filter(|(name, _)| name.eq_ignore_ascii_case(header));
    let value = match (values.next(), values.next()) {
        (None, _) => return Presented::Nothing,
        (Some((_, value)), None) => value.trim_ascii(),
        (Some(_), Some(_)) => return Presented::Nonsense,
    };
    if value.is_empty() {
        return Presented::Nothing;
    }
    if !header.eq_ignore_ascii_case(AUTHORIZATION) {
        return Presented::Text(value);
    }
    let space = value.iter().position(|&byte| byte == b' ');
    let (scheme, credentials) = value.split_at(space.unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) {
        return Presented::Nonsense;
    }
    match credentials.trim_ascii_start() {
        [] => Presented::Nothing,
        key => Presented::Text(key),
    }
}

/// What counts a request past a limit.
pub(super) fn limit_counter(exceeded: Exceeded) -> &'static Counter {
    match exceeded {
        Exceeded::Rate(..) => &KEY_RATE_LIMITED,
        Exceeded::Concurrent => &KEY_CONCURRENT,
        Exceeded::Guessing(_) => &KEY_GUESSED,
    }
}

/// Whether it is the answer to a text that is not a good key.
pub(super) fn is_invalid(verdict: KeyVerdict) -> bool {
    matches!(
        verdict,
        KeyVerdict::Malformed | KeyVerdict::Unknown | KeyVerdict::Revoked | KeyVerdict::Expired
    )
}

/// Counts a verdict. Each of the counters is written to, because a branch for each kind, or
/// one whose memory is less at hand, would show in the time.
pub(super) fn count(verdict: KeyVerdict) {
    for (counted, counter) in KeyVerdict::ALL.into_iter().zip(COUNTER_OF) {
        counter.add(black_box(u64::from(counted as usize == verdict as usize)));
    }
}

static COUNTER_OF: [&Counter; KeyVerdict::ALL.len()] = {
    let mut counters = [&KEY_GRANTED; KeyVerdict::ALL.len()];
    let mut at = 0;
    while at < counters.len() {
        counters[at] = counter_of(KeyVerdict::ALL[at]);
        at += 1;
    }
    counters
};

const fn counter_of(verdict: KeyVerdict) -> &'static Counter {
    match verdict {
        KeyVerdict::Granted => &KEY_GRANTED,
        KeyVerdict::NoKey => &KEY_ABSENT,
        KeyVerdict::Malformed => &KEY_MALFORMED,
        KeyVerdict::Unknown => &KEY_UNKNOWN,
        KeyVerdict::Revoked => &KEY_REVOKED,
        KeyVerdict::Expired => &KEY_EXPIRED,
        KeyVerdict::ClockBeforeCreated => &KEY_CLOCK_BEFORE_CREATED,
        KeyVerdict::Misconfigured => &KEY_MISCONFIGURED,
    }
}
