//! `origin-guard probe`, against origins with and without this program: every hole found,
//! no false alarm, and no secret where it must not go.

#[path = "probe/asked.rs"]
mod asked;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "tls/authority.rs"]
mod authority;
#[path = "probe/manners.rs"]
mod manners;
#[path = "probe/nginx.rs"]
mod nginx;
#[path = "probe/origins.rs"]
mod origins;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "probe/recorder.rs"]
mod recorder;
mod support;
#[path = "probe/words.rs"]
mod words;
