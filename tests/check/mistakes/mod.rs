//! A table of what operators get wrong. Each is run by the real binary, which names the
//! variable and the remedy at the right level.

mod addresses;
mod backends;
mod certificates;
mod gateways;
mod secrets;

use std::process::Command;

use crate::checked::{Checked, Level, Level::*};
use crate::support::{SECRET, command};

/// What is set beside a secret and `LISTEN=127.0.0.1:0`; an empty value counts as unset.
type Variables = Vec<(&'static str, String)>;

struct Mistake {
    variables: Variables,
    level: Level,
    subject: &'static str,
    what: String,
    remedy: &'static str,
}

fn mistake(
    variables: &[(&'static str, &str)],
    level: Level,
    subject: &'static str,
    what: &str,
    remedy: &'static str,
) -> Mistake {
    let variables = variables.iter();
    Mistake {
        variables: variables
            .map(|&(name, value)| (name, value.to_owned()))
            .collect(),
        level,
        subject,
        what: what.to_owned(),
        remedy,
    }
}

/// A command with nothing wrong.
pub(crate) fn sound() -> Command {
    let mut command = command();
    command
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "127.0.0.1:0");
    command
}

fn assert_all_are_named(mistakes: &[Mistake]) {
    for Mistake {
        variables,
        level,
        subject,
        what,
        remedy,
    } in mistakes
    {
        let variables = || {
            variables
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
        };
        let checked = Checked::run(sound().envs(variables()), &[]);
        checked.assert_finds(*level, subject, what, remedy);
        // Nothing else is called a fault.
        let faults = usize::from(*level == Fault);
        assert_eq!(
            checked.report["faults"],
            faults,
            "{:#?}",
            checked.findings()
        );
        // As text it says the same.
        let output = sound()
            .args(["check", "--strict"])
            .envs(variables())
            .output()
            .expect("runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let label = match level {
            Warning => "warning",
            Fault => "fault",
        };
        let is_named = |line: &str| {
            line.starts_with(&format!("{label}: {subject}: "))
                && line.contains(what)
                && line.contains(remedy)
        };
        assert!(text.lines().any(is_named), "{subject}: {text}");
        // Whoever reads one stream gets all of it.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let last = text.lines().last().expect("a verdict");
        assert!(
            last.contains(if *level == Fault { "fault" } else { "warning" }),
            "{last}"
        );
        let status = if *level == Fault { 78 } else { 1 };
        assert_eq!(output.status.code(), Some(status), "{subject}: {text}");
    }
}
