//! Outcomes -> verdicts.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, Error as RustlsError};

use super::answer::Answer;
use super::certificate::{Certificate, remedy};
use super::check::Check;
use super::connection::Failure;
use super::report::Finding;
use super::rules::Rule;
use crate::net::tls::TlsError;

/// What a check has come to.
pub(super) struct Asked {
    pub(super) check: Check,
    pub(super) outcome: Result<Answer, Failure>,
}

impl Asked {
    fn status(&self) -> Option<u16> {
        self.outcome.as_ref().ok().map(|answer| answer.status)
    }
}

/// Judges what was asked at the URL and elsewhere, in this order.
///
/// `is_here` says that the address is one of this machine alone; `by_hand` is the command that
/// shows the TLS there.
pub(super) fn judge(asked: &[Asked], header: &str, is_here: bool, by_hand: &str) -> Vec<Finding> {
    let judge = Judge {
        is_here,
        by_hand,
        ..Judge::new(asked)
    };
    let finding = |asked: &Asked| {
        let (rule, detail) = judge.verdict(asked);
        Finding {
            check: asked.check.label(header),
            answer: shown(&asked.outcome),
            verdict: rule.verdict(),
            detail,
        }
    };
    asked.iter().map(finding).collect()
}

/// The answer in one word.
fn shown(outcome: &Result<Answer, Failure>) -> String {
    match outcome {
        Ok(answer) => answer.status.to_string(),
        Err(Failure::Connect(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "refused".into()
        }
        Err(Failure::Connect(_)) => "no connection".into(),
        Err(Failure::Tls(_)) => "no TLS".into(),
        Err(Failure::Closed) => "closed".into(),
        Err(Failure::Malformed(_)) => "no HTTP".into(),
        Err(Failure::Late) => "silence".into(),
        Err(Failure::System(_)) => "error".into(),
        Err(Failure::Doubtful(_)) => "not asked".into(),
    }
}

/// What the answers are held against.
struct Judge<'a> {
    /// The answer to the right secret, where that was let in.
    granted: Option<u16>,
    /// Whether the origin answered at the end as it did at the beginning.
    still_listens: bool,
    /// Whether the right secret was asked with.
    has_secret: bool,
    /// Whether a loopback address is asked.
    is_here: bool,
    looks_at: LooksAt,
    by_hand: &'a str,
}

/// What an origin looks at before it lets a request in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LooksAt {
    /// Nothing: who has no secret or a wrong one is let in.
    Nothing,
    /// Something, or that is not known.
    Something,
}

impl LooksAt {
    /// From the answers to no secret and to a wrong one.
    fn of(statuses: [Option<u16>; 2]) -> Self {
        let is_let_in = |status: &Option<u16>| matches!(status, Some(200..=299));
        if statuses.iter().all(is_let_in) {
            Self::Nothing
        } else {
            Self::Something
        }
    }
}

const SHUT_OUT: &str =
    "this machine may be blocked there by now, so that this proves nothing; try again later";

/// An application may ask for one behind a guard, too.
const ASKS_FOR_KEY: &str = "it asks for an API key (WWW-Authenticate: Bearer), so it is a gateway and no origin: probe the \
     origin; or the application asks for its own: probe a path that needs none";

