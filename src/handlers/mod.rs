//! Which paths a listener serves: plain functions `&Request -> Response`.

pub mod admin;
mod api_key;
mod cors;
pub(crate) mod counters;
pub mod denied;
pub mod edge;
pub mod front;
pub mod gateway;
pub mod guesses;
pub mod origin;
pub mod redirect;
mod request_log;
pub mod responses;

use crate::metrics::Series;

/// What the handlers count.
pub(crate) static TABLES: [&[Series]; 6] = [
    origin::COUNTERS,
    front::COUNTERS,
    counters::TABLE,
    api_key::COUNTERS,
    edge::COUNTERS,
    redirect::COUNTERS,
];
