//! Cross-origin requests (Fetch Standard, section 3.3): preflights are answered here,
//! because they carry no credentials, and every answer says which page may read it.

use crate::http1::edits::CorsFields;
use crate::http1::encode::Reply;
use crate::http1::fields::list;
use crate::http1::request::RequestHead;
use crate::http1::token::is_token_byte;

use super::responses as reply;

/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// The fields for the answer to a request, where pages of `origins` may read it; `None`
/// where there are none, and CORS is the origin's affair.
pub(super) fn fields(head: &RequestHead<'_, '_>, origins: &[String]) -> Option<CorsFields> {
    if origins.is_empty() {
        return None;
    }
    let allowed = value(head, "origin").and_then(|sent| {
        let is_sent = |origin: &&String| origin.as_bytes() == sent;
        origins.iter().find(is_sent)
    });
    Some(CorsFields {
        allowed_origin: allowed.cloned(),
    })
}

/// The answer to a preflight; `None` where the request is none.
pub(super) fn preflight(head: &RequestHead<'_, '_>, cors: &CorsFields) -> Option<Reply> {
    let method = value(head, "access-control-request-method");
    let (Some(_), Some(method)) = (value(head, "origin"), method) else {
        return None;
    };
    if head.method.as_str() != "OPTIONS" {
        return None;
    }
    let mut answer = with_fields(reply::NO_CONTENT.response(), cors);
    let vary = "Access-Control-Request-Method, Access-Control-Request-Headers";
    answer = with_field(answer, "Vary", vary);
    if cors.allowed_origin.is_none() {
        return Some(answer);
    }
    if let Some(method) = text_of(method).filter(|method| is_token(method.as_bytes())) {
        answer = with_field(answer, "Access-Control-Allow-Methods", method);
    }
    let wanted = value(head, "access-control-request-headers").unwrap_or_default();
    // By name, because a `*` does not stand for Authorization.
    let names: Vec<_> = list(wanted)
        .filter(|name| is_token(name))
        .filter_map(text_of)
        .collect();
    if !names.is_empty() {
        answer = with_field(answer, "Access-Control-Allow-Headers", &names.join(", "));
    }
    Some(with_field(answer, "Access-Control-Max-Age", MAX_AGE))
}

/// An answer of our own with the fields of CORS.
pub(super) fn with_fields(answer: Reply, cors: &CorsFields) -> Reply {
    cors.fields().fold(answer, |answer, (name, value)| {
        with_field(answer, name, value)
    })
}

fn with_field(answer: Reply, name: &str, value: &str) -> Reply {
    match reply::data_field(name, value) {
        Some(field) => answer.with_header(field),
        None => answer,
    }
}

/// The value of a field that is there once.
fn value<'b>(head: &RequestHead<'_, 'b>, name: &str) -> Option<&'b [u8]> {
    let mut fields = head
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name));
    let value = fields.next()?.value;
    fields.next().is_none().then_some(value)
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
