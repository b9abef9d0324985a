//! Whether an origin takes the gateway's secret, and lets nobody in without it.

use std::fmt;

use crate::admin_client::Doubt;
use crate::config::Config;
use crate::config::variables::VARIABLES;
use crate::finding::{Finding, Level};
use crate::net::Address;
use crate::net::tls::TlsSession;
use crate::probe::answer::Answer;
use crate::probe::connection::{Connection, Failure};
use crate::probe::right_secret::{
    PATH, RightSecret, Strangers, Taken, is_denied_by_guard, strangers, taken,
};

const ORIGIN: &str = "ORIGIN";
/// What to do where the secret is refused.
const REFUSED: &str = "the first secret here has to be one of the origin's, in the same \
                       SECRET_HEADER: compare both files; in a rotation the origin gets the new \
                       one first (`origin-guard secret rotate` there), then this gateway";

/// What every origin is asked for first, without the secret.
pub(super) const ROOT: &str = "/";

/// Whether the gateway itself would send the secret to the origins: nothing of what says
/// where it goes, and how, is at fault.
pub(super) fn is_sent(config: &Config, is_sound: &dyn Fn(&str) -> bool) -> bool {
    let is_decisive = |name: &str| {
        name.starts_with(ORIGIN) || ["GATEWAY_LISTEN", "SECRET_HEADER"].contains(&name)
    };
    let mut names = VARIABLES.iter().map(|variable| variable.name);
    config.gateway.is_some() && names.all(|name| !is_decisive(name) || is_sound(name))
}

type Outcome = Result<Answer, Failure>;

/// An origin that has answered a HEAD of [`ROOT`] without the secret.
pub(super) struct Asked<'a> {
    /// What it is called.
    pub(super) name: &'a str,
    /// What is sent there, at a path that is chosen here.
    pub(super) right: RightSecret<'a>,
    /// Where it answers.
    pub(super) address: &'a Address,
    /// What it has answered.
    pub(super) root: &'a Answer,
    /// TLS with the gateway's own certificate, where it has one; `None` where it is plain.
    pub(super) session: &'a dyn Fn() -> Option<TlsSession>,
    /// TLS without that, where it has one.
    pub(super) without_own: &'a dyn Fn() -> Option<TlsSession>,
}

