//! The answer on its way to the client.

use std::time::{Instant, SystemTime};

use super::{Answer, Exchange, ExchangeContext};
use crate::http1::framing::KeepAlive;
use crate::http1::names;
use crate::http1::response::{self, ResponseBody, ResponseHead, ResponseOutcome};
use crate::http1::scan::Scan;
use crate::http1::version::Version;
use crate::net::Read;
use crate::net::tls::TlsError;
use crate::proxy::body_pipe::BodyPipe;
use crate::proxy::client_end::ClientEnd;
use crate::proxy::failure::Failure;
use crate::proxy::relay::Relay;
use crate::proxy::rewrite::{self, ClientBody, ClientSide};

/// Interim answers before the final one: a backend that sends nothing else would never be
/// timed out.
const MAX_INTERIM: u32 = 100;

/// What an answer is passed on under.
struct ToClient<'a> {
    relay: &'a Relay,
    draining: bool,
    date: &'a str,
}

impl Exchange {
    /// Receives what there is of the answer, unless the client has yet to take the last
    /// of it.
    pub(super) fn receive_answer(
        &mut self,
        client: &mut ClientEnd<'_>,
        context: &mut ExchangeContext<'_>,
    ) -> Result<bool, Failure> {
        let now = context.attempt.now;
        let waited = client.written.is_some();
        if !client.flush(now)? {
            return Ok(false);
        }
        if waited {
            // It stood still while the client did not read.
            self.backend_since = now;
        }
        if self.answer != Answer::Head && self.response.is_done() {
            self.close_tunnel_to_client(client)?;
            return Ok(waited);
        }
        let held = self.from_backend.len();
        let Some(connection) = self.attempt.connected() else {
            return Ok(waited);
        };
        if !connection.transport.is_readable() {
            return Ok(waited);
        }
        context.buffer[..held].copy_from_slice(&self.from_backend);
        let space = held + context.most;
        match connection.transport.read(&mut context.buffer[held..space]) {
            Read::Bytes(count) => {
                let bytes = &context.buffer[..held + count];
                let to_client = ToClient {
                    relay: context.attempt.relay,
                    draining: context.draining,
                    date: context.date.at(SystemTime::now()),
                };
                self.pass_answer(bytes, &to_client, client, now)?;
                client.flush(now)?;
            }
            Read::Blocked => return Ok(waited),
            Read::Nothing => {}
            Read::End => self.backend_ended(client, context)?,
            Read::Failed(_) if self.answer == Answer::Head => {
                self.no_answer(context)?;
            }
            Read::Failed(_) => return Err(Failure::Reset),
        }
        Ok(true)
    }

