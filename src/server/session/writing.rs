//! What goes to the client, and the close in stages after the last of it.

use std::time::Instant;

use super::{Action, Session, State};
use crate::net::Write;
use crate::server::counters;

/// Answers that may wait for a slow reader; past it reading stops.
const OUTPUT_FULL: usize = 64 * 1024;

impl Session {
    /// Whether the peer takes so little that reading on would only heap up answers.
    pub(super) fn output_full(&self) -> bool {
        self.output.len() >= OUTPUT_FULL
    }

    /// Whether the peer has yet to take anything that is meant for it.
    pub(super) fn waits_for_peer(&self) -> bool {
        !self.output.is_empty() || self.transport.unflushed() > 0
    }

    pub(super) fn write_output(&mut self) -> Write {
        let flushed = match self.transport.flush() {
            Write::Bytes(flushed) => flushed,
            failed @ Write::Failed(_) => return failed,
        };
        if self.output.is_empty() {
            return Write::Bytes(flushed);
        }
        match self.transport.write(&self.output) {
            Write::Bytes(taken) => {
                self.output.drain(..taken);
                Write::Bytes(flushed + taken)
            }
            failed @ Write::Failed(_) => failed,
        }
    }

    /// Writes what waits, and closes in stages once the last answer is out.
    pub(super) fn write(&mut self, now: Instant) -> Action {
        if self.waits_for_peer() {
            let sent = match self.write_output() {
                Write::Bytes(sent) => sent,
                Write::Failed(_) => return Action::Close(&counters::CLOSED_ERROR),
            };
            if self.waits_for_peer() {
                if sent > 0 || self.written.is_none() {
                    self.written = Some(now);
                }
                return Action::Wait;
            }
        }
        self.forwarded_waits = false;
        if self.written.take().is_some() && self.state == State::Idle {
            self.since = now;
        }
        match self.state {
            State::Closing { linger } => {
                if self.transport.shutdown_write().is_err() {
                    return Action::Close(self.reason);
                }
                self.enter(
                    if linger && !self.read_closed {
                        State::Lingering(now)
                    } else {
                        State::Finishing
                    },
                    now,
                );
                self.finish()
            }
            State::Finishing => self.finish(),
            _ if self.unparsed => Action::RunAgain,
            _ => Action::Wait,
        }
    }

    /// Closes once the peer has closed its side and has taken everything.
    pub(super) fn finish(&self) -> Action {
        if self.read_closed && self.transport.is_finished() {
            return Action::Close(self.reason);
        }
        Action::Wait
    }
}
