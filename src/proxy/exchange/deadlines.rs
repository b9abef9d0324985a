//! What an exchange waits for, and for how long.

use std::time::Instant;

use super::{Answer, Exchange};
use crate::proxy::failure::Failure;
use crate::proxy::relay::Relay;

impl Exchange {
    /// When it is to be looked at again; `written` is when the client last took some of
    /// the output that waits.
    #[must_use]
    pub fn deadline(&self, written: Option<Instant>, relay: &Relay) -> Option<Instant> {
        let waits = self.waits(written, relay).map(|(at, _)| at);
        let waits = waits.into_iter().chain(self.attempt.deadline());
        waits.min()
    }

    /// What it has waited for in vain.
    #[must_use]
    pub fn expired(
        &self,
        written: Option<Instant>,
        relay: &Relay,
        now: Instant,
    ) -> Option<Failure> {
        self.waits(written, relay)
            .filter(|&(at, _)| at <= now)
            .min_by_key(|&(at, _)| at)
            .map(|(_, failure)| failure)
    }

    fn waits(
        &self,
        written: Option<Instant>,
        relay: &Relay,
    ) -> impl Iterator<Item = (Instant, Failure)> + use<> {
        let is_tunnel = self.answer == Answer::Tunnel;
        let has_answered = self.has_answered();
        let moved = self.client_since.max(self.backend_since);
        // Who has the answer need not send the rest of its body.
        let reads_client = self.head_sent
            && !has_answered
            && !self.request.is_done()
            && !self.request_broken
            && self.to_backend.is_empty();
        let writes_backend = !self.to_backend.is_empty();
        let reads_backend = self.head_sent
            && (self.request.is_done() || self.request_broken || has_answered)
            && self.to_backend.is_empty();
        // A backend whose answer we do not read may read nothing from us.
        let waits_for_backend = written.is_none() && (writes_backend || reads_backend);
        let wait = |waits: bool, at: Instant, failure| waits.then_some((at, failure));
        let client = written.unwrap_or(moved) + relay.write_timeout;
        let waits = [
            wait(written.is_some(), client, Failure::WriteTimeout),
            wait(
                is_tunnel,
                moved + relay.limits.tunnel_idle_timeout,
                Failure::TunnelIdle,
            ),
            wait(
                reads_client,
                self.client_since + relay.limits.body_timeout,
                Failure::BodyTimeout,
            ),
            wait(
                !is_tunnel && waits_for_backend,
                self.backend_since + relay.limits.answer_timeout,
                Failure::Timeout,
            ),
        ];
        waits.into_iter().flatten()
    }
}
