//! Whether an origin takes the gateway's secret.

use std::fmt;

use crate::admin_client::{Doubt, Whose, listener};
use crate::config::Config;
use crate::config::variables::VARIABLES;
use crate::finding::{Finding, Level};
use crate::net::Address;
use crate::net::tls::TlsSession;
use crate::probe::answer::Answer;
use crate::probe::connection::{Connection, Failure};
use crate::probe::right_secret::{PATH, RightSecret, Taken, taken};

const ORIGIN: &str = "ORIGIN";
/// What to do where the secret is refused.
const REFUSED: &str = "the first secret here has to be one of the origin's, in the same \
                       SECRET_HEADER: compare both files; in a rotation the origin gets the new \
                       one first (`origin-guard secret rotate` there), then this gateway";

/// Whether the gateway itself would send the secret to the origins: nothing of what says
/// where it goes, and how, is at fault.
pub(super) fn is_sent(config: &Config, is_sound: &dyn Fn(&str) -> bool) -> bool {
    let is_decisive = |name: &str| {
        name.starts_with(ORIGIN) || ["GATEWAY_LISTEN", "SECRET_HEADER"].contains(&name)
    };
    let mut names = VARIABLES.iter().map(|variable| variable.name);
    config.gateway.is_some() && names.all(|name| !is_decisive(name) || is_sound(name))
}

/// Whether the origin at `address` takes the secret. Every user of this machine may listen at
/// a free port of loopback, so that without TLS it is not sent to a stranger there.
pub(super) fn look(
    name: &str,
    right: &RightSecret<'_>,
    address: &Address,
    session: Option<TlsSession>,
) -> Finding {
    let is_plain = session.is_none();
    let address_here = address
        .socket_addr()
        .filter(|_| is_plain && address.is_local());
    let before = address_here.and_then(listener);
    let connection = match Connection::open(address, session) {
        Ok(connection) => connection,
        Err(failure) => return judged(name, &Err(failure)),
    };
    let whose = address_here.map(|address| Whose::of_tcp(before, listener(address)));
    match whose.and_then(|whose| whose.doubt(&[])) {
        Some(doubt) => not_sent(name, doubt),
        None => judged(name, &right.ask(connection).outcome),
    }
}

fn not_sent(name: &str, doubt: Doubt) -> Finding {
    let said = |why: fmt::Arguments<'_>| {
        Finding::new(
            Level::Warning,
            ORIGIN,
            format_args!(
                "{name} may be somebody else's program, and was not sent the secret: {why}"
            ),
            "look whose it is (ss -ltnp), because the gateway does send the secret there; an \
             origin on this machine is best at a Unix socket (ORIGIN=http://unix:/path) in a \
             folder that others cannot write to",
        )
    };
    match doubt {
        Doubt::User(user) => said(format_args!(
            "user {user} listens there, who is neither root nor the user of this check or of \
             origin-guard.service"
        )),
        Doubt::Changed => said(format_args!("another one listens there than before")),
        Doubt::Elsewhere => said(format_args!("this machine cannot see who listens there")),
    }
}

/// Whether the origin takes the secret: what its answer says.
fn judged(name: &str, outcome: &Result<Answer, Failure>) -> Finding {
    let status = outcome.as_ref().map_or(0, |answer| answer.status);
    match taken(outcome) {
        (Taken::Yes, _) => Finding::note(
            ORIGIN,
            format_args!("{name} takes this secret: GET {PATH} with it answers {status}"),
        ),
        (Taken::No, _) => Finding::new(
            Level::Fault,
            ORIGIN,
            format_args!("{name} refuses this secret: GET {PATH} with it answers {status}"),
            REFUSED,
        ),
        (Taken::Unauthorized, _) => Finding::new(
            Level::Warning,
            ORIGIN,
            format_args!(
                "{name} refuses this secret, or what is behind it asks for credentials of its \
                 own: GET {PATH} with it answers {status}"
            ),
            REFUSED,
        ),
        (Taken::Unknown, why) if outcome.is_ok() => Finding::note(
            ORIGIN,
            format_args!(
                "whether {name} takes this secret cannot be told: GET {PATH} with it answers \
                 {status}; {why}"
            ),
        ),
        (Taken::Unknown, why) => Finding::note(
            ORIGIN,
            format_args!("whether {name} takes this secret cannot be told: {why}"),
        ),
    }
}
