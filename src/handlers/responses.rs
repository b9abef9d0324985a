//! A [`Verdict`] or an error -> the JSON response.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::json;
use tiny_http::{Header, Response, StatusCode};

use crate::auth::shared_secret::Verdict;
use crate::handler::Answer;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::names::GUARD_BODY;
use crate::http1::static_response::StaticResponse;
use crate::keys::{Exceeded, KeyVerdict};

const CHALLENGE: &str = "Shared-Secret realm=\"origin-guard\"";

/// RFC 6750, section 3: without an error where nothing was presented.
const KEY_CHALLENGE: &str = "Bearer";
const INVALID_KEY_CHALLENGE: &str = "Bearer error=\"invalid_token\"";

/// The methods of a path that is only read.
const READING: &str = "GET, HEAD";
/// All methods that are known.
const ANY: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";

/// The usual methods that are forwarded; others are, too.
const FORWARDED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const NOT_ALLOWED: &str = "Method not allowed";
const TOO_MANY: &str = "Too many requests";
const MISCONFIGURATION: &str = "Server configuration error";

/// `{"status":"ok"}`.
pub static HEALTHY: StaticResponse =
    StaticResponse::new(|| no_store(json_reply(200, &body("status", "ok"))));
/// The same to OPTIONS, with the methods of the path.
pub static HEALTHY_OPTIONS: StaticResponse =
    StaticResponse::new(|| HEALTHY.response().with_header(header("Allow", READING)));
/// 404.
pub static NOT_FOUND: StaticResponse = StaticResponse::new(not_found);
/// 404 of a listener whose answers no cache may keep.
pub static NOT_FOUND_NO_STORE: StaticResponse = StaticResponse::new(|| no_store(not_found()));
/// 405 on a path that is only read.
pub static METHOD_NOT_ALLOWED: StaticResponse = StaticResponse::new(method_not_allowed);
/// 405 on a guarded path.
pub static METHOD_NOT_ALLOWED_NO_STORE: StaticResponse =
    StaticResponse::new(|| no_store(method_not_allowed()));
/// 405 to TRACE, in front of a backend that has whatever other methods it has.
pub static TRACE_NOT_ALLOWED: StaticResponse = StaticResponse::new(|| {
    no_store(error(405, NOT_ALLOWED)).with_header(header("Allow", FORWARDED))
});
/// 403 to who has sent a credential in the clear.
pub static USE_HTTPS: StaticResponse = StaticResponse::new(|| no_store(error(403, "Use https")));
/// 204 to `OPTIONS *` at a listener where paths are only read.
pub static OPTIONS_READING: StaticResponse = StaticResponse::new(|| options(READING));
/// 204 to `OPTIONS *` at a listener where any method is served.
pub static OPTIONS_ANY: StaticResponse = StaticResponse::new(|| options(ANY));

/// 204 that says nothing more.
pub(super) static NO_CONTENT: StaticResponse = StaticResponse::new(|| bare(204, Vec::new()));

static GRANTED: StaticResponse = StaticResponse::new(granted);
static MISCONFIGURED: StaticResponse =
    StaticResponse::new(|| no_store(error(500, MISCONFIGURATION)));
static MISCONFIGURED_FOR_PROXY: StaticResponse =
    StaticResponse::new(|| for_proxy(no_store(error(500, MISCONFIGURATION)), MISCONFIGURATION));

/// The contract's answer to a verdict.
#[must_use]
pub fn verdict(verdict: Verdict) -> &'static StaticResponse {
    static NO_SECRET: StaticResponse = StaticResponse::new(|| unauthorized(ABSENT_SECRET));
    static INVALID_SECRET: StaticResponse = StaticResponse::new(|| unauthorized(WRONG_SECRET));
    match verdict {
        Verdict::Granted | Verdict::GrantedByPrevious | Verdict::GrantedByCertificate => &GRANTED,
        Verdict::Misconfigured => &MISCONFIGURED,
        Verdict::NoSecret => &NO_SECRET,
        Verdict::InvalidSecret | Verdict::RepeatedSecret => &INVALID_SECRET,
    }
}

