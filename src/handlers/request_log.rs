//! What every door does alike: paths, and the lines that the log has of a request.

use tiny_http::{Method, Request};

use crate::handler::Answer;
use crate::handlers::responses as reply;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::static_response::StaticResponse;
use crate::keys::Id;
use crate::log as events;
use crate::metrics::{Counter, count};
use crate::net::Peer;

/// Longest path that a log line shows, in bytes.
const SHOWN: usize = 256;

/// The path, without the query, which may hold what no log should.
pub(super) fn path(request: &Request) -> &str {
    without_query(request.url())
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// Whether it is `base` or below it: some proxies append the path they ask about.
pub(super) fn is_at_or_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base)
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// A path for a log line: printable ASCII without spaces, and short.
fn shown(path: &str) -> String {
    path.bytes()
        .take(SHOWN)
        .map(|byte| {
            if byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}

pub(super) fn is_reading(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
}

/// `/healthz`, which anyone may ask for.
pub(super) fn healthz(request: &Request) -> Answer {
    if is_reading(request) {
        counted(Counter::Healthy, &reply::HEALTHY)
    } else {
        counted(Counter::MethodNotAllowed, &reply::METHOD_NOT_ALLOWED)
    }
}

/// Counts an answer.
pub(super) fn counted(counter: Counter, answer: &'static StaticResponse) -> Answer {
    count(counter);
    answer.into()
}

/// Logs an answered request.
pub(super) fn log_request(request: &Request, answer: &Answer, trusted: &TrustedProxies) {
    log::info!(
        "request method={} path={} status={} client={}",
        request.method(),
        shown(path(request)),
        answer.status(),
        trusted.client(request)
    );
}

/// Logs a denial: the key, where a known one was presented, and what a trusted proxy
/// says that was asked for.
pub(super) fn log_denial(
    request: &Request,
    reason: &str,
    key: Option<Id>,
    trusted: &TrustedProxies,
) {
    let client = trusted.client(request);
    let path = shown(path(request));
    let uri = trusted.forwarded_uri(request);
    let uri = uri.map(|uri| format!(" uri={}", shown(without_query(uri))));
    let key = key.map(|key| format!(" key={key}"));
    events::refusal(format_args!(
        "denied reason={reason} client={client} path={path}{}{}",
        uri.unwrap_or_default(),
        key.unwrap_or_default()
    ));
}

/// Logs and answers what the loop refuses.
pub(super) fn refuse(refusal: &RequestError, peer: Peer) -> Reply {
    let RequestError { status, reason } = refusal;
    count(Counter::refused(*status));
    let client = TrustedProxies::peer(peer);
    events::refusal(format_args!(
        "refused status={status} reason={reason} client={client}"
    ));
    reply::refusal(*status)
}