    fn pass_answer(
        &mut self,
        bytes: &[u8],
        to_client: &ToClient<'_>,
        client: &mut ClientEnd<'_>,
        now: Instant,
    ) -> Result<(), Failure> {
        let mut at = 0;
        let mut head_at = None;
        while self.answer == Answer::Head {
            head_at = Some(client.output.len());
            let rest = &bytes[at..];
            let mut scan = self.scan;
            let asked = self.asked;
            let outcome =
                response::read_response(rest, &mut scan, to_client.relay.max_head, asked, |head| {
                    self.pass_head(head, to_client, client);
                    head.length
                });
            self.scan = scan;
            match outcome {
                ResponseOutcome::Partial => {
                    self.from_backend = rest.to_vec();
                    return Ok(());
                }
                ResponseOutcome::Malformed(error) => return Err(Failure::Malformed(error.reason)),
                ResponseOutcome::Complete(_) if self.interim > MAX_INTERIM => {
                    return Err(Failure::Malformed("too_many_interim_answers"));
                }
                ResponseOutcome::Complete(length) => {
                    at += length;
                    self.scan = Scan::default();
                }
            }
        }
        self.from_backend = Vec::new();
        self.backend_since = now;
        let secret = self.edits.secret();
        let own = &to_client.relay.own;
        let taken = (self.response).take(&bytes[at..], client.output, own, secret);
        let (taken, data) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                if let Some(head_at) = head_at {
                    // Nothing of the answer is gone, so that there can be another one.
                    client.output.truncate(head_at);
                    (self.answer, self.status) = (Answer::Head, 0);
                }
                return Err(Failure::Malformed(error.reason));
            }
        };
        client.send(data, now)?;
        if at + taken < bytes.len() {
            // The backend sends what nobody has asked for.
            self.backend_keeps = false;
        }
        Ok(())
    }

    fn pass_head(
        &mut self,
        head: &ResponseHead<'_, '_>,
        to_client: &ToClient<'_>,
        client: &mut ClientEnd<'_>,
    ) {
        match head.status {
            // 100 is for this program, which has sent one already.
            100 => {
                self.interim += 1;
                return;
            }
            101 => {
                self.answer = Answer::Tunnel;
                self.request = BodyPipe::until_close();
                self.response = BodyPipe::until_close();
                self.keep_alive = KeepAlive::Close;
                self.client_body = ClientBody::UntilClose;
            }
            102..=199 => {
                self.interim += 1;
                if self.version == Version::Http11 {
                    rewrite::response_head(client.output, head, &self.client_side(to_client));
                }
                return;
            }
            _ => {
                // Whoever has not read the body cannot tell where the next request begins.
                let is_last = to_client.draining && client.input.is_empty();
                if is_last || !self.has_read_request() {
                    self.keep_alive = KeepAlive::Close;
                }
                self.answer = Answer::Body;
                self.event_stream = is_event_stream(head);
                self.backend_keeps = head.keeps;
                self.response = match head.body {
                    ResponseBody::None => BodyPipe::none(),
                    ResponseBody::Sized(length) => BodyPipe::sized(length),
                    ResponseBody::Chunked => BodyPipe::chunked(),
                    ResponseBody::UntilClose => BodyPipe::until_close(),
                };
            }
        }
        self.secret_refused = self.told_by.is_some() && denies_secret(head);
        self.status = head.status;
        self.head = Vec::new();
        let body = rewrite::response_head(client.output, head, &self.client_side(to_client));
        if self.answer == Answer::Body {
            self.client_body = body;
            if body == ClientBody::UntilClose {
                self.keep_alive = KeepAlive::Close;
            }
            if body == ClientBody::Chunked {
                let response = std::mem::replace(&mut self.response, BodyPipe::none());
                self.response = response.into_chunks(true);
            }
        }
    }

    fn client_side<'a>(&'a self, to_client: &ToClient<'a>) -> ClientSide<'a> {
        ClientSide {
            version: self.version,
            is_head: self.asked.is_head,
            keep_alive: self.keep_alive,
            own: &to_client.relay.own,
            edits: &self.edits,
            date: to_client.date,
        }
    }

    fn backend_ended(
        &mut self,
        client: &mut ClientEnd<'_>,
        context: &mut ExchangeContext<'_>,
    ) -> Result<(), Failure> {
        self.backend_keeps = false;
        if self.answer == Answer::Head {
            return self.no_answer(context);
        }
        if self.was_reset || !self.response.end_of_input(client.output) {
            return Err(Failure::Reset);
        }
        if client.flush(context.attempt.now)? {
            self.close_tunnel_to_client(client)?;
        }
        Ok(())
    }

    /// What the backend has closed is closed towards the client, too, once that has all
    /// of it.
    fn close_tunnel_to_client(&self, client: &mut ClientEnd<'_>) -> Result<(), Failure> {
        if self.answer != Answer::Tunnel {
            return Ok(());
        }
        let closed = client.transport.shutdown_write();
        closed.map_err(|_| Failure::ClientGone)
    }

    /// The connection ended before an answer. A kept one may have been closed while the
    /// request was on its way; the request goes once more where that is safe.
    fn no_answer(&mut self, context: &mut ExchangeContext<'_>) -> Result<(), Failure> {
        let connection = self.attempt.connected();
        let fresh = connection.filter(|connection| !connection.reused);
        let tls = fresh.and_then(|connection| {
            let tls = connection.transport.tls()?;
            tls.error().map(TlsError::reason)
        });
        if let Some(reason) = tls {
            return Err(Failure::Tls(reason));
        }
        if !self.may_go_again() || !self.from_backend.is_empty() {
            return Err(Failure::Reset);
        }
        self.retried = true;
        self.head_sent = false;
        (self.request_broken, self.was_reset) = (false, false);
        self.to_backend.clear();
        self.attempt.start_afresh(&mut context.attempt)
    }
}

/// Whether it is the answer of a guard to a request without the right secret.
fn denies_secret(head: &ResponseHead<'_, '_>) -> bool {
    let mut fields = head.fields.iter();
    head.status == 401
        && fields.any(|field| {
            field.name.eq_ignore_ascii_case("www-authenticate")
                && names::is_own_challenge(field.value)
        })
}

/// Whether the answer goes on for as long as the backend has events (Server-Sent Events).
fn is_event_stream(head: &ResponseHead<'_, '_>) -> bool {
    head.fields.iter().any(|field| {
        let value = field.value.trim_ascii_start();
        field.name.eq_ignore_ascii_case("content-type")
            && value
                .get(..17)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
    })
}
