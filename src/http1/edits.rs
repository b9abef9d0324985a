//! What a handler wants changed in a request and its answer on their way.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// How a request that is forwarded differs from the one that came.
#[derive(Debug)]
pub enum Edits {
    /// The right secret came with it, so its sender is the gateway: it loses the secret.
    Granted,
    /// Nobody checked it: it keeps nothing but the fields of a short list.
    Public,
    /// A good API key came with it: it loses the key, and gets the secret and who the
    /// consumer is.
    Consumer(Box<ConsumerFields>),
}

/// What is set on a request of a consumer.
pub struct ConsumerFields {
    /// The name of the field that holds the secret.
    pub secret_header: String,
    /// Who the consumer is.
    pub consumer: String,
    /// What is said of the consumer: compact JSON in ASCII, or nothing.
    pub metadata: String,
    /// The name of the parameter that holds the key, and is taken out of the target and of
    /// `Referer`.
    pub key_parameter: Option<Arc<str>>,
    /// What becomes of the answer; with the secret.
    pub answer: AnswerEdits,
}

impl fmt::Debug for ConsumerFields {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("ConsumerFields")
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

/// How an answer differs from what a backend gave.
#[derive(Clone, Default)]
pub struct AnswerEdits {
    /// The secret that went with the request, and must not come back.
    pub secret: Option<Zeroizing<String>>,
    /// Whether the target held the key, so that no shared cache may keep the answer.
    pub is_private: bool,
    /// The fields of CORS in place of the backend's, where these are set here.
    pub cors: Option<CorsFields>,
    /// What is held until the exchange is over.
    pub held: Option<Arc<dyn Send + Sync>>,
}

/// What a browser is told of who may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsFields {
    /// The origin that may, where the request's is one that is configured.
    pub allowed_origin: Option<String>,
}

impl CorsFields {
    /// The fields that say it (Fetch Standard, section 3.3.3). Credentials are never
    /// allowed: an API key is sent in a field that the page itself sets.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        // A cache must not give one origin's answer to another one.
        let vary = ("Vary", "Origin");
        let exposed = "Retry-After, RateLimit, RateLimit-Policy";
        let allowed = self.allowed_origin.as_deref().into_iter();
        let allowed = allowed.flat_map(move |origin| {
            [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Expose-Headers", exposed),
            ]
        });
        std::iter::once(vary).chain(allowed)
    }
}

impl Edits {
    /// What becomes of the answer.
    #[must_use]
    pub fn answer(&self) -> AnswerEdits {
        match self {
            Self::Consumer(fields) => fields.answer.clone(),
            Self::Granted | Self::Public => AnswerEdits::default(),
        }
    }
}

impl AnswerEdits {
    /// The secret as a text.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(|secret| secret.as_str())
    }
}
