//! Requests that run in a circle (RFC 8586).

use super::fields::list;
use super::request::RequestHead;

/// Whether the request has been forwarded by us before: `CDN-Loop` has our own cdn-id
/// (RFC 8586, section 2).
#[must_use]
pub fn is_loop(head: &RequestHead<'_, '_>, loop_id: &str) -> bool {
    let fields = head.fields.iter();
    let fields = fields.filter(|field| field.name.eq_ignore_ascii_case("cdn-loop"));
    fields.flat_map(|field| list(field.value)).any(|member| {
        let mut parts = member.split(|&byte| byte == b';');
        let id = parts.next().unwrap_or_default().trim_ascii_end();
        id.eq_ignore_ascii_case(loop_id.as_bytes())
    })
}
