//! Whether an origin takes the gateway's secret.

use crate::config::Config;
use crate::finding::{Finding, Level};
use crate::probe::answer::Answer;
use crate::probe::connection::Failure;
use crate::probe::right_secret::{PATH, Taken, taken};

const ORIGIN: &str = "ORIGIN";
/// What to do where the secret is refused.
const REFUSED: &str = "the first secret here has to be one of the origin's, in the same \
                       SECRET_HEADER: compare both files; in a rotation the origin gets the new \
                       one first (`origin-guard secret rotate` there), then this gateway";

/// Whether the gateway itself would send the secret to the origins: nothing of what says
/// where it goes, and how, is at fault.
pub(super) fn is_sent(config: &Config, is_sound: &dyn Fn(&str) -> bool) -> bool {
    let decisive = [
        ORIGIN,
        "ORIGIN_PLAINTEXT",
        "GATEWAY_LISTEN",
        "SECRET_HEADER",
    ];
    config.gateway.is_some() && decisive.iter().all(|name| is_sound(name))
}

/// Whether the origin takes the secret: what its answer says.
pub(super) fn judged(name: &str, outcome: &Result<Answer, Failure>) -> Finding {
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
