//! A [`Verdict`] or an error -> the JSON response.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::json;
use tiny_http::{Header, Response, StatusCode};

use crate::guard::Verdict;
use crate::keys::KeyVerdict;
use crate::server::Reply;

const CHALLENGE: &str = "Shared-Secret realm=\"origin-guard\"";

/// RFC 6750, section 3: without an error where nothing was presented.
const KEY_CHALLENGE: &str = "Bearer";
const INVALID_KEY_CHALLENGE: &str = "Bearer error=\"invalid_token\"";

/// The gateway's field that names the consumer.
pub const CONSUMER: &str = "X-Consumer";
/// The gateway's field that holds the consumer's metadata, compact JSON in ASCII.
pub const CONSUMER_METADATA: &str = "X-Consumer-Metadata";

/// The field that repeats the body of a denial.
const GUARD_BODY: &str = "X-Guard-Body";

/// The fields that answers hold already, and those that `Response` keeps to itself.
const OWN_FIELDS: [&str; 14] = [
    CONSUMER,
    CONSUMER_METADATA,
    GUARD_BODY,
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Date",
    "Server",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "WWW-Authenticate",
    "Allow",
];

// The bodies of the contract do not change; each is made once.
static GRANTED: LazyLock<String> = LazyLock::new(|| body("message", "Access granted"));
static MISCONFIGURED: LazyLock<String> =
    LazyLock::new(|| body("error", "Server configuration error"));
static NO_SECRET: LazyLock<String> = LazyLock::new(|| body("error", "No secret provided"));
static NO_KEY: LazyLock<String> = LazyLock::new(|| body("error", "No API key provided"));
static INVALID_KEY: LazyLock<String> = LazyLock::new(|| body("error", "Invalid API key"));
static INVALID_SECRET: LazyLock<String> = LazyLock::new(|| body("error", "Invalid secret"));

/// The contract's answer to a verdict.
#[must_use]
pub fn verdict(verdict: Verdict) -> Reply {
    let (status, body) = answer_to(verdict);
    let reply = no_store(json_reply(status, body));
    if status == 401 {
        // RFC 9110, section 15.5.2, demands a challenge.
        return reply.with_header(header("WWW-Authenticate", CHALLENGE));
    }
    reply
}

/// The contract's answer to a proxy that asks for a verdict.
#[must_use]
pub fn decision(of: Verdict) -> Reply {
    let (status, body) = answer_to(of);
    for_proxy(verdict(of), status, body)
}

/// The gateway's answer to a verdict; what a client presents in vain is the same to it,
/// whyever that is.
#[must_use]
pub fn key_verdict(verdict: KeyVerdict) -> Reply {
    let (status, body, challenge) = match verdict {
        KeyVerdict::Granted => (200, GRANTED.as_str(), None),
        KeyVerdict::Misconfigured => (500, MISCONFIGURED.as_str(), None),
        KeyVerdict::NoKey => (401, NO_KEY.as_str(), Some(KEY_CHALLENGE)),
        KeyVerdict::Malformed | KeyVerdict::Unknown | KeyVerdict::Revoked | KeyVerdict::Expired => {
            (401, INVALID_KEY.as_str(), Some(INVALID_KEY_CHALLENGE))
        }
    };
    let reply = for_proxy(no_store(json_reply(status, body)), status, body);
    match challenge {
        Some(challenge) => reply.with_header(header("WWW-Authenticate", challenge)),
        None => reply,
    }
}

/// Where the guard denies, the body stands in a field too: nginx shows the body of a
/// subrequest to nobody.
fn for_proxy(reply: Reply, status: u16, body: &'static str) -> Reply {
    if status == 200 {
        reply
    } else {
        reply.with_header(header(GUARD_BODY, body))
    }
}

/// Whether answers use the field `name` themselves.
#[must_use]
pub fn is_own_field(name: &str) -> bool {
    OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// A field whose value comes from data: `tiny_http` would take a CR or LF in it
/// (CVE-2026-66753). `None` where the value is not printable ASCII.
#[must_use]
pub fn data_field(name: &str, value: &str) -> Option<Header> {
    let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable
        .then(|| Header::from_bytes(name, value).ok())
        .flatten()
}

/// `{"error": message}` with `status`.
#[must_use]
pub fn error(status: u16, message: &str) -> Reply {
    json_reply(status, &body("error", message))
}

/// 405, with the methods that the path serves.
#[must_use]
pub fn method_not_allowed(allow: &'static str) -> Reply {
    error(405, "Method not allowed").with_header(header("Allow", allow))
}

/// 204 to `OPTIONS *`, with the methods that any path here serves.
#[must_use]
pub fn options(allow: &'static str) -> Reply {
    bare(204, Vec::new()).with_header(header("Allow", allow))
}

/// `{"status":"ok"}`.
#[must_use]
pub fn healthy() -> Reply {
    no_store(json_reply(200, &body("status", "ok")))
}

/// `text` in the text format of Prometheus.
#[must_use]
pub fn metrics(text: &str) -> Reply {
    no_store(bare(200, text.into())).with_header(header(
        "Content-Type",
        "text/plain; version=0.0.4; charset=utf-8",
    ))
}

/// Keeps caches away (RFC 9111, section 5.2.2.5).
#[must_use]
pub fn no_store(reply: Reply) -> Reply {
    reply.with_header(header("Cache-Control", "no-store"))
}

/// The answer to what the loop refuses with `status`.
#[must_use]
pub fn refusal(status: u16) -> Reply {
    let phrase = StatusCode(status).default_reason_phrase();
    let message: String = phrase
        .char_indices()
        .map(|(at, letter)| {
            if at == 0 {
                letter
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect();
    error(status, &message)
}

fn answer_to(verdict: Verdict) -> (u16, &'static str) {
    match verdict {
        Verdict::Granted | Verdict::GrantedByPrevious => (200, GRANTED.as_str()),
        Verdict::Misconfigured => (500, MISCONFIGURED.as_str()),
        Verdict::NoSecret => (401, NO_SECRET.as_str()),
        Verdict::InvalidSecret => (401, INVALID_SECRET.as_str()),
    }
}

fn body(key: &str, value: &str) -> String {
    json!({ key: value }).to_string()
}

fn json_reply(status: u16, body: &str) -> Reply {
    bare(status, body.into()).with_header(header("Content-Type", "application/json"))
}

fn bare(status: u16, body: Vec<u8>) -> Reply {
    Response::from_data(body)
        .with_status_code(status)
        .with_header(date())
        .with_header(header("Server", "origin-guard"))
}

/// The `Date` field (RFC 9110, section 6.6.1), formatted once a second and thread.
fn date() -> Header {
    thread_local! {
        static DATE: RefCell<Option<(u64, Header)>> = const { RefCell::new(None) };
    }
    let now = SystemTime::now();
    let second = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|held| match held {
        Some((of, date)) if *of == second => date.clone(),
        _ => {
            let date =
                Header::from_bytes("Date", httpdate::fmt_http_date(now)).expect("a date is ASCII");
            *held = Some((second, date.clone()));
            date
        }
    })
}

/// For constants alone; see [`data_field`].
fn header(name: &'static str, value: &'static str) -> Header {
    Header::from_bytes(name, value).expect("constants are ASCII")
}
