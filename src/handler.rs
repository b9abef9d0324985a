//! What stands behind a listener, and what it may decide.

use tiny_http::Request;

use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::static_response::StaticResponse;
use crate::net::Peer;

/// What answers the requests of a listener.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request. It has no body, and neither framing nor `Connection` fields.
    fn answer(&self, request: &Request) -> Answer;

    /// Answers in place of a request that the loop refuses.
    fn refuse(&self, error: &RequestError, peer: Peer) -> Reply;
}

/// What answers a request.
pub enum Answer {
    /// The same to everyone.
    Static(&'static StaticResponse),
    /// Made for this request.
    Made(Reply),
}

impl Answer {
    /// The response itself.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        match self {
            Self::Static(prepared) => prepared.response(),
            Self::Made(reply) => reply,
        }
    }

    /// Its status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Static(prepared) => prepared.response().status_code().0,
            Self::Made(reply) => reply.status_code().0,
        }
    }
}

impl From<&'static StaticResponse> for Answer {
    fn from(prepared: &'static StaticResponse) -> Self {
        Self::Static(prepared)
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Made(reply)
    }
}