impl Asked<'_> {
    /// What is found. Each request that a guard denies counts where fail2ban reads its log, so
    /// that no more are sent than it takes: on the way to a guard, one in all.
    pub(super) fn look(mut self) -> Finding {
        // There the secret is needed, as has been seen.
        if let Some(finding) = self.sent_elsewhere() {
            return finding;
        }
        let is_guarded = is_denied_by_guard(self.root);
        self.right.path = if is_guarded { ROOT } else { PATH };
        let status = match self.right() {
            Ok(status) => status,
            Err(finding) => return finding,
        };
        if is_guarded {
            return self.takes(status, "HEAD / without it 401");
        }
        let without = self.without((self.session)());
        match (strangers(&without), &without) {
            (Strangers::Denied, Ok(answer)) => {
                return self.takes(status, format_args!("without it {}", answer.status));
            }
            (Strangers::Denied, Err(_)) => {
                return self.takes(status, "without it the connection ends");
            }
            (Strangers::Unknown, _) => {
                return self.takes(status, "whether it is needed there cannot be told");
            }
            (Strangers::LetIn, _) => {}
        }
        if matches!(self.root.status, 401 | 403) {
            // That path may be open on purpose.
            self.right.path = ROOT;
            if let Ok(status) = self.right() {
                let denied = format_args!("HEAD / without it {}", self.root.status);
                return self.takes(status, denied);
            }
            self.right.path = PATH;
        }
        if let Some(session) = (self.without_own)()
            && strangers(&self.without(Some(session))) == Strangers::Denied
        {
            return Finding::note(
                ORIGIN,
                format_args!(
                    "{} lets this gateway's certificate in, with the secret or without it, and \
                     nobody who has no certificate (GET {PATH})",
                    self.name
                ),
            );
        }
        self.open(status, without.map_or(0, |answer| answer.status))
    }

    /// Who sends clients to https is not sent the secret, which would cross the network in
    /// the clear; a guard's `redirect:` answers 421 where it does not know the name.
    fn sent_elsewhere(&self) -> Option<Finding> {
        if (self.session)().is_some() {
            return None;
        }
        let (name, status) = (self.name, self.root.status);
        let location = self.root.field("location").unwrap_or_default();
        let is_https = |location: &str| {
            let scheme = location.get(.."https://".len());
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
        };
        let what = match status {
            300..=399 if is_https(location) => "sends every request to https",
            421 => "does not serve this name in plain HTTP, as one that sends clients to https",
            _ => return None,
        };
        Some(Finding::new(
            Level::Fault,
            ORIGIN,
            format_args!("{name} {what} (HEAD / answers {status}), and was not sent the secret"),
            "write https:// and the port where it speaks TLS (ORIGIN=https://origin.example)",
        ))
    }

    /// Asks with the secret. The status where it is taken, else what is found.
    fn right(&self) -> Result<u16, Finding> {
        let outcome = self.ask_right();
        if let Err(Failure::Doubtful(doubt)) = outcome {
            return Err(not_sent(self.name, self.address, doubt));
        }
        let status = outcome.as_ref().map_or(0, |answer| answer.status);
        match taken(&outcome) {
            (Taken::Yes, _) => Ok(status),
            (taken, why) => {
                let failure = outcome.as_ref().err().map(no_answer);
                let why = failure.unwrap_or(&why);
                Err(self.not_taken(taken, why, outcome.is_ok().then_some(status)))
            }
        }
    }

    fn ask_right(&self) -> Outcome {
        let connection = Connection::open_for_secret(self.address, (self.session)())?;
        self.right.ask(connection).outcome
    }

    fn without(&self, session: Option<TlsSession>) -> Outcome {
        let connection = Connection::open(self.address, session)?;
        self.right.ask_without(connection).outcome
    }

    fn takes(&self, status: u16, and: impl fmt::Display) -> Finding {
        Finding::note(
            ORIGIN,
            format_args!(
                "{} takes this secret: GET {} with it answers {status}, and {and}",
                self.name, self.right.path
            ),
        )
    }

    /// Who knows no secret is let in. At a Unix socket its file says who that can be.
    fn open(&self, with: u16, without: u16) -> Finding {
        let (name, header) = (self.name, self.right.header);
        let asked = format!(
            "GET {PATH} answers {with} with it and {without} without it, HEAD / {} without it",
            self.root.status
        );
        if self.address.socket_addr().is_none() {
            return Finding::note(
                ORIGIN,
                format_args!(
                    "{name} answers without the secret, too: it is open to everybody who may \
                     connect to this socket ({asked})"
                ),
            );
        }
        let who = if self.address.is_local() {
            "everybody on this machine"
        } else {
            "everybody"
        };
        let scheme = if (self.session)().is_some() {
            "https"
        } else {
            "http"
        };
        Finding::new(
            Level::Warning,
            ORIGIN,
            format_args!("{name} answers without the secret, too: it is open to {who} ({asked})"),
            format_args!(
                "start an origin-guard in front of it, with BACKEND, and name that here; or have \
                 it refuse requests without the right {header}. If it does so only at some \
                 paths, look at one of them: origin-guard probe \
                 {scheme}://{name}/that/path"
            ),
        )
    }

    /// That it refuses the secret, or why it cannot be told. `status` is that of its answer.
    fn not_taken(&self, taken: Taken, why: &str, status: Option<u16>) -> Finding {
        let (name, path) = (self.name, self.right.path);
        let asked = status.map(|status| format!("GET {path} with it answers {status}"));
        let asked = asked.unwrap_or_default();
        match taken {
            Taken::No => Finding::new(
                Level::Fault,
                ORIGIN,
                format_args!("{name} refuses this secret: {asked}"),
                REFUSED,
            ),
            Taken::Unauthorized => Finding::new(
                Level::Warning,
                ORIGIN,
                format_args!(
                    "{name} refuses this secret, or what is behind it asks for credentials of its \
                     own: {asked}"
                ),
                REFUSED,
            ),
            Taken::Unknown if status == Some(403) && self.root.status == 403 => Finding::new(
                Level::Warning,
                ORIGIN,
                format_args!(
                    "{name} answers 403 with this secret and without it (GET {path}), so that it \
                     may let nobody in from this machine"
                ),
                "look whether this machine's address is in ALLOW_FROM there, and whether a \
                 firewall or fail2ban there refuses it",
            ),
            Taken::Unknown | Taken::Yes => {
                let between = if asked.is_empty() { "" } else { "; " };
                Finding::note(
                    ORIGIN,
                    format_args!(
                        "whether {name} takes this secret cannot be told: {asked}{between}{why}"
                    ),
                )
            }
        }
    }
}

/// Why none came to this request, where one had come to another just before.
fn no_answer(failure: &Failure) -> &'static str {
    match failure {
        Failure::Connect(_) | Failure::System(_) | Failure::Doubtful(_) => {
            "it took no second connection"
        }
        Failure::Tls(_) => "it broke off TLS",
        Failure::Closed => "it ended the connection without an answer",
        Failure::Malformed(_) => "what it answered is not HTTP/1.1",
        Failure::Late => "it answered nothing in ten seconds",
    }
}

fn not_sent(name: &str, address: &Address, doubt: Doubt) -> Finding {
    let listed = match address {
        Address::Unix(_) => "ss -lxnp",
        _ => "ss -ltnp",
    };
    Finding::new(
        Level::Warning,
        ORIGIN,
        format_args!(
            "{name} may be somebody else's program, and was not sent the secret: {}",
            doubt.who()
        ),
        format_args!(
            "look whose it is ({listed}), because the gateway does send the secret there; an \
             origin on this machine is best at a Unix socket in a folder that others cannot write \
             to (ORIGIN=http://unix:/run/origin/guard.sock)"
        ),
    )
}
