//! How long a session waits, for what, and what it does then.

use std::time::{Duration, Instant};

use super::{Action, Session, SessionContext, State};
use crate::http1::error::RequestError;
use crate::proxy::relay::Relay;
use crate::server::resources::WorkerResources;
use crate::server::{Limits, counters};

/// How long what a peer still sends after the last answer is read off, in all and
/// between bytes, so that no reset destroys the answer (RFC 9112, section 9.6). These
/// are nginx's `lingering_time` and `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_BETWEEN_BYTES: Duration = Duration::from_secs(5);

impl Session {
    pub(crate) fn deadline(&self, limits: &Limits, relay: Option<&Relay>) -> Instant {
        if let (Some(exchange), Some(relay)) = (&self.exchange, relay) {
            let deadline = exchange.deadline(self.written, relay);
            return deadline.unwrap_or(self.since + limits.idle_timeout);
        }
        if let Some(written) = self.written {
            let forwarded = relay.filter(|_| self.forwarded_waits);
            return written + forwarded.map_or(limits.write_timeout, |relay| relay.write_timeout);
        }
        match self.state {
            State::AwaitingFirstByte | State::ReadingHead | State::DiscardingBody(_) => {
                self.since + limits.head_timeout
            }
            State::Idle | State::Forwarding => self.since + limits.idle_timeout,
            State::Closing { .. } => self.since + limits.write_timeout,
            State::Lingering(began) => (began + LINGER).min(self.since + LINGER_BETWEEN_BYTES),
            State::Finishing => self.since + patience(limits, relay),
        }
    }

    /// Its deadline has passed.
    pub(crate) fn expire(
        &mut self,
        context: &SessionContext<'_>,
        resources: &mut WorkerResources,
    ) -> Action {
        if self.exchange.is_some() {
            return self.expire_in_exchange(context, resources);
        }
        let reason = match self.state {
            _ if self.written.is_some() => &counters::CLOSED_WRITE_TIMEOUT,
            State::AwaitingFirstByte => &counters::CLOSED_HEAD_TIMEOUT,
            State::Idle | State::Forwarding => &counters::CLOSED_IDLE,
            State::DiscardingBody(_) => &counters::CLOSED_BODY_TIMEOUT,
            State::Closing { .. } => &counters::CLOSED_WRITE_TIMEOUT,
            State::Lingering(_) | State::Finishing => {
                // What the peer has not taken by now would outlive its slot.
                self.transport.reset_on_close();
                self.reason
            }
            State::ReadingHead => return self.expire_in_head(context),
        };
        if reason == &counters::CLOSED_WRITE_TIMEOUT {
            self.transport.reset_on_close();
        }
        Action::Close(reason)
    }

    pub(super) fn expire_in_head(&mut self, context: &SessionContext<'_>) -> Action {
        let held = std::mem::take(&mut self.input);
        self.refuse(&RequestError::new(408, "head_timeout"), &held, context);
        self.write(context.now)
    }
}

/// How long a peer may take nothing.
pub(super) fn patience(limits: &Limits, relay: Option<&Relay>) -> Duration {
    relay.map_or(limits.write_timeout, |relay| relay.write_timeout)
}
