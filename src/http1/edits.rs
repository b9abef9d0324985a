//! What a handler wants changed in a request on its way.

use std::fmt;

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
    /// The secret.
    pub secret: Zeroizing<String>,
    /// Who the consumer is.
    pub consumer: String,
    /// What is said of the consumer: compact JSON in ASCII, or nothing.
    pub metadata: String,
}

impl fmt::Debug for ConsumerFields {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("ConsumerFields")
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

impl Edits {
    /// The secret that goes with the request, and must not come back.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Consumer(fields) => Some(fields.secret.as_str()),
            Self::Granted | Self::Public => None,
        }
    }
}
