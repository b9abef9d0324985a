//! What answers tell of the software behind them.

use super::answer::Answer;
use crate::auth::redaction::Redaction;

/// Fields that name software.
const NAMING: [&str; 7] = [
    "server",
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-generator",
    "x-runtime",
    "via",
];
/// What only a page of an error that was not caught holds.
const TRACES: [&str; 6] = [
    "Traceback (most recent call last)",
    "Stack trace:",
    "stacktrace",
    "\n    at ",
    "at java.",
    "Fatal error:",
];
/// Software that names itself in its own pages.
const PRODUCTS: [&str; 12] = [
    "nginx/",
    "openresty/",
    "Apache/",
    "Apache Tomcat/",
    "Caddy/",
    "HAProxy/",
    "Microsoft-IIS/",
    "PHP/",
    "Werkzeug/",
    "gunicorn/",
    "Jetty/",
    "Express/",
];
/// Longest text that is shown, in bytes.
const SHOWN: usize = 80;

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tell {
    /// The field, or `page`.
    pub(super) place: String,
    /// What stands there, printable ASCII.
    pub(super) text: String,
    /// Whether it helps whoever looks for known faults: a version, or a trace.
    pub(super) is_loose: bool,
}

/// What all of `answers` tell, each thing once; `redaction` leaves out what must not be shown.
pub(super) fn of<'a>(
    answers: impl Iterator<Item = &'a Answer>,
    redaction: &Redaction,
) -> Vec<Tell> {
    let mut tells = Vec::new();
    for answer in answers {
        for name in NAMING {
            if let Some(value) = answer.field(name) {
                let text = shown(redaction.shown(value));
                add(&mut tells, name, text, has_version(value));
            }
        }
        let page = String::from_utf8_lossy(&answer.body);
        if let Some(product) = product(&page) {
            add(&mut tells, "page", shown(redaction.shown(&product)), true);
        }
        if let Some(trace) = TRACES.iter().find(|trace| page.contains(*trace)) {
            let text = format!("a trace of the program ({:?})", trace.trim());
            add(&mut tells, "page", text, true);
        }
    }
    tells
}

fn add(tells: &mut Vec<Tell>, place: &str, text: String, is_loose: bool) {
    let tell = Tell {
        place: place.to_owned(),
        text,
        is_loose,
    };
    if !tells.contains(&tell) {
        tells.push(tell);
    }
}

fn shown(text: &str) -> String {
    let printable = |character: char| matches!(character, ' '..='~');
    let characters = text.chars().take(SHOWN);
    characters
        .map(|character| if printable(character) { character } else { '?' })
        .collect()
}

/// Whether a number with a dot stands in it, such as `1.22`.
fn has_version(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .any(|three| three[0].is_ascii_digit() && three[1] == b'.' && three[2].is_ascii_digit())
}

/// The first product with its version.
fn product(page: &str) -> Option<String> {
    PRODUCTS.iter().find_map(|product| {
        let (_, behind) = page.split_once(product)?;
        let version: String = behind
            .chars()
            .take_while(|character| character.is_ascii_digit() || *character == '.')
            .collect();
        (!version.is_empty()).then(|| format!("{product}{version}"))
    })
}
