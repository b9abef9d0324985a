//! What every handler does alike: paths, and the lines that the log has of a request.

use std::fmt::{self, Display, Write as _};

use tiny_http::{Method, Request};

use super::{counters, denied};
use crate::auth::shared_secret::Verdict;
use crate::handler::{Answer, Decision};
use crate::handlers::responses as reply;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::{Client, TrustedProxies};
use crate::http1::request::RequestHead;
use crate::http1::static_response::StaticResponse;
use crate::keys::{Exceeded, Id};
use crate::log::{self as events, AccessEntry};
use crate::metrics::Counter;
use crate::net::Peer;
use crate::net::tls::TlsError;

/// Longest path, and longest method, that a log line shows, in bytes.
const SHOWN: usize = 256;
/// The status of a request that has come back (RFC 5842, section 7.2).
const LOOP: u16 = 508;

/// Answers a request by a plain function.
pub(super) fn respond(
    head: &RequestHead<'_, '_>,
    peer: Peer,
    answer: impl FnOnce(&Request) -> Answer,
) -> Decision {
    let request = head.to_request(peer);
    let answer = answer(&request);
    // Dropping a request that still has its writer makes it print a 500 into it.
    drop(request.into_writer());
    Decision::Respond(answer)
}

/// Answers a request, and logs it where every request is.
pub(super) fn respond_with(
    head: &RequestHead<'_, '_>,
    peer: Peer,
    answer: Answer,
    access_log: bool,
    trusted: &TrustedProxies,
) -> Decision {
    respond(head, peer, |request| {
        if access_log {
            log_request(request, &answer, trusted);
        }
        answer
    })
}

/// The answer to a request that can be forwarded to nobody.
pub(super) fn refuse_unforwardable(
    head: &RequestHead<'_, '_>,
    peer: Peer,
    access_log: bool,
    trusted: &TrustedProxies,
) -> Option<Decision> {
    let error = head.check_forwardable().err()?;
    if head.method.is_trace() {
        let answer = counted(&counters::METHOD_NOT_ALLOWED, &reply::TRACE_NOT_ALLOWED);
        return Some(respond_with(head, peer, answer, access_log, trusted));
    }
    Some(Decision::Respond(refuse(&error, peer, trusted).into()))
}

/// The path, without the query, which may hold what no log should.
pub(super) fn path(request: &Request) -> &str {
    without_query(request.url())
}

#[inline]
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// Whether it is `base` or below it: some proxies append the path they ask about.
pub(super) fn is_at_or_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base)
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// A path for a log line: printable ASCII without spaces, and short.
fn shown(path: &[u8]) -> String {
    Shown(path).to_string()
}

/// The same, formatted only where the line is written.
struct Shown<'a>(&'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(SHOWN).try_for_each(|&byte| {
            to.write_char(if byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '?'
            })
        })
    }
}

/// A name before a value, where there is one; formatted only where the line is written.
struct Named<T>(&'static str, Option<T>);

impl<T: Display> Display for Named<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            None => Ok(()),
            Some(value) => write!(to, " {}={value}", self.0),
        }
    }
}

pub(super) fn is_reading(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
}

/// `/healthz`, which anyone may ask for.
pub(super) fn healthz(request: &Request) -> Answer {
    match request.method() {
        Method::Get | Method::Head => counted(&counters::HEALTHY, &reply::HEALTHY),
        // HAProxy's httpchk asks so, and wants a 2xx or 3xx.
        Method::Options => counted(&counters::HEALTHY, &reply::HEALTHY_OPTIONS),
        _ => counted(&counters::METHOD_NOT_ALLOWED, &reply::METHOD_NOT_ALLOWED),
    }
}

/// Counts an answer.
pub(super) fn counted(counter: &Counter, answer: &'static StaticResponse) -> Answer {
    counter.increment();
    answer.into()
}

/// Counts a verdict; where it denies, returns the reason for the log.
#[inline]
pub(super) fn count_verdict(verdict: Verdict) -> Option<&'static str> {
    let (counter, reason) = match verdict {
        Verdict::Granted => (&counters::SECRET_CURRENT, None),
        Verdict::GrantedByPrevious => (&counters::SECRET_PREVIOUS, None),
        Verdict::GrantedByCertificate => (&counters::SECRET_NONE, None),
        Verdict::Misconfigured => (&counters::MISCONFIGURED, Some("misconfigured")),
        Verdict::NoSecret => (&counters::NO_SECRET, Some("no_secret")),
        Verdict::InvalidSecret => (&counters::INVALID_SECRET, Some("invalid_secret")),
        Verdict::RepeatedSecret => (&counters::REPEATED_SECRET, Some("repeated_secret")),
    };
    counter.increment();
    reason
}

/// Logs an answered request.
pub(super) fn log_request(request: &Request, answer: &Answer, trusted: &TrustedProxies) {
    let (method, path) = (request.method().as_str(), path(request));
    let client = trusted.client(request);
    let entry = entry(method.as_bytes(), path.as_bytes(), client, trusted);
    entry.write(answer.status(), format_args!(""));
}

/// What is to be logged of a request that is forwarded, once it is answered. Who presented
/// the secret `is_granted`, and is the gateway, whose word on the client counts.
pub(super) fn forwarded_entry(
    head: &RequestHead<'_, '_>,
    peer: Peer,
    is_granted: bool,
    trusted: &TrustedProxies,
) -> AccessEntry {
    let is_believed = is_granted || trusted.trusts(TrustedProxies::peer(peer));
    let client = trusted.client_of(peer, is_believed, head.name_values());
    let method = head.method.as_str().as_bytes();
    entry(method, head.target.path(), client, trusted)
}

