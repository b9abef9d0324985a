//! What stands behind a listener, and what it may decide.

use crate::http1::edits::Edits;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::request::RequestHead;
use crate::http1::static_response::StaticResponse;
use crate::log::AccessEntry;
use crate::metrics::Counter;
use crate::net::Peer;
use crate::net::tls::TlsError;

/// What answers the requests of a listener.
pub trait Handler: Send + Sync + 'static {
    /// Decides on a request from `peer`. Its body has not been read.
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision;

    /// Answers in place of a request that the loop refuses.
    fn refuse(&self, error: &RequestError, peer: Peer) -> Reply;

    /// Takes note of a connection whose TLS has failed.
    fn tls_failed(&self, error: &TlsError, peer: Peer);

    /// Answers with `status` in place of a backend that has failed.
    fn failed(&self, status: u16) -> Reply;
}

/// What becomes of a request.
pub enum Decision {
    /// This answers it.
    Respond(Answer),
    /// A backend answers it.
    Forward {
        /// What the backend gets in place of what came.
        edits: Edits,
        /// Its line in the log, where all requests have one.
        entry: Option<Box<AccessEntry>>,
        /// What counts it, once it is on its way.
        counter: &'static Counter,
    },
}

/// What answers a request.
pub struct Answer {
    /// The response.
    pub(crate) response: AnswerKind,
    granted: bool,
}

/// The kinds of response.
pub(crate) enum AnswerKind {
    /// The same to everyone.
    Static(&'static StaticResponse),
    /// Made for this request.
    Made(Reply),
}

impl Answer {
    /// Notes that the request has presented a good credential.
    #[must_use]
    pub fn granted(self) -> Self {
        Self {
            granted: true,
            ..self
        }
    }

    /// The same with more fields.
    #[must_use]
    pub fn with_fields(self, more: impl FnOnce(Reply) -> Reply) -> Self {
        let granted = self.granted;
        let reply = more(self.into_reply());
        Self {
            response: AnswerKind::Made(reply),
            granted,
        }
    }

    /// Whether the request has presented a good credential.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.granted
    }

    /// The response itself.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        match self.response {
            AnswerKind::Static(response) => response.response(),
            AnswerKind::Made(reply) => reply,
        }
    }

    /// Its status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match &self.response {
            AnswerKind::Static(response) => response.response().status_code().0,
            AnswerKind::Made(reply) => reply.status_code().0,
        }
    }
}

impl From<&'static StaticResponse> for Answer {
    fn from(response: &'static StaticResponse) -> Self {
        Self {
            response: AnswerKind::Static(response),
            granted: false,
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            response: AnswerKind::Made(reply),
            granted: false,
        }
    }
}
