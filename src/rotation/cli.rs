//! The command line of `origin-guard secret`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};

use crate::keys::time::span;
use crate::usage::UsageError;

/// How long nobody must have used a previous secret before it goes.
const QUIET_FOR: Duration = Duration::from_secs(3600);

/// What `origin-guard secret` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretArgs {
    /// The file, or the folder that systemd's credential is taken from; else
    /// `SHARED_SECRET_FILE` names it.
    pub file: Option<PathBuf>,
    /// `--admin`, each as it was written; else `ADMIN_LISTEN`.
    pub admin: Vec<String>,
    /// What to do.
    pub action: Action,
}

/// The commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `rotate [FILE]`
    Rotate {
        /// `--print`: the new secret goes to standard output.
        print: bool,
        /// `--stdin`: the new secret comes from standard input.
        stdin: bool,
        /// `--force`: also where a rotation is under way.
        force: bool,
    },
    /// `status [FILE]`
    Status,
    /// `finish [FILE]`
    Finish {
        /// `--quiet-for`: a span.
        quiet_for: Option<String>,
        /// `--force`: ask nobody.
        force: bool,
    },
}

const USAGE: &str = "\
rotate [FILE] [--print] [--stdin] [--force], status [FILE] [--admin ADDRESS], \
finish [FILE] [--admin ADDRESS] [--quiet-for 1h] [--force]; FILE is a file of secrets or the \
folder of a credential";

fn usage(what: &dyn fmt::Display) -> UsageError {
    UsageError::new("secret", USAGE, what)
}

/// The words and options behind `secret`.
#[derive(Default)]
struct Given {
    words: Vec<OsString>,
    admin: Vec<String>,
    quiet_for: Option<String>,
    /// Switches that are on.
    switches: Vec<&'static str>,
}

/// Reads what follows `secret`; `None` where it asks for help.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub fn parse(arguments: &mut lexopt::Parser) -> Result<Option<SecretArgs>, UsageError> {
    let mut given = Given::default();
    while let Some(argument) = arguments.next().map_err(|error| usage(&error))? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(word) => given.words.push(word),
            Long("print") => given.switches.push("--print"),
            Long("stdin") => given.switches.push("--stdin"),
            Long("force") => given.switches.push("--force"),
            Long("admin") => given.admin.push(text("--admin", arguments)?),
            Long("quiet-for") => {
                let span = text("--quiet-for", arguments)?;
                if given.quiet_for.replace(span).is_some() {
                    return Err(usage(&"--quiet-for is there twice"));
                }
            }
            flag => return Err(usage(&flag.unexpected())),
        }
    }
    given.command().map(Some)
}

fn text(name: &str, arguments: &mut lexopt::Parser) -> Result<String, UsageError> {
    let value = arguments.value().map_err(|error| usage(&error))?;
    let text = value.into_string();
    text.map_err(|_| usage(&format!("{name} is not UTF-8")))
}

impl Given {
    fn command(mut self) -> Result<SecretArgs, UsageError> {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let Some(command) = words.next() else {
            return Err(usage(&"a command is missing"));
        };
        let command = command.to_string_lossy().into_owned();
        let file = words.next().map(PathBuf::from);
        if words.next().is_some() {
            // It is not shown, because it may be a secret.
            return Err(usage(&format!("secret {command} has too many arguments")));
        }
        let mut takes = |name| {
            let before = self.switches.len();
            self.switches.retain(|switch| *switch != name);
            self.switches.len() < before
        };
        let mut asks = true;
        let action = match command.as_str() {
            "rotate" => {
                asks = false;
                Action::Rotate {
                    print: takes("--print"),
                    stdin: takes("--stdin"),
                    force: takes("--force"),
                }
            }
            "status" => Action::Status,
            "finish" => Action::Finish {
                force: takes("--force"),
                quiet_for: self.quiet_for.take(),
            },
            unknown => return Err(usage(&format!("unknown command \"secret {unknown}\""))),
        };
        let left = [
            self.switches.first().copied(),
            self.quiet_for.is_some().then_some("--quiet-for"),
            (!asks && !self.admin.is_empty()).then_some("--admin"),
        ];
        if let Some(name) = left.into_iter().flatten().next() {
            return Err(usage(&format!("secret {command} does not take {name}")));
        }
        Ok(SecretArgs {
            file,
            admin: self.admin,
            action,
        })
    }
}

/// The time that `--quiet-for` names, or an hour.
pub(super) fn quiet_for(text: Option<&str>) -> Result<Duration, UsageError> {
    let Some(text) = text else {
        return Ok(QUIET_FOR);
    };
    span(text).map(Duration::from_secs).ok_or_else(|| {
        usage(&format!(
            "--quiet-for: {text:?} is not a span; write one such as 1h, 30m or 2d"
        ))
    })
}
