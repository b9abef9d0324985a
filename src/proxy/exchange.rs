//! One exchange with a backend: a request on its way there, and the answer on its way
//! back, both at once, with bounded buffers.

mod answer;
mod deadlines;
mod request;

use std::time::Instant;

use super::attempt::{Attempt, AttemptContext};
use super::body_pipe::BodyPipe;
use super::client_end::ClientEnd;
use super::failure::Failure;
use super::refused_requests;
use super::relay::Relay;
use super::report::{self, End, Passed, Report};
use super::rewrite::{self, ClientBody, Forwarding};
use crate::http1::date::Date;
use crate::http1::edits::{AnswerEdits, Edits};
use crate::http1::framing::{BodyLength, KeepAlive};
use crate::http1::request::RequestHead;
use crate::http1::response::Asked;
use crate::http1::scan::Scan;
use crate::http1::version::Version;
use crate::log::AccessEntry;
use crate::net::Transport;

/// Rounds in which both directions are tried before other connections get their turn.
const ROUNDS_PER_TURN: usize = 8;
/// How much of a body is read at once. Twice as much is slower.
pub const READ_BYTES: usize = 32 * 1024;
/// How much is read at once where memory is short: a receiver that takes nothing of it has
/// it held.
pub const LEAST_READ_BYTES: usize = 2 * 1024;

/// What an exchange goes on under.
pub struct ExchangeContext<'a> {
    /// What connecting happens under.
    pub attempt: AttemptContext<'a>,
    /// The worker's buffer for what is read.
    pub buffer: &'a mut [u8],
    /// How much of a body is read at once.
    pub most: usize,
    /// For answers that have no date.
    pub date: &'a mut Date,
    /// Whether the connection of the client is to close after the answer.
    pub draining: bool,
}

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits for an event or a deadline.
    Wait,
    /// There is more to do without either.
    RunAgain,
    /// The answer is whole, and the client's connection becomes this.
    Done(Ending),
    /// It cannot be ended as it should.
    Failed(Failure),
}

/// What the client's connection becomes after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It stays for the next request.
    KeepAlive,
    /// It closes, and nothing is left to be read.
    Close,
    /// It closes, and the client may still be sending its body.
    Linger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No final head has come.
    Head,
    /// The final head has gone to the client.
    Body,
    /// After a 101: bytes both ways.
    Tunnel,
}

/// A request that is being forwarded.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Exchange {
    attempt: Attempt,
    begun: bool,
    asked: Asked,
    version: Version,
    keep_alive: KeepAlive,
    /// How the answer is changed.
    edits: AnswerEdits,
    /// A request that is not idempotent is never sent twice.
    once_only: bool,
    retried: bool,
    /// The client sends a body that is not forwarded.
    drops_body: bool,
    /// The head as it goes to the backend, kept while it may have to go again.
    head: Vec<u8>,
    head_sent: bool,
    to_backend: Vec<u8>,
    request: BodyPipe,
    /// Whether a byte of the request's body is gone, so that it cannot be sent again.
    body_gone: bool,
    /// The backend takes no more of the request. It may have answered all the same.
    request_broken: bool,
    /// A write has found the backend's connection reset, and has taken the error from the
    /// reads: what looks like the answer's end to them is none.
    was_reset: bool,
    wants_continue: bool,
    /// The request, where it has the gateway's secret: what the origin's answer is held
    /// against.
    told_by: Option<u64>,
    /// The origin has refused the secret that this gateway sends.
    secret_refused: bool,
    /// Interim answers that have come.
    interim: u32,
    /// The start of a head that has not come whole.
    from_backend: Vec<u8>,
    scan: Scan,
    answer: Answer,
    response: BodyPipe,
    client_body: ClientBody,
    backend_keeps: bool,
    event_stream: bool,
    status: u16,
    report: Report,
    /// When the client last sent a part of its body, or could have begun to.
    client_since: Instant,
    /// When the backend last got on, or could have begun to.
    backend_since: Instant,
}

