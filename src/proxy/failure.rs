//! Why an exchange ends without the backend's whole answer.

use std::fmt;

/// What went wrong, and on whose side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No backend takes a connection.
    Refused,
    /// The backend's name has no address.
    Unresolved,
    /// The system has no file or no port left for a connection to a backend.
    Full,
    /// The backend takes no connection in time.
    ConnectTimeout,
    /// The backend does not answer in time, or takes nothing of the request.
    Timeout,
    /// The backend's connection ended before its answer did.
    Reset,
    /// No TLS can be spoken with the backend, or its certificate is not believed.
    Tls(&'static str),
    /// The backend's answer is not HTTP that this program reads.
    Malformed(&'static str),
    /// The client sends nothing of its body for too long.
    BodyTimeout,
    /// The client's body is not framed as it must be.
    BodyMalformed(&'static str),
    /// The client has closed its side within its body.
    BodyIncomplete,
    /// The client's body is longer than it may be.
    BodyTooLarge,
    /// The client takes nothing of the answer for too long.
    WriteTimeout,
    /// The client is gone.
    ClientGone,
    /// Nothing moves in a tunnel for too long.
    TunnelIdle,
}

impl Failure {
    /// The status that answers the client, where an answer is still possible; 499 is
    /// nginx's, for the log alone.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Refused | Self::Unresolved | Self::Reset | Self::Tls(_) | Self::Malformed(_) => {
                502
            }
            Self::ConnectTimeout | Self::Timeout => 504,
            Self::BodyTimeout => 408,
            Self::BodyMalformed(_) | Self::BodyIncomplete => 400,
            Self::BodyTooLarge => 413,
            Self::Full => 503,
            Self::WriteTimeout | Self::ClientGone | Self::TunnelIdle => 499,
        }
    }

    /// One word for the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
            Self::Full => "full",
            Self::ConnectTimeout => "connect_timeout",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Tls(_) => "tls",
            Self::Malformed(_) => "malformed",
            Self::BodyTimeout => "body_timeout",
            Self::BodyMalformed(reason) => reason,
            Self::BodyIncomplete => "incomplete_body",
            Self::BodyTooLarge => "body_too_large",
            Self::WriteTimeout => "write_timeout",
            Self::ClientGone => "client_gone",
            Self::TunnelIdle => "tunnel_idle",
        }
    }

    /// What exactly is wrong with the backend's answer or its TLS.
    #[must_use]
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::Malformed(detail) | Self::Tls(detail) => Some(detail),
            _ => None,
        }
    }

    /// Whether the backend is at fault, and not the client.
    #[must_use]
    pub fn is_backends(self) -> bool {
        matches!(self.status(), 502 | 504)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.reason())
    }
}

impl std::error::Error for Failure {}
