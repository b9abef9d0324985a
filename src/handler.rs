//! What stands behind a listener, and what it may decide.

use crate::http1::edits::Edits;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::request::RequestHead;
use crate::http1::static_response::StaticResponse;
use crate::net::Peer;

/// What answers the requests of a listener.
pub trait Handler: Send + Sync + 'static {
    /// Decides on a request from `peer`. Its body has not been read.
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision;

    /// Answers in place of a request that the loop refuses.
    fn refuse(&self, error: &RequestError, peer: Peer) -> Reply;
}

/// What becomes of a request.
pub enum Decision {
    /// This answers it.
    Respond(Answer),
    /// A backend answers it, and gets it with these edits.
    Forward(Edits),
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
