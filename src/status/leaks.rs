//! What Prometheus is shown of secrets and keys that came in the clear.

use crate::auth::usage::SecretUse;
use crate::keys::LeakedKey;
use crate::metrics::{Family, Series, Value};

static LEAKED: Family = Family {
    name: "origin_guard_leaked_credentials",
    help: "Secrets and API keys that came in plain HTTP and are still good.",
};
static SECRETS: Value = Value::new();
static KEYS: Value = Value::new();

/// How many there are.
pub(super) static TABLE: &[Series] = &[
    SECRETS.series(&LEAKED, r#"what="secret""#),
    KEYS.series(&LEAKED, r#"what="key""#),
];

/// Takes note of how many there are now.
pub(super) fn show(secrets: &[SecretUse], keys: &[LeakedKey]) {
    let secrets = secrets.iter().filter(|used| used.leaked.is_some());
    SECRETS.set(number(secrets.count()));
    KEYS.set(number(keys.len()));
}

/// There are never many.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
