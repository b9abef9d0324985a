//! The right secret alone, in one request, and the same request without it: for who wants to
//! know whether it is taken, and whether it is needed.

use super::answer::{Answer, Exchange, ask_over};
use super::check::{Check, Request};
use super::connection::{Connection, Failure};
use super::judge::of_right_secret;
use super::rules::Rule;
use crate::auth::secrets::Text;
use crate::http1::names::is_own_challenge;

/// What is asked for, by GET, where nothing else is known to need the secret: the path of the
/// contract. In front of an application a guard passes it on, which changes nothing there
/// (RFC 9110, section 9.2.1); by itself it answers 401 or 200 to it, and 404 to any other
/// path, whatever it is sent.
pub(crate) const PATH: &str = "/protected";

/// Who is sent what.
pub(crate) struct RightSecret<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) header: &'a str,
    pub(crate) secret: &'a Text,
}

/// Whether a secret is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// A guard refuses it.
    No,
    /// Somebody answers 401, be it for the secret or for credentials of an application.
    Unauthorized,
    /// It cannot be told.
    Unknown,
}

/// Whether who knows no secret is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strangers {
    LetIn,
    Denied,
    /// It cannot be told.
    Unknown,
}

impl RightSecret<'_> {
    /// Sends it over `connection`. Inside TLS nothing leaves before the certificate is
    /// verified; without it whoever is on the way can read the secret.
    pub(crate) fn ask(&self, connection: Connection) -> Exchange {
        self.send(connection, Check::Right)
    }

    /// Sends the same request without the secret.
    pub(crate) fn ask_without(&self, connection: Connection) -> Exchange {
        self.send(connection, Check::Nothing)
    }

    fn send(&self, connection: Connection, check: Check) -> Exchange {
        let request = Request {
            path: self.path,
            authority: self.authority,
            header: self.header,
            secret: Some(self.secret),
            random: "",
        };
        match request.bytes(check) {
            Some(bytes) => ask_over(connection, &bytes, false),
            None => Exchange::failed(Failure::Malformed("no_secret")),
        }
    }
}

/// Whether a guard of ours has denied the request.
pub(crate) fn is_denied_by_guard(answer: &Answer) -> bool {
    let challenge = answer.field("www-authenticate");
    answer.status == 401
        && challenge.is_some_and(|challenge| is_own_challenge(challenge.as_bytes()))
}

/// What the answer to a request without the secret tells.
pub(crate) fn strangers(outcome: &Result<Answer, Failure>) -> Strangers {
    match outcome {
        Ok(answer) if matches!(answer.status, 401 | 403) => Strangers::Denied,
        // Who wants a certificate, or knows who may connect, ends the connection.
        Err(Failure::Closed | Failure::Tls(_)) => Strangers::Denied,
        _ if of_right_secret(outcome, "").0 == Rule::GatewayLetIn => Strangers::LetIn,
        _ => Strangers::Unknown,
    }
}

/// What the answer tells, and why where it tells nothing.
pub(crate) fn taken(outcome: &Result<Answer, Failure>) -> (Taken, String) {
    // Whoever asks here has words of its own for what is not answered.
    let (rule, why) = of_right_secret(outcome, "");
    let by_guard = || outcome.as_ref().is_ok_and(is_denied_by_guard);
    let taken = match rule {
        Rule::GatewayLetIn => Taken::Yes,
        Rule::GatewayRefused if by_guard() => Taken::No,
        Rule::GatewayRefused => Taken::Unauthorized,
        _ => Taken::Unknown,
    };
    (taken, why)
}
