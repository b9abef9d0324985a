//! A [`Verdict`] or an error -> the JSON response.

use serde_json::json;
use tiny_http::{Header, Response, StatusCode};

use crate::guard::Verdict;
use crate::server::Reply;

/// The challenge of a 401, which RFC 9110, section 15.5.2, demands.
const CHALLENGE: &str = "Shared-Secret realm=\"origin-guard\"";

/// The contract's answer to a verdict.
#[must_use]
pub fn verdict(verdict: Verdict) -> Reply {
    let reply = match verdict {
        Verdict::Granted | Verdict::GrantedByPrevious => {
            json_reply(200, "message", "Access granted")
        }
        Verdict::Misconfigured => error(500, "Server configuration error"),
        Verdict::NoSecret => challenge("No secret provided"),
        Verdict::InvalidSecret => challenge("Invalid secret"),
    };
    no_store(reply)
}

/// `{"error": message}` with `status`.
#[must_use]
pub fn error(status: u16, message: &str) -> Reply {
    json_reply(status, "error", message)
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
    no_store(json_reply(200, "status", "ok"))
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

fn challenge(message: &str) -> Reply {
    error(401, message).with_header(header("WWW-Authenticate", CHALLENGE))
}

fn json_reply(status: u16, key: &str, value: &str) -> Reply {
    let body = json!({ key: value }).to_string();
    bare(status, body.into_bytes()).with_header(header("Content-Type", "application/json"))
}

fn bare(status: u16, body: Vec<u8>) -> Reply {
    Response::from_data(body)
        .with_status_code(status)
        .with_header(header("Server", "origin-guard"))
}

/// `tiny_http` takes CR and LF in a value (CVE-2026-66753), so only constants come here.
fn header(name: &'static str, value: &'static str) -> Header {
    Header::from_bytes(name, value).expect("constants are ASCII")
}
