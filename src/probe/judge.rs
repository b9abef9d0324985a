//! Outcomes -> verdicts.

use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, CertificateError, Error as RustlsError};

use super::answer::Answer;
use super::check::Check;
use super::connection::Failure;
use super::report::{Finding, Verdict};
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
/// `is_here` says that the address is one of this machine alone.
pub(super) fn judge(asked: &[Asked], header: &str, is_here: bool) -> Vec<Finding> {
    let judge = Judge {
        is_here,
        ..Judge::new(asked)
    };
    let finding = |asked: &Asked| {
        let (verdict, detail) = judge.verdict(asked);
        Finding {
            check: asked.check.label(header),
            answer: shown(&asked.outcome),
            verdict,
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
    }
}

/// What the answers are held against.
struct Judge {
    /// The answer to the right secret, where that was let in.
    granted: Option<u16>,
    /// Whether the origin answered at the end as it did at the beginning.
    still_listens: bool,
    /// Whether the right secret was asked with.
    has_secret: bool,
    /// Whether a loopback address is asked.
    is_here: bool,
}

const SHUT_OUT: &str = "this address may be shut out by now, so it says nothing; try again later";

impl Judge {
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
        }
    }

    fn verdict(&self, asked: &Asked) -> (Verdict, String) {
        match (&asked.outcome, asked.check) {
            (_, check) if check.is_right() => self.right(asked),
            (Ok(answer), Check::PlainHttp(_)) => self.plain(answer),
            (Ok(answer), Check::Backend(_)) => backend(answer, self.is_here),
            (Err(failure), Check::PlainHttp(_) | Check::Backend(_)) => other_port(failure),
            (Ok(answer), check) => self.denial(check, answer.status),
            (Err(failure), _) => self.no_answer(failure),
        }
    }

    /// What is to be let in.
    fn right(&self, asked: &Asked) -> (Verdict, String) {
        let (verdict, detail) = of_right_secret(&asked.outcome);
        if asked.check == Check::RightAgain && self.granted.is_some() && verdict != Verdict::Ok {
            return (Verdict::Inconclusive, SHUT_OUT.into());
        }
        (verdict, detail)
    }

    /// What is to be denied, and was answered with `status`.
    fn denial(&self, check: Check, status: u16) -> (Verdict, String) {
        let verdict = |verdict, detail: String| (verdict, detail);
        let same = self.granted == Some(status);
        match status {
            401 => verdict(Verdict::Ok, "denied".into()),
            403 if self.granted.is_some() && self.still_listens => {
                verdict(Verdict::Ok, "denied".into())
            }
            403 if self.granted.is_some() => verdict(Verdict::Inconclusive, SHUT_OUT.into()),
            403 if self.has_secret => verdict(
                Verdict::Inconclusive,
                "403 with the secret too, so it may be this address that is refused; ask from the \
                 gateway's address"
                    .into(),
            ),
            403 => verdict(
                Verdict::Inconclusive,
                "it may be this address that is refused; name the secret by --secret-file".into(),
            ),
            429 => verdict(Verdict::Inconclusive, SHUT_OUT.into()),
            200..=299 => verdict(Verdict::Hole, let_in(check).into()),
            500..=599 => verdict(
                Verdict::Inconclusive,
                "the origin failed, so nobody can tell whether it was let in".into(),
            ),
            _ if same => verdict(
                Verdict::Inconclusive,
                format!(
                    "{status} with the secret too; probe a path that answers 200 with the secret"
                ),
            ),
            _ if self.granted.is_some() => verdict(Verdict::Ok, "denied".into()),
            _ if self.has_secret => verdict(
                Verdict::Inconclusive,
                format!(
                    "{status}, and the right secret is not let in either; probe a path that \
                     answers 200 with the secret"
                ),
            ),
            _ => verdict(
                Verdict::Inconclusive,
                format!("{status} may come from the application; name the secret by --secret-file"),
            ),
        }
    }

    fn no_answer(&self, failure: &Failure) -> (Verdict, String) {
        match failure {
            Failure::Closed if self.granted.is_some() && self.still_listens => {
                (Verdict::Ok, "denied by closing the connection".into())
            }
            Failure::Closed | Failure::Connect(_) | Failure::Late if self.granted.is_some() => {
                (Verdict::Inconclusive, SHUT_OUT.into())
            }
            _ => (Verdict::Inconclusive, explained(failure)),
        }
    }

    /// What plain HTTP beside https answers without a secret.
    fn plain(&self, answer: &Answer) -> (Verdict, String) {
        match answer.status {
            300..=399 if leads_to_https(answer) => (Verdict::Ok, "sends to https".into()),
            401 | 403 => (
                Verdict::Warning,
                "it asks for the secret without TLS: who sends it there shows it to everybody \
                 on the way; answer 308 to https there, or close the port"
                    .into(),
            ),
            200..=299 => (
                Verdict::Hole,
                "let in over plain HTTP without a secret".into(),
            ),
            status if self.granted.is_some_and(|granted| granted != status) && status < 429 => {
                (Verdict::Ok, "not served there".into())
            }
            status => self.denial(Check::Nothing, status),
        }
    }
}

