//! What is counted and logged of an exchange.

use std::fmt;
use std::time::{Duration, Instant};

use super::counters::{ADDED, CLOSED, broken};
use super::failure::Failure;
use super::relay::Relay;
use crate::log::{self as events, AccessEntry};
use crate::net::tls::TlsError;

/// How an exchange has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the whole answer.
    Whole,
    /// Without it.
    Failed(Failure),
    /// This program has closed the client's connection before: in a drain, or for want of
    /// room.
    Closed,
}

/// Bytes of bodies that have passed.
#[derive(Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) request: u64,
    pub(super) answer: u64,
}

/// What is known of an exchange while it goes on.
pub(super) struct Report {
    entry: Option<Box<AccessEntry>>,
    started: Instant,
    /// When the backend was last sent a part of the request, before its answer.
    sent: Option<Instant>,
    /// The status of the answer, once its head has come.
    status: Option<u16>,
    /// From `sent` to the end of the answer's head.
    backend_time: Duration,
    /// What this program itself took.
    added: Duration,
    counted: Passed,
    /// Bytes of the body of an answer of this program's own, in place of the backend's.
    own_answer: u64,
}

impl Report {
    pub(super) fn new(entry: Option<Box<AccessEntry>>, now: Instant) -> Self {
        Self {
            entry,
            started: now,
            sent: None,
            status: None,
            backend_time: Duration::ZERO,
            added: Duration::ZERO,
            counted: Passed::default(),
            own_answer: 0,
        }
    }

    /// A part of the request has gone to the backend from `sent` on, in a turn that began at
    /// `now`. The backend may have answered by the time that the system returns from sending:
    /// it can have the processor first.
    pub(super) fn sent(&mut self, sent: Instant, now: Instant) {
        if self.sent.replace(sent).is_none() {
            self.added += sent.saturating_duration_since(now);
        }
    }

    /// The head of the final answer came at `now`, and has gone to the client.
    pub(super) fn answered(&mut self, status: u16, backend: usize, relay: &Relay, now: Instant) {
        self.status = Some(status);
        // What was sent in the same turn was sent after its beginning.
        let is_of_before = self.sent.is_none_or(|sent| sent < now);
        let now = if is_of_before { now } else { Instant::now() };
        self.backend_time = self.waited(now);
        self.added += now.elapsed();
        let counters = relay.counters.of(backend);
        counters.response(status);
        counters.seconds.observe(1, self.backend_time);
        ADDED.observe(1, self.added);
    }

    /// The answer is one of this program's own, with a body of so many bytes.
    pub(super) fn answered_here(&mut self, bytes: u64) {
        self.own_answer = bytes;
    }

    fn waited(&self, now: Instant) -> Duration {
        let since = |sent| now.saturating_duration_since(sent);
        self.sent.map_or(Duration::ZERO, since)
    }

    /// Counts the bytes that have passed since the last call.
    pub(super) fn count_bytes(&mut self, passed: Passed, backend: usize, relay: &Relay) {
        let counters = relay.counters.of(backend);
        let before = std::mem::replace(&mut self.counted, passed);
        if passed.request > before.request {
            counters.sent.add(passed.request - before.request);
        }
        if passed.answer > before.answer {
            counters.received.add(passed.answer - before.answer);
        }
    }

    /// The exchange is over. `tls` is what is wrong with the backend's TLS, where that is why.
    pub(super) fn end(
        &mut self,
        end: End,
        tls: Option<&TlsError>,
        retried: bool,
        backend: usize,
        relay: &Relay,
    ) {
        if retried {
            relay.counters.of(backend).retries.increment();
        }
        match end {
            // The attempt to connect reports it, of each backend that it tries.
            End::Whole
            | End::Failed(Failure::Refused | Failure::Unresolved | Failure::ConnectTimeout) => {}
            End::Failed(failure) => match broken(failure) {
                Some(counter) => counter.increment(),
                None => backend_failed(relay, backend, failure, failure.detail(), tls),
            },
            End::Closed => CLOSED.increment(),
        }
        if let Some(entry) = self.entry.take() {
            self.log(&entry, end, relay.upstream.name(backend));
        }
    }

    fn log(&self, entry: &AccessEntry, end: End, backend: &str) {
        let now = Instant::now();
        let status = match (end, self.status) {
            // What goes through a tunnel has no status, and either side may end it.
            (_, Some(101)) => 101,
            (End::Failed(Failure::ClientGone | Failure::WriteTimeout), _) => 499,
            (_, Some(status)) => status,
            (End::Failed(failure), None) => failure.status(),
            (End::Whole | End::Closed, None) => 0,
        };
        let backend_time = match self.status {
            Some(_) => self.backend_time,
            None => self.waited(now),
        };
        let failed = match end {
            End::Whole => None,
            End::Failed(failure) => Some(failure.reason()),
            End::Closed => Some("closed"),
        };
        let failed = failed.map(|reason| format!(" failed={reason}"));
        entry.write(
            status,
            format_args!(
                " bytes={} seconds={:.6} backend_seconds={:.6} backend={backend}{}",
                self.counted.answer + self.own_answer,
                now.saturating_duration_since(self.started).as_secs_f64(),
                backend_time.as_secs_f64(),
                failed.unwrap_or_default()
            ),
        );
    }
}

/// Counts and logs a failure of `backend`; `detail` says more, and `tls` in a sentence.
pub(super) fn backend_failed(
    relay: &Relay,
    backend: usize,
    failure: Failure,
    detail: Option<impl fmt::Display>,
    tls: Option<&TlsError>,
) {
    let (name, reason) = (relay.upstream.name(backend), failure.reason());
    relay.counters.of(backend).failure(reason);
    let detail = detail.map(|detail| format!(" detail=\"{detail}\""));
    // A name in a certificate must not end the value.
    let error = tls.map(|error| format!(" error=\"{}\"", error.to_string().replace('"', "'")));
    events::backend_failure(
        name,
        reason,
        format_args!(
            "backend_failed reason={reason} backend={name}{}{}",
            detail.unwrap_or_default(),
            error.unwrap_or_default()
        ),
    );
}

/// Counts and logs that the origin behind `backend` refuses the secret that it is sent. Its
/// answer goes to the client all the same.
pub(super) fn secret_refused(relay: &Relay, backend: usize, request: u64) {
    let name = relay.upstream.name(backend);
    relay.counters.of(backend).secret_refused(request);
    events::secret_refused(
        name,
        format_args!(
            "origin_refused_secret origin={name}: it answers 401 to the secret of this gateway; \
             give both the same one, by `origin-guard secret rotate FILE --stdin` where it is wrong"
        ),
    );
}
