//! A [`Verdict`] or an error -> the JSON response.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::json;
use tiny_http::{Header, Response, StatusCode};

use crate::guard::Verdict;
use crate::server::Reply;

const CHALLENGE: &str = "Shared-Secret realm=\"origin-guard\"";

// The bodies of the contract do not change; each is made once.
static GRANTED: LazyLock<String> = LazyLock::new(|| body("message", "Access granted"));
static MISCONFIGURED: LazyLock<String> =
    LazyLock::new(|| body("error", "Server configuration error"));
static NO_SECRET: LazyLock<String> = LazyLock::new(|| body("error", "No secret provided"));
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

/// The answer to a proxy that asks for a verdict. Where that denies, the body stands in
/// `X-Guard-Body` too: nginx shows the body of a subrequest to nobody.
#[must_use]
pub fn decision(of: Verdict) -> Reply {
    let reply = verdict(of);
    match answer_to(of) {
        (200, _) => reply,
        (_, body) => reply.with_header(header("X-Guard-Body", body)),
    }
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

/// `tiny_http` takes CR and LF in a value (CVE-2026-66753), so only constants come here.
fn header(name: &'static str, value: &'static str) -> Header {
    Header::from_bytes(name, value).expect("constants are ASCII")
}