fn entry(method: &[u8], path: &[u8], client: Client, trusted: &TrustedProxies) -> AccessEntry {
    AccessEntry {
        request: format!("method={} path={}", shown(method), shown(path)),
        client: Who(client, trusted).to_string(),
    }
}

/// Why a client is limited that presents one invalid key after the other.
const GUESSING: &str = "guessing";

/// Logs a denial: the key, where a known one was presented, and what a trusted proxy
/// says that was asked for.
pub(super) fn log_denial(
    request: &Request,
    reason: &'static str,
    key: Option<Id>,
    trusted: &TrustedProxies,
) {
    log_denied_as("denied", request, reason, key, trusted);
}

/// Logs a denial that is answered with 429, because the client has presented too many
/// invalid keys: `limited reason=guessing`, and else as [`log_denial`] does.
pub(super) fn log_guessing(request: &Request, key: Option<Id>, trusted: &TrustedProxies) {
    log_denied_as("limited", request, GUESSING, key, trusted);
}

fn log_denied_as(
    event: &'static str,
    request: &Request,
    reason: &'static str,
    key: Option<Id>,
    trusted: &TrustedProxies,
) {
    let client = trusted.client(request);
    let path = shown(path(request).as_bytes());
    denied::note(client, reason, &path);
    let uri = trusted.forwarded_uri(request);
    let uri = Named("uri", uri.map(|uri| Shown(without_query(uri).as_bytes())));
    // What was presented shows in no time where the line is left out.
    let key = Named("key", key);
    let who = Who(client, trusted);
    events::refusal(
        client.address(),
        format_args!("{event} reason={reason} {who} path={path}{uri}{key}"),
    );
}

/// Logs that a consumer has come to a limit. It is not a denial, for which a client is banned.
pub(super) fn log_limited(
    request: &Request,
    exceeded: Exceeded,
    key: Option<Id>,
    trusted: &TrustedProxies,
) {
    let client = trusted.client(request);
    let reason = match exceeded {
        Exceeded::Rate(..) => "rate",
        Exceeded::Concurrent => "concurrent",
        Exceeded::Guessing(_) => GUESSING,
    };
    let (who, key) = (Who(client, trusted), Named("key", key));
    events::refusal(
        client.address(),
        format_args!("limited reason={reason} {who}{key}"),
    );
}

/// `client=ADDRESS`, what fail2ban bans. `peer=ADDRESS` where it is a trusted proxy that
/// does not say for whom it asks: banning that one would ban everybody.
struct Who<'a>(Client, &'a TrustedProxies);

impl Display for Who<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(client, trusted) = self;
        let name = if trusted.trusts(*client) {
            "peer"
        } else {
            "client"
        };
        write!(to, "{name}={client}")
    }
}

/// Logs a connection whose TLS has failed.
pub(super) fn log_tls_failure(error: &TlsError, peer: Peer) {
    let ip = match TrustedProxies::peer(peer) {
        Client::Ip(ip) => Some(ip),
        Client::Unix => None,
    };
    let peer = TrustedProxies::peer(peer);
    let reason = match error {
        TlsError::Rustls(rustls::Error::NoCertificatesPresented) => "no_client_certificate",
        TlsError::Rustls(rustls::Error::InvalidCertificate(_)) => "unknown_client_certificate",
        _ => {
            events::refusal(ip, format_args!("tls_failed error=\"{error}\" peer={peer}"));
            return;
        }
    };
    denied::note(peer, reason, "the TLS handshake");
    events::refusal(
        ip,
        format_args!("denied reason={reason} client={peer} error=\"{error}\""),
    );
}

/// Logs and answers what the loop refuses.
pub(super) fn refuse(refusal: &RequestError, peer: Peer, trusted: &TrustedProxies) -> Reply {
    let RequestError { status, reason } = refusal;
    if *refusal == RequestError::NOT_ALLOWED {
        // Nothing was read of it, so it is not a request; who is at fault may be the list.
        let peer = TrustedProxies::peer(peer);
        denied::note(peer, reason, "its connection");
        events::refusal(
            peer.address(),
            format_args!("denied reason={reason} peer={peer}"),
        );
        return reply::refused(refusal);
    }
    counters::refused(*status).increment();
    if *refusal == RequestError::BODY_TOO_LONG {
        // Its sender is the gateway, as a rule: no line that fail2ban would ban it for.
        return reply::refused(refusal);
    }
    let client = TrustedProxies::peer(peer);
    let who = Who(client, trusted);
    let remedy = if *status == LOOP {
        " remedy=\"BACKEND or ORIGIN leads back to this guard; write where the application listens\""
    } else {
        ""
    };
    events::refusal(
        client.address(),
        format_args!("refused status={status} reason={reason} {who}{remedy}"),
    );
    reply::refused(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{self, Totals};
    use crate::net::UNIX_PEER;

    /// No request to the real binary makes a handler panic.
    #[test]
    fn a_handler_that_panics_is_counted() {
        metrics::register(counters::TABLE);
        // A thread sees what was registered before it first counted.
        let refused = std::thread::spawn(|| {
            let error = RequestError::new(500, "panic");
            refuse(&error, UNIX_PEER, &TrustedProxies::default()).status_code()
        });
        assert_eq!(refused.join().expect("it ends").0, 500);
        let series = "origin_guard_requests_total{verdict=\"failed\",status=\"500\"} 1\n";
        let text = Totals::now().text();
        assert!(text.contains(series), "{text}");
    }
}
