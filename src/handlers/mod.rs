//! Which paths a door serves: plain functions `&Request -> Response`.

pub mod admin;
pub(crate) mod counters;
pub mod front;
pub mod gateway;
pub mod origin;
mod request_log;
pub mod responses;

use crate::metrics::Series;

/// What the handlers count.
pub(crate) static TABLES: [&[Series]; 4] = [
    origin::COUNTERS,
    front::COUNTERS,
    counters::TABLE,
    gateway::COUNTERS,
];