impl Exchange {
    /// A request with `head`, which nothing of has been sent yet; `entry` is for the access
    /// log, where there is one.
    #[must_use]
    pub fn new(
        head: &RequestHead<'_, '_>,
        edits: &Edits,
        entry: Option<Box<AccessEntry>>,
        forwarding: &Forwarding<'_>,
        now: Instant,
    ) -> Box<Self> {
        let mut bytes = Vec::new();
        rewrite::request_head(&mut bytes, head, edits, forwarding);
        let is_public = matches!(edits, Edits::Public);
        let upgrades = head.upgrades_to_websocket && !is_public;
        let request = match head.body {
            _ if is_public => BodyPipe::none(),
            BodyLength::None => BodyPipe::none(),
            BodyLength::Sized(length) => BodyPipe::sized(length),
            BodyLength::Chunked => BodyPipe::chunked().into_chunks(false),
        };
        Box::new(Self {
            attempt: Attempt::new(now),
            begun: false,
            asked: Asked {
                is_head: head.method.is_head(),
                upgrades,
            },
            version: head.version,
            edits: edits.answer(),
            keep_alive: if is_public {
                head.keep_alive_without_body()
            } else {
                head.keep_alive
            },
            once_only: !head.method.is_idempotent(),
            retried: false,
            drops_body: is_public && head.body.at_most() > 0,
            head: bytes,
            head_sent: false,
            to_backend: Vec::new(),
            wants_continue: head.expects_continue && !request.is_done(),
            request,
            body_gone: false,
            request_broken: false,
            was_reset: false,
            told_by: match edits {
                Edits::Consumer(_) => Some(refused_requests::identity(head)),
                Edits::Granted | Edits::Public => None,
            },
            secret_refused: false,
            interim: 0,
            from_backend: Vec::new(),
            scan: Scan::default(),
            answer: Answer::Head,
            response: BodyPipe::none(),
            client_body: ClientBody::None,
            backend_keeps: false,
            event_stream: false,
            status: 0,
            report: Report::new(entry, now),
            client_since: now,
            backend_since: now,
        })
    }

    /// The backend's connection, for an event.
    pub fn backend_transport(&mut self) -> Option<&mut Transport> {
        let connection = self.attempt.connection()?;
        Some(&mut connection.transport)
    }