/// The contract's answer to a proxy that asks for a verdict.
#[must_use]
pub fn decision(verdict: Verdict) -> &'static StaticResponse {
    static NO_SECRET: StaticResponse =
        StaticResponse::new(|| unauthorized_for_proxy(ABSENT_SECRET));
    static INVALID_SECRET: StaticResponse =
        StaticResponse::new(|| unauthorized_for_proxy(WRONG_SECRET));
    match verdict {
        Verdict::Granted | Verdict::GrantedByPrevious | Verdict::GrantedByCertificate => &GRANTED,
        Verdict::Misconfigured => &MISCONFIGURED_FOR_PROXY,
        Verdict::NoSecret => &NO_SECRET,
        Verdict::InvalidSecret | Verdict::RepeatedSecret => &INVALID_SECRET,
    }
}

/// The gateway's answer to a key, with `fields` where it is granted; what a client presents
/// in vain is the same to it, whyever that is.
#[must_use]
pub fn key_verdict(verdict: KeyVerdict, fields: Vec<Header>) -> Answer {
    static NO_KEY: StaticResponse = StaticResponse::new(|| unauthorized_for_proxy(ABSENT_KEY));
    static INVALID_KEY: StaticResponse = StaticResponse::new(|| unauthorized_for_proxy(WRONG_KEY));
    match verdict {
        KeyVerdict::Granted => {
            let reply = fields.into_iter().fold(granted(), Reply::with_header);
            Answer::from(reply).granted()
        }
        KeyVerdict::Misconfigured => Answer::from(&MISCONFIGURED_FOR_PROXY),
        KeyVerdict::NoKey => Answer::from(&NO_KEY),
        KeyVerdict::Malformed
        | KeyVerdict::Unknown
        | KeyVerdict::Revoked
        | KeyVerdict::Expired
        | KeyVerdict::ClockBeforeCreated => Answer::from(&INVALID_KEY),
    }
}

/// The answer to a key that is not good, to the client itself; what it presents in vain is
/// the same to it, whyever that is.
#[must_use]
pub fn key_denial(verdict: KeyVerdict) -> &'static StaticResponse {
    static NO_KEY: StaticResponse = StaticResponse::new(|| unauthorized(ABSENT_KEY));
    static INVALID_KEY: StaticResponse = StaticResponse::new(|| unauthorized(WRONG_KEY));
    match verdict {
        KeyVerdict::Misconfigured => &MISCONFIGURED,
        KeyVerdict::NoKey => &NO_KEY,
        _ => &INVALID_KEY,
    }
}

/// The answer to a request past a limit of its consumer: when to come again (RFC 9110,
/// section 10.2.3), and the fields of draft-ietf-httpapi-ratelimit-headers-11.
#[must_use]
pub fn too_many(exceeded: Exceeded) -> Reply {
    let reply = no_store(error(429, TOO_MANY));
    let (seconds, rate) = match exceeded {
        // Nobody knows when one of those that are under way ends.
        Exceeded::Concurrent => (1, None),
        Exceeded::Guessing(seconds) => (seconds, None),
        Exceeded::Rate(rate, seconds) => (seconds, Some(rate)),
    };
    let mut fields = vec![("Retry-After", seconds.to_string())];
    if let Some(rate) = rate {
        let policy = format!("\"consumer\";q={};w={}", rate.count(), rate.window());
        fields.push(("RateLimit-Policy", policy));
        fields.push(("RateLimit", format!("\"consumer\";r=0;t={seconds}")));
    }
    let fields = fields.iter();
    fields
        .filter_map(|(name, value)| data_field(name, value))
        .fold(reply, Reply::with_header)
}

/// The same to a proxy that asks for a verdict.
#[must_use]
pub fn too_many_for_proxy(exceeded: Exceeded) -> Reply {
    for_proxy(too_many(exceeded), TOO_MANY)
}

/// Why a client is not let in, and the challenge that RFC 9110, section 15.5.2, demands.
#[derive(Clone, Copy)]
struct Denial {
    message: &'static str,
    challenge: &'static str,
}