impl Judge<'_> {
    fn new(asked: &[Asked]) -> Self {
        let status = |wanted: Check| {
            let mut asked = asked.iter().filter(|asked| asked.check == wanted);
            asked.next().and_then(Asked::status)
        };
        let granted = status(Check::Right).filter(|&status| is_let_in(status));
        let still_listens = status(Check::RightAgain).is_some_and(is_let_in);
        Self {
            granted,
            still_listens,
            has_secret: asked.iter().any(|asked| asked.check == Check::Right),
            is_here: false,
            looks_at: LooksAt::of([Check::Nothing, Check::Wrong].map(status)),
            by_hand: "",
        }
    }

    fn verdict(&self, asked: &Asked) -> (Rule, String) {
        match (&asked.outcome, asked.check) {
            (_, check) if check.is_right() => self.right(asked),
            (Ok(answer), Check::PlainHttp(_)) => self.plain(answer),
            (Ok(answer), Check::Backend(_)) => backend(answer, self.is_here),
            (Err(failure), Check::PlainHttp(_)) => {
                self.other_port(failure, Rule::PlainClosed, Rule::PlainUnknown)
            }
            (Err(failure), Check::Backend(_)) => {
                self.other_port(failure, Rule::BackendClosed, Rule::BackendUnknown)
            }
            (Ok(answer), Check::Nothing) if !self.has_secret && answer.asks_for_key() => {
                (Rule::Denied, format!("denied; {ASKS_FOR_KEY}"))
            }
            (Ok(answer), check) => self.denial(check, answer.status),
            (Err(failure), _) => self.no_answer(failure),
        }
    }

    /// What is to be let in.
    fn right(&self, asked: &Asked) -> (Rule, String) {
        let (rule, detail) = of_right_secret(&asked.outcome, self.by_hand);
        let is_at_end = asked.check == Check::RightAgain;
        if is_at_end && self.granted.is_some() && rule != Rule::GatewayLetIn {
            return (Rule::GatewayUnknown, SHUT_OUT.into());
        }
        (rule, detail)
    }

    /// What is to be denied, and was answered with `status`.
    fn denial(&self, check: Check, status: u16) -> (Rule, String) {
        let unknown = |why: &str| (Rule::DenialUnknown, why.to_owned());
        let same = self.granted == Some(status);
        match status {
            401 => (Rule::Denied, "denied".into()),
            403 if self.granted.is_some() && self.still_listens => {
                (Rule::DeniedOtherwise, "denied".into())
            }
            403 if self.granted.is_some() => unknown(SHUT_OUT),
            403 if self.has_secret => unknown(
                "403 with the secret too, so it may be this address that is refused; ask from the \
                 gateway's address",
            ),
            403 => {
                unknown("it may be this address that is refused; name the secret by --secret-file")
            }
            429 => unknown(SHUT_OUT),
            200..=299 if self.looks_at == LooksAt::Nothing => {
                (Rule::GotThrough, all_let_in(check).into())
            }
            200..=299 => (Rule::GotThrough, let_in(check).into()),
            500..=599 => unknown(
                "the origin failed, so nobody can tell whether it was let in; look at its log",
            ),
            _ if same => unknown(&format!(
                "{status} with the secret too; probe a path that answers 200 with the secret"
            )),
            _ if self.granted.is_some() => (Rule::DeniedOtherwise, "denied".into()),
            _ if self.has_secret => unknown(&format!(
                "{status}, and the right secret is not let in either; probe a path that answers \
                 200 with the secret"
            )),
            _ => unknown(&format!(
                "{status} may come from the application; name the secret by --secret-file"
            )),
        }
    }

    fn no_answer(&self, failure: &Failure) -> (Rule, String) {
        match failure {
            Failure::Closed if self.granted.is_some() && self.still_listens => (
                Rule::DeniedOtherwise,
                "denied by closing the connection".into(),
            ),
            Failure::Closed | Failure::Connect(_) | Failure::Late if self.granted.is_some() => {
                (Rule::DenialUnknown, SHUT_OUT.into())
            }
            _ => (Rule::DenialUnknown, explained(failure, self.by_hand)),
        }
    }

    /// What is wrong at a port that is best closed.
    fn other_port(&self, failure: &Failure, closed: Rule, unknown: Rule) -> (Rule, String) {
        match failure {
            Failure::Connect(_) => (closed, "closed".into()),
            Failure::Closed => (closed, "nothing is served there".into()),
            _ => {
                let why = explained(failure, self.by_hand);
                (unknown, format!("the port is open, and {why}"))
            }
        }
    }

    /// What plain HTTP beside https answers without a secret.
    fn plain(&self, answer: &Answer) -> (Rule, String) {
        match answer.status {
            300..=399 if leads_to_https(answer) => (Rule::PlainToHttps, "sends to https".into()),
            401 | 403 => (
                Rule::PlainAsks,
                "it asks for the secret without TLS: a gateway that sends it there shows it to \
                 everybody on the way; answer 308 to https there, or close the port"
                    .into(),
            ),
            200..=299 => (
                Rule::PlainOpen,
                "let in over plain HTTP without a secret; answer 308 to https there, or close the \
                 port"
                    .into(),
            ),
            status if self.granted.is_some_and(|granted| granted != status) && is_told(status) => {
                (Rule::PlainNotServed, "not served there".into())
            }
            status => {
                let (_, why) = self.denial(Check::Nothing, status);
                (Rule::PlainUnknown, why)
            }
        }
    }
}

/// Whether a status tells of the path, not of the server or of who asks.
fn is_told(status: u16) -> bool {
    status != 429 && status < 500
}

/// What the answer to the right secret tells.
pub(super) fn of_right_secret(outcome: &Result<Answer, Failure>, by_hand: &str) -> (Rule, String) {
    let (rule, detail) = match outcome {
        Err(failure) => return (Rule::GatewayUnknown, explained(failure, by_hand)),
        Ok(answer) if is_let_in(answer.status) => (Rule::GatewayLetIn, "let in"),
        Ok(answer) if answer.asks_for_key() => (Rule::GatewayRefused, ASKS_FOR_KEY),
        Ok(answer) => match answer.status {
            401 => (
                Rule::GatewayRefused,
                "the secret is refused; is it the one that the gateway sends, in this header?",
            ),
            403 => (
                Rule::GatewayUnknown,
                "the secret is refused, or this address is, by ALLOW_FROM, a firewall or a ban; \
                 ask from the gateway's address",
            ),
            429 => (Rule::GatewayUnknown, SHUT_OUT),
            400 => (
                Rule::GatewayUnknown,
                "the request is refused as malformed, by the guard or by what is behind it; probe a \
                 path that answers 200 with the secret",
            ),
            _ => (
                Rule::GatewayUnknown,
                "the origin failed, so nobody can tell whether it let the secret in; look at its \
                 log",
            ),
        },
    };
    (rule, detail.to_owned())
}