/// What the answer to the right secret tells.
pub(super) fn of_right_secret(outcome: &Result<Answer, Failure>) -> (Verdict, String) {
    let (verdict, detail) = match outcome {
        Err(failure) => return (Verdict::Inconclusive, explained(failure)),
        Ok(answer) if is_let_in(answer.status) => (Verdict::Ok, "let in"),
        Ok(answer) => match answer.status {
            401 => (
                Verdict::Fault,
                "the secret is refused; is it the one that the gateway sends, in this header?",
            ),
            403 => (
                Verdict::Inconclusive,
                "the secret is refused, or this address is, by ALLOW_FROM, a firewall or a ban",
            ),
            429 => (Verdict::Inconclusive, SHUT_OUT),
            400 => (
                Verdict::Inconclusive,
                "the request is refused as a bad one, by whoever came to it; probe a path that \
                 answers 200 with the secret",
            ),
            _ => (
                Verdict::Inconclusive,
                "the origin failed, so nobody can tell whether it let the secret in",
            ),
        },
    };
    (verdict, detail.to_owned())
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
        _ => "let in without the right secret",
    }
}

/// What a backend answers that is asked directly, without a secret.
fn backend(answer: &Answer, is_here: bool) -> (Verdict, String) {
    match answer.status {
        401 => (Verdict::Ok, "it asks for credentials itself".into()),
        300..=399 if leads_to_https(answer) => (Verdict::Ok, "sends to https".into()),
        400 | 403 | 429 | 500..=599 => (
            Verdict::Inconclusive,
            format!(
                "{} tells neither that it serves nor that it denies; close the port to others",
                answer.status
            ),
        ),
        _ if is_here => (
            Verdict::Inconclusive,
            "it answers this machine, as it must; ask from another one to learn whether others \
             reach it"
                .into(),
        ),
        _ => (
            Verdict::Hole,
            "reached around the guard; bind it to 127.0.0.1".into(),
        ),
    }
}

/// What is wrong at a port that is best closed.
fn other_port(failure: &Failure) -> (Verdict, String) {
    match failure {
        Failure::Connect(_) => (Verdict::Ok, "closed".into()),
        Failure::Closed => (Verdict::Ok, "nothing is served there".into()),
        _ => (
            Verdict::Inconclusive,
            format!("the port is open, and {}", explained(failure)),
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

/// Why there is no answer, for the operator.
pub(super) fn explained(failure: &Failure) -> String {
    match failure {
        Failure::Connect(error) => format!("no connection can be made: {error}"),
        Failure::Tls(TlsError::Rustls(RustlsError::InvalidCertificate(why))) => unverified(why),
        Failure::Tls(TlsError::Truncated) => {
            "it ends the connection in the handshake: this port speaks no TLS, or this address is \
             refused, as by ALLOW_FROM"
                .into()
        }
        Failure::Tls(TlsError::Rustls(RustlsError::AlertReceived(
            AlertDescription::CertificateRequired,
        ))) => {
            "it wants a client's certificate; set ORIGIN_CLIENT_CERT and ORIGIN_CLIENT_KEY".into()
        }
        Failure::Tls(TlsError::Rustls(RustlsError::InvalidMessage(_))) => {
            "what answers there is no TLS; is it the port of https?".into()
        }
        Failure::Tls(error) => format!("TLS fails: {error}"),
        Failure::Closed => "it ends the connection without an answer".into(),
        Failure::Malformed(reason) => format!("what it answers is not HTTP ({reason})"),
        Failure::Late => "it answers nothing in ten seconds".into(),
        Failure::System(error) => format!("this machine denies it: {error}"),
    }
}

/// Why a certificate cannot be verified, and what to do.
fn unverified(why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            let end = SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs());
            format!("it ended {}; renew it", httpdate::fmt_http_date(end))
        }
        CertificateError::Expired => "it has ended; renew it".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; look at both clocks".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than the URL's".into()
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted; serve the whole chain, or \
                                            name the file of its authority by --ca-file"
            .into(),
        other => format!("it cannot be verified: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_answers_this_machine_alone_is_no_hole() {
        for (is_here, wanted) in [(true, Verdict::Inconclusive), (false, Verdict::Hole)] {
            assert_eq!(backend(&Answer::of(200), is_here).0, wanted);
        }
    }
}
