//! What a handler wants changed in a request on its way.

/// How a request that is forwarded differs from the one that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edits {
    /// The right secret came with it, so its sender is the gateway: it loses the secret.
    Granted,
    /// Nobody checked it: it keeps nothing but the fields of a short list.
    Public,
}
