//! `origin-guard probe`: asks an origin from outside whether the gateway alone gets in.
//!
//! It works against any origin. The right secret goes over https with a verified
//! certificate, or to loopback that the URL itself names, and to the URL's host alone;
//! everything else gets random bytes. Sockets block, with deadlines: nobody else waits.
//! `check` asks backends and origins by the same `answer`, and whether the secret is taken
//! by `right_secret`.

pub(crate) mod answer;
mod args;
mod certificate;
mod check;
pub(crate) mod connection;
mod judge;
mod plan;
mod report;
pub(crate) mod right_secret;
mod rules;
mod run;
mod sender;
mod target;
mod tells;

pub use args::{ProbeArgs, parse};
pub use report::Report;
pub use rules::table;
pub use run::run;
pub use sender::ProbeError;
