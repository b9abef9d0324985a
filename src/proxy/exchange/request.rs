//! The request on its way to the backend.

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::{Answer, Exchange, ExchangeContext};
use crate::net::{Read, Write};
use crate::proxy::client_end::ClientEnd;
use crate::proxy::failure::Failure;
use crate::proxy::relay::Relay;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Exchange {
    /// Whether a part of the request is not sent yet, or has not come.
    pub(super) fn has_more_to_send(&self) -> bool {
        !(self.head_sent && self.request.is_done() && self.to_backend.is_empty())
    }

    /// Sends what there is of the request.
    pub(super) fn send_request(
        &mut self,
        client: &mut ClientEnd<'_>,
        context: &mut ExchangeContext<'_>,
    ) -> Result<bool, Failure> {
        let now = context.attempt.now;
        if self.request_broken || self.attempt.connected().is_none() {
            return Ok(false);
        }
        let mut moved = false;
        if !self.head_sent {
            self.head_sent = true;
            self.client_since = now;
            self.backend_since = now;
            if self.may_go_again() {
                self.send_kept_head();
            } else {
                self.to_backend = std::mem::take(&mut self.head);
            }
            if std::mem::take(&mut self.wants_continue) && client.input.is_empty() {
                client.output.extend_from_slice(CONTINUE);
            }
            moved = true;
        }
        if !self.request.is_done() && (moved || self.to_backend.is_empty()) {
            moved |= self.take_body(client, context)?;
        }
        if self.to_backend.is_empty() && self.flush_records() {
            return Ok(moved);
        }
        let Some(connection) = self.attempt.connected() else {
            return Ok(moved);
        };
        if !connection.transport.is_writable() {
            return Ok(moved);
        }
        match connection.transport.write(&self.to_backend) {
            Write::Bytes(sent) => {
                self.to_backend.drain(..sent);
                // What has been taken no longer costs memory.
                if self.to_backend.capacity() > 2 * self.to_backend.len() {
                    self.to_backend.shrink_to_fit();
                }
                moved |= sent > 0;
                if sent > 0 {
                    self.backend_since = now;
                    self.client_since = now;
                }
            }
            Write::Failed(error) => self.break_request(&error),
        }
        self.close_tunnel_to_backend();
        Ok(moved)
    }

    /// Sends a head that may have to go again, and is not copied for that where the backend
    /// takes it. It has no body.
    fn send_kept_head(&mut self) {
        let Some(connection) = self.attempt.connected() else {
            return;
        };
        let mut sent = 0;
        if connection.transport.is_writable() {
            match connection.transport.write(&self.head) {
                Write::Bytes(taken) => sent = taken,
                Write::Failed(error) => return self.break_request(&error),
            }
        }
        self.to_backend.extend_from_slice(&self.head[sent..]);
    }

    /// Writes what TLS holds for the backend. `true` where nothing waits any more.
    fn flush_records(&mut self) -> bool {
        let Some(connection) = self.attempt.connected() else {
            return true;
        };
        match connection.transport.flush() {
            Write::Bytes(_) => connection.transport.unflushed() == 0,
            Write::Failed(error) => {
                self.break_request(&error);
                true
            }
        }
    }

    /// Reads some of the body, and sends it or puts it behind what waits.
    fn take_body(
        &mut self,
        client: &mut ClientEnd<'_>,
        context: &mut ExchangeContext<'_>,
    ) -> Result<bool, Failure> {
        let now = context.attempt.now;
        let relay = context.attempt.relay;
        if !client.input.is_empty() {
            let input = std::mem::take(client.input);
            let taken = self.pass_body(&input, relay, now)?;
            *client.input = input[taken..].to_vec();
            return Ok(taken > 0);
        }
        if !client.transport.is_readable() {
            return Ok(false);
        }
        match client.transport.read(&mut context.buffer[..context.most]) {
            Read::Bytes(count) => {
                let input = &context.buffer[..count];
                let taken = self.pass_body(input, relay, now)?;
                *client.input = input[taken..].to_vec();
                Ok(true)
            }
            Read::Blocked => Ok(false),
            Read::Nothing => Ok(true),
            Read::End if self.request.end_of_input(&mut self.to_backend) => {
                self.close_tunnel_to_backend();
                Ok(true)
            }
            Read::End => Err(Failure::BodyIncomplete),
            Read::Failed(_) => Err(Failure::ClientGone),
        }
    }

    fn pass_body(&mut self, input: &[u8], relay: &Relay, now: Instant) -> Result<usize, Failure> {
        let (taken, data) = self
            .request
            .take(input, &mut self.to_backend, &relay.own, None)
            .map_err(|error| Failure::BodyMalformed(error.reason))?;
        if relay
            .limits
            .body_bytes
            .is_some_and(|most| self.request.passed() > most)
            && self.answer != Answer::Tunnel
        {
            return Err(Failure::BodyTooLarge);
        }
        if taken > 0 {
            self.body_gone = true;
            self.head = Vec::new();
        }
        self.client_since = now;
        if data.is_empty() {
            return Ok(taken);
        }
        let mut sent = 0;
        if self.to_backend.is_empty()
            && let Some(connection) = self.attempt.connected()
            && connection.transport.is_writable()
        {
            match connection.transport.write(data) {
                Write::Bytes(count) => {
                    sent = count;
                    self.backend_since = now;
                }
                Write::Failed(error) => {
                    self.break_request(&error);
                    return Ok(taken);
                }
            }
        }
        self.to_backend.extend_from_slice(&data[sent..]);
        Ok(taken)
    }

    /// The backend takes no more. It may have answered before it closed its side.
    fn break_request(&mut self, error: &io::Error) {
        self.request_broken = true;
        // EPIPE is what a write meets where the backend has closed its side before.
        self.was_reset |= error.kind() != ErrorKind::BrokenPipe;
        self.to_backend = Vec::new();
        if let Some(connection) = self.attempt.connected() {
            connection.transport.expect_end();
        }
    }

    /// What the client has closed is closed towards the backend, too.
    fn close_tunnel_to_backend(&mut self) {
        if self.answer == Answer::Tunnel
            && self.request.is_done()
            && self.to_backend.is_empty()
            && let Some(connection) = self.attempt.connected()
            && let Err(error) = connection.transport.shutdown_write()
        {
            self.break_request(&error);
        }
    }
}