    /// Whether a final head has gone to the client, so that no other answer can.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.answer != Answer::Head
    }

    /// Whether the client could take the end of its connection for the end of the answer.
    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        self.has_answered() && self.client_body == ClientBody::UntilClose
    }

    /// Whether it may go on for as long as anybody likes: a tunnel, or events.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.answer == Answer::Tunnel || self.event_stream
    }

    /// Whether the request's body has been read to its end.
    #[must_use]
    pub fn has_read_request(&self) -> bool {
        self.request.is_done() && !self.drops_body
    }

    /// What becomes of the client's connection, as far as the client and the answer say.
    #[must_use]
    pub fn keep_alive(&self) -> KeepAlive {
        self.keep_alive
    }

    /// How the answer is changed, whoever gives it.
    #[must_use]
    pub fn edits(&self) -> &AnswerEdits {
        &self.edits
    }

    /// Whether the answer has no body because the request is a HEAD.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.asked.is_head
    }

    /// The status that the backend answered with, or 0.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of memory that it holds between its turns.
    #[must_use]
    pub fn held(&self) -> usize {
        self.head.capacity() + self.to_backend.capacity() + self.from_backend.capacity()
    }

    /// Goes on in both directions as far as it goes without waiting.
    pub fn advance(
        &mut self,
        client: &mut ClientEnd<'_>,
        context: &mut ExchangeContext<'_>,
    ) -> Progress {
        if client.transport.is_broken() {
            return Progress::Failed(Failure::ClientGone);
        }
        if !std::mem::replace(&mut self.begun, true)
            && let Err(failure) = self.start(&mut context.attempt)
        {
            return Progress::Failed(failure);
        }
        for _ in 0..ROUNDS_PER_TURN {
            match self.round(client, context) {
                Err(failure) => return Progress::Failed(failure),
                Ok(_) if self.is_done(client) => return Progress::Done(self.ending()),
                Ok(false) => return Progress::Wait,
                Ok(true) => {}
            }
        }
        Progress::RunAgain
    }

    fn start(&mut self, context: &mut AttemptContext<'_>) -> Result<(), Failure> {
        // A body can go but once, whatever the method is.
        let once_only = self.once_only || !self.request.is_done();
        self.attempt.start(once_only, context)
    }

    /// Whether the request may go once more on a fresh connection, if this one ends now: a
    /// kept one may have been closed while the request was on its way.
    fn may_go_again(&mut self) -> bool {
        let connection = self.attempt.connected();
        connection.is_some_and(|connection| connection.reused)
            && !self.retried
            && !self.once_only
            && !self.body_gone
            && self.interim == 0
    }

    /// `Ok(true)` where anything has moved.
    fn round(
        &mut self,
        client: &mut ClientEnd<'_>,
        context: &mut ExchangeContext<'_>,
    ) -> Result<bool, Failure> {
        let connecting = self.attempt.advance(&mut context.attempt)?;
        let (relay, now) = (context.attempt.relay, context.attempt.now);
        let had_answer = self.has_answered();
        let sends_at = self.has_more_to_send().then(Instant::now);
        let sent = self.send_request(client, context)?;
        if let Some(sends_at) = sends_at.filter(|_| sent && !had_answer) {
            self.report.sent(sends_at, now);
        }
        let answered = self.receive_answer(client, context);
        if !had_answer && self.has_answered() {
            let backend = self.attempt.backend();
            self.report.answered(self.status, backend, relay, now);
            match self.told_by {
                Some(request) if self.secret_refused => {
                    report::secret_refused(relay, backend, request);
                }
                Some(request) if self.status < 400 => {
                    relay.counters.of(backend).refused.let_in(request);
                }
                _ => {}
            }
        }
        Ok(connecting || sent || answered?)
    }

    fn is_done(&self, client: &ClientEnd<'_>) -> bool {
        match self.answer {
            Answer::Head => false,
            Answer::Body => self.response.is_done(),
            Answer::Tunnel => {
                self.response.is_done()
                    && client.is_flushed()
                    && (self.request.is_done() && self.to_backend.is_empty() || self.request_broken)
            }
        }
    }

    fn ending(&self) -> Ending {
        let stays = self.keep_alive != KeepAlive::Close && self.answer == Answer::Body;
        match (stays, self.has_read_request()) {
            (_, false) => Ending::Linger,
            (true, true) => Ending::KeepAlive,
            (false, true) => Ending::Close,
        }
    }

    /// Takes note that this program answers by itself, with a body of so many bytes.
    pub fn answered_here(&mut self, bytes: u64) {
        self.report.answered_here(bytes);
    }

    /// Counts the bytes that have passed since the last time.
    pub fn count_bytes(&mut self, relay: &Relay) {
        let passed = Passed {
            request: self.request.passed(),
            answer: self.response.passed(),
        };
        let backend = self.attempt.backend();
        self.report.count_bytes(passed, backend, relay);
    }

    /// Gives up the connection, which is kept where nothing is under way on it, and reports
    /// how the exchange has ended.
    pub fn finish(&mut self, end: End, context: &mut AttemptContext<'_>) {
        let is_whole = self.answer != Answer::Head
            && self.response.is_done()
            && self.request.is_done()
            && self.to_backend.is_empty()
            && !self.request_broken;
        let keep = is_whole && self.answer == Answer::Body && self.backend_keeps;
        if !is_whole && let Some(connection) = self.attempt.connection() {
            // What the backend does not take would stay in the kernel, counted by nobody.
            connection.transport.reset_on_close();
        }
        let (relay, now) = (context.relay, context.now);
        self.count_bytes(relay);
        let backend = self.attempt.backend();
        let is_of_tls = matches!(end, End::Failed(Failure::Tls(_)));
        let tls = self.attempt.connection().filter(|_| is_of_tls);
        let tls = tls.and_then(|connection| connection.transport.tls()?.error());
        self.report.end(end, tls, self.retried, backend, relay);
        self.attempt.finish(keep, relay, context.pool, now);
    }
}