const ABSENT_SECRET: Denial = Denial {
    message: "No secret provided",
    challenge: CHALLENGE,
};
const WRONG_SECRET: Denial = Denial {
    message: "Invalid secret",
    challenge: CHALLENGE,
};
const ABSENT_KEY: Denial = Denial {
    message: "No API key provided",
    challenge: KEY_CHALLENGE,
};
const WRONG_KEY: Denial = Denial {
    message: "Invalid API key",
    challenge: INVALID_KEY_CHALLENGE,
};

fn granted() -> Reply {
    /// It goes into an answer to each consumer too, which is made anew.
    static BODY: LazyLock<String> = LazyLock::new(|| body("message", "Access granted"));
    no_store(json_reply(200, &BODY))
}

fn unauthorized(denial: Denial) -> Reply {
    no_store(error(401, denial.message)).with_header(header("WWW-Authenticate", denial.challenge))
}

fn unauthorized_for_proxy(denial: Denial) -> Reply {
    for_proxy(unauthorized(denial), denial.message)
}

/// Where the guard denies, the body stands in a field too: nginx shows the body of a
/// subrequest to nobody.
fn for_proxy(reply: Reply, message: &str) -> Reply {
    let repeated = data_field(GUARD_BODY, &body("error", message));
    reply.with_header(repeated.expect("constants are ASCII"))
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

/// 308 to `location`, which is printable ASCII.
#[must_use]
pub fn redirect(location: &str) -> Reply {
    let reply = json_reply(308, &body("message", "Use https"));
    match data_field("Location", location) {
        Some(field) => reply.with_header(field),
        None => refusal(400),
    }
}

/// The answer to a challenge of ACME.
#[must_use]
pub fn challenge(text: Vec<u8>) -> Reply {
    no_store(bare(200, text)).with_header(header("Content-Type", "application/octet-stream"))
}

/// `text` in the text format of Prometheus.
#[must_use]
pub fn metrics(text: &str) -> Reply {
    no_store(bare(200, text.into())).with_header(header(
        "Content-Type",
        "text/plain; version=0.0.4; charset=utf-8",
    ))
}

/// The operator's page, whose style has `nonce`, printable ASCII without quotes. It loads
/// nothing, runs nothing, and no other page may frame it (CSP Level 3).
#[must_use]
pub fn page(html: &str, nonce: &str) -> Reply {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let Some(policy) = data_field("Content-Security-Policy", &policy) else {
        return refusal(500);
    };
    no_store(bare(200, html.into()))
        .with_header(header("Content-Type", "text/html; charset=utf-8"))
        .with_header(policy)
        .with_header(header("X-Frame-Options", "DENY"))
        .with_header(header("X-Content-Type-Options", "nosniff"))
        .with_header(header("Referrer-Policy", "no-referrer"))
        .with_header(header("Cross-Origin-Resource-Policy", "same-origin"))
}

/// `json`, which no cache may keep.
#[must_use]
pub fn status(json: &str) -> Reply {
    no_store(json_reply(200, json)).with_header(header("X-Content-Type-Options", "nosniff"))
}

/// Keeps caches away (RFC 9111, section 5.2.2.5).
fn no_store(reply: Reply) -> Reply {
    reply.with_header(header("Cache-Control", "no-store"))
}

/// The answer to what the loop refuses.
#[must_use]
pub fn refused(refusal: &RequestError) -> Reply {
    match refusal.reason {
        "plain_http" => error(refusal.status, "This port speaks TLS"),
        _ => self::refusal(refusal.status),
    }
}

/// The answer with `status` alone.
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

fn body(key: &str, value: &str) -> String {
    json!({ key: value }).to_string()
}

fn json_reply(status: u16, body: &str) -> Reply {
    bare(status, body.into()).with_header(header("Content-Type", "application/json"))
}

fn error(status: u16, message: &str) -> Reply {
    json_reply(status, &body("error", message))
}

fn not_found() -> Reply {
    error(404, "Not found")
}

fn method_not_allowed() -> Reply {
    error(405, NOT_ALLOWED).with_header(header("Allow", READING))
}

fn options(allow: &'static str) -> Reply {
    bare(204, Vec::new()).with_header(header("Allow", allow))
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
