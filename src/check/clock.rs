//! Whether the clock can be right.

use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::finding::{Finding, Level};
use crate::rfc3339;

/// When this program was there already: 2026-01-01.
const WRITTEN: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn look(config: &Config, findings: &mut Vec<Finding>) {
    let now = SystemTime::now();
    if now < SystemTime::UNIX_EPOCH + WRITTEN {
        let shown = rfc3339::text(now.max(SystemTime::UNIX_EPOCH));
        findings.push(Finding::new(
            Level::Warning,
            "clock",
            format_args!("it says {shown}, which is before this program was written"),
            "set it (timedatectl set-ntp true): certificates and keys are good by it",
        ));
    }
    let keys = config
        .gateway
        .as_ref()
        .and_then(|gateway| gateway.keys.as_ref());
    let early = keys.map_or(0, |keys| keys.made_later());
    if early > 0 {
        findings.push(Finding::new(
            Level::Warning,
            "API_KEYS_FILE",
            format_args!(
                "by this clock {early} of its keys are made in the future, and refused until then"
            ),
            "set the clock (timedatectl set-ntp true), here or where the keys are made",
        ));
    }
}