/// What has got through where everything does, and once how to mend it.
fn all_let_in(check: Check) -> &'static str {
    match check {
        Check::Nothing => {
            "nothing is checked at all: let in without the secret; have the origin check it on \
             this path, too"
        }
        _ => "let in, because nothing is checked",
    }
}

/// What has got through, and how to mend it.
fn let_in(check: Check) -> &'static str {
    match check {
        Check::RightThenWrong | Check::WrongThenRight => {
            "let in with a second value; refuse a request that has this header twice"
        }
        Check::RightAndMore => {
            "let in with more behind it; compare the whole value, not its beginning (^...$)"
        }
        Check::Underscores | Check::Dots => {
            "let in by another name; remove this header before the application sees it"
        }
        _ => "let in without the right secret; have the origin check it on this path, too",
    }
}

/// What a backend answers that is asked directly, without a secret.
fn backend(answer: &Answer, is_here: bool) -> (Rule, String) {
    match answer.status {
        401 => (Rule::BackendDenies, "it asks for credentials itself".into()),
        300..=399 if leads_to_https(answer) => (Rule::BackendDenies, "sends to https".into()),
        400 | 403 | 429 | 500..=599 => (
            Rule::BackendUnknown,
            format!(
                "{} tells neither that it serves nor that it denies; close the port to others",
                answer.status
            ),
        ),
        _ if is_here => (
            Rule::BackendReachedHere,
            "it answers this machine, as it must; ask from another one to learn whether others \
             reach it"
                .into(),
        ),
        _ => (
            Rule::BackendReached,
            "reached around the guard; bind it to 127.0.0.1".into(),
        ),
    }
}

/// Whether a request with this answer came past whoever checks the secret. A path that the
/// application does not have is 404 behind the check.
fn is_let_in(status: u16) -> bool {
    !matches!(status, 400 | 401 | 403 | 429 | 500..)
}

fn leads_to_https(answer: &Answer) -> bool {
    let location = answer.field("location").unwrap_or_default();
    let scheme = location.get(..8);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// Why there is no answer, for the operator, and what to do; `by_hand` is the command that
/// shows the TLS there.
pub(super) fn explained(failure: &Failure, by_hand: &str) -> String {
    match failure {
        Failure::Connect(error) => format!("no connection can be made: {error}; {}", way(error)),
        Failure::Tls(TlsError::Rustls(RustlsError::InvalidCertificate(why))) => {
            format!("{}; {}", Certificate(why), remedy(why, by_hand))
        }
        Failure::Tls(TlsError::Truncated) => {
            "it ends the connection in the handshake: this port speaks no TLS, or this address is \
             refused, as by ALLOW_FROM; look at the port, or ask from the gateway's address"
                .into()
        }
        Failure::Tls(TlsError::Rustls(RustlsError::AlertReceived(
            AlertDescription::CertificateRequired,
        ))) => {
            "it wants a client's certificate; set ORIGIN_CLIENT_CERT and ORIGIN_CLIENT_KEY".into()
        }
        Failure::Tls(error) if error.reason() == "not_tls" => {
            "what answers there is no TLS; is it the port of https?".into()
        }
        Failure::Tls(error) => {
            format!("TLS fails: {error}; look at it with: {by_hand}")
        }
        Failure::Closed => {
            "it ends the connection without an answer; look at the origin's log, or ask from the \
             gateway's address"
                .into()
        }
        Failure::Malformed(reason) => {
            let reason = reason.replace('_', " ");
            format!("what it answers is not HTTP ({reason}); is it the port of the origin?")
        }
        Failure::Late => {
            "it answers nothing in ten seconds; look at the origin's log, or probe another path"
                .into()
        }
        Failure::System(error) => {
            format!("this machine denies it: {error}; look at its limits and its firewall")
        }
        Failure::Doubtful(doubt) => format!(
            "it may be somebody else's program, and was not sent the secret: {}; look whose it is \
             (ss -ltnp)",
            doubt.who()
        ),
    }
}

/// What to do where no connection can be made.
fn way(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "does the origin run, and is this its port?",
        ErrorKind::TimedOut => {
            "is it the right address? A firewall may let the gateway in alone: ask from its address"
        }
        _ => "look at the address, and at the way there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_answers_this_machine_alone_is_no_hole() {
        for (is_here, wanted) in [
            (true, Rule::BackendReachedHere),
            (false, Rule::BackendReached),
        ] {
            assert_eq!(backend(&Answer::of(200), is_here).0, wanted);
        }
    }
}
