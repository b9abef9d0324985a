//! `origin-guard check`: what operators get wrong is named, with the remedy, and what is in
//! order is not.

#[allow(dead_code, reason = "tests/tls.rs uses all of it")]
#[path = "tls/authority.rs"]
mod authority;
#[path = "check/checked.rs"]
mod checked;
#[path = "check/files.rs"]
mod files;
#[path = "check/machine_faults.rs"]
mod machine_faults;
#[path = "check/mistakes/mod.rs"]
mod mistakes;
#[path = "check/order.rs"]
mod order;
#[path = "check/origins.rs"]
mod origins;
#[path = "check/running.rs"]
mod running;
#[path = "check/strangers.rs"]
mod strangers;
mod support;
