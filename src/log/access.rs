//! The line that the access log has of a request.

use std::fmt;

/// What is known of a request before it is answered.
#[derive(Debug)]
pub struct AccessEntry {
    /// `method=GET path=/`
    pub request: String,
    /// `client=203.0.113.7`
    pub client: String,
}

impl AccessEntry {
    /// Logs the request, with the `status` of its answer, and `more` behind it.
    pub fn write(&self, status: u16, more: fmt::Arguments<'_>) {
        let Self { request, client } = self;
        log::info!("request {request} status={status} {client}{more}");
    }
}
