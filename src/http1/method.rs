//! Request methods (RFC 9110, section 9).

use super::token::is_token_byte;

/// A request's method: any token, case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method<'b>(&'b str);

impl<'b> Method<'b> {
    /// `None` where `bytes` are no token.
    pub(crate) fn parse(bytes: &'b [u8]) -> Option<Self> {
        // The bytes of the usual methods need no look.
        Some(Self(match bytes {
            b"GET" => "GET",
            b"HEAD" => "HEAD",
            b"POST" => "POST",
            b"PUT" => "PUT",
            b"DELETE" => "DELETE",
            b"OPTIONS" => "OPTIONS",
            b"PATCH" => "PATCH",
            _ => {
                let is_token = !bytes.is_empty() && bytes.iter().copied().all(is_token_byte);
                if !is_token {
                    return None;
                }
                std::str::from_utf8(bytes).ok()?
            }
        }))
    }

    /// The token itself.
    #[must_use]
    pub fn as_str(self) -> &'b str {
        self.0
    }

    /// Whether it is GET.
    #[must_use]
    pub fn is_get(self) -> bool {
        self.0 == "GET"
    }

    /// Whether it is HEAD, whose answer has no body (RFC 9110, section 9.3.2).
    #[must_use]
    pub fn is_head(self) -> bool {
        self.0 == "HEAD"
    }

    /// Whether it is OPTIONS.
    #[must_use]
    pub fn is_options(self) -> bool {
        self.0 == "OPTIONS"
    }

    /// Whether it is TRACE, whose answer repeats the request, credentials included
    /// (RFC 9110, section 9.3.8).
    #[must_use]
    pub fn is_trace(self) -> bool {
        self.0 == "TRACE"
    }

    pub(crate) fn is_connect(self) -> bool {
        self.0 == "CONNECT"
    }

    /// Whether it asks for nothing but to read (RFC 9110, section 9.2.1).
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self.0, "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }

    /// Whether a second request has the effect of one (RFC 9110, section 9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self.0, "PUT" | "DELETE")
    }
}
