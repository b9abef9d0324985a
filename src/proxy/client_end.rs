//! The client's end of an exchange.

use std::time::Instant;

use super::failure::Failure;
use crate::net::{Transport, Write};

/// The client's end of an exchange.
pub struct ClientEnd<'a> {
    /// Its connection.
    pub transport: &'a mut Transport,
    /// What has been read from it and is not done with.
    pub input: &'a mut Vec<u8>,
    /// What waits to be written to it.
    pub output: &'a mut Vec<u8>,
    /// When it last took some of the output that waits.
    pub written: &'a mut Option<Instant>,
}

impl ClientEnd<'_> {
    /// Writes what waits. `Ok(true)` where nothing waits any more.
    ///
    /// # Errors
    ///
    /// The client is gone.
    pub fn flush(&mut self, now: Instant) -> Result<bool, Failure> {
        if self.is_flushed() {
            return Ok(true);
        }
        if !self.transport.is_writable() {
            self.written.get_or_insert(now);
            return Ok(false);
        }
        match self.write() {
            Write::Bytes(sent) => {
                if self.is_flushed() {
                    *self.written = None;
                } else if sent > 0 || self.written.is_none() {
                    *self.written = Some(now);
                }
                Ok(self.is_flushed())
            }
            Write::Failed(_) => Err(Failure::ClientGone),
        }
    }

    fn write(&mut self) -> Write {
        let flushed = match self.transport.flush() {
            Write::Bytes(flushed) => flushed,
            failed @ Write::Failed(_) => return failed,
        };
        if self.output.is_empty() {
            return Write::Bytes(flushed);
        }
        match self.transport.write(self.output) {
            Write::Bytes(taken) => {
                self.output.drain(..taken);
                Write::Bytes(flushed + taken)
            }
            failed @ Write::Failed(_) => failed,
        }
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty() && self.transport.unflushed() == 0
    }

    /// Writes `data` behind what waits, without a copy where nothing does.
    pub(super) fn send(&mut self, data: &[u8], now: Instant) -> Result<(), Failure> {
        if !self.output.is_empty() {
            self.output.extend_from_slice(data);
            return Ok(());
        }
        match self.transport.write(data) {
            Write::Bytes(sent) => {
                self.output.extend_from_slice(&data[sent..]);
                if !self.is_flushed() {
                    *self.written = Some(now);
                }
                Ok(())
            }
            Write::Failed(_) => Err(Failure::ClientGone),
        }
    }
}
