//! The command line of `origin-guard secret`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};

use crate::keys::time::span;
use crate::notations::SPAN;
use crate::usage::{self, Parsed, UsageError};

const GROUP: &str = "secret";

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

/// The words and options behind `secret`.
#[derive(Default)]
struct Given {
    words: Vec<OsString>,
    admin: Vec<String>,
    quiet_for: Option<String>,
    /// Switches that are on.
    switches: Vec<&'static str>,
}

/// Reads what follows `secret`.
///
/// # Errors
///
/// What is wrong with it, and where help is.
pub fn parse(arguments: &mut lexopt::Parser) -> Result<Parsed<SecretArgs>, UsageError> {
    let mut given = Given::default();
    loop {
        let command = given.command_name();
        let fault = |error: lexopt::Error| UsageError::of_arguments(command, &error);
        let Some(argument) = arguments.next().map_err(fault)? else {
            break;
        };
        match argument {
            Short('h') | Long("help") => {
                return match given.words.first() {
                    Some(word) if command == GROUP => {
                        Err(UsageError::unknown_command(GROUP, &word.to_string_lossy()))
                    }
                    _ => Ok(Parsed::Help(command)),
                };
            }
            Value(word) => given.words.push(word),
            Long("print") => given.switches.push("--print"),
            Long("stdin") => given.switches.push("--stdin"),
            Long("force") => given.switches.push("--force"),
            Long("admin") => given.admin.push(text(command, "--admin", arguments)?),
            Long("quiet-for") => {
                let span = text(command, "--quiet-for", arguments)?;
                if given.quiet_for.replace(span).is_some() {
                    let what = "--quiet-for is there twice; name it once";
                    return Err(UsageError::new(command, &what));
                }
            }
            flag => return Err(fault(flag.unexpected())),
        }
    }
    given.command().map(Parsed::Command)
}

fn text(command: &str, name: &str, arguments: &mut lexopt::Parser) -> Result<String, UsageError> {
    let fault = |error: lexopt::Error| UsageError::of_arguments(command, &error);
    let text = arguments.value().map_err(fault)?.into_string();
    text.map_err(|_| UsageError::new(command, &format!("{name} is not UTF-8")))
}

impl Given {
    /// The command that is named so far; `secret` where none is.
    fn command_name(&self) -> &'static str {
        let named = self.words.first().map(|word| word.to_string_lossy());
        let found = named.and_then(|word| usage::find(&format!("{GROUP} {word}")));
        found.map_or(GROUP, |usage| usage.command)
    }

    fn command(mut self) -> Result<SecretArgs, UsageError> {
        let name = self.command_name();
        let mut words = std::mem::take(&mut self.words).into_iter();
        let Some(command) = words.next() else {
            return Err(UsageError::no_command(GROUP));
        };
        let command = command.to_string_lossy().into_owned();
        let file = words.next().map(PathBuf::from);
        if words.next().is_some() {
            // It is not shown, because it may be a secret.
            let more = match command.as_str() {
                "rotate" => "it makes the secret, or reads it from standard input (--stdin)",
                _ => "a secret is never one, as others can see a command line (ps)",
            };
            let what = format!("{name} has too many arguments; {more}");
            return Err(UsageError::new(name, &what));
        }
        let mut takes = |name| {
            let before = self.switches.len();
            self.switches.retain(|switch| *switch != name);
            self.switches.len() < before
        };
        let action = match command.as_str() {
            "rotate" => Action::Rotate {
                print: takes("--print"),
                stdin: takes("--stdin"),
                force: takes("--force"),
            },
            "status" => Action::Status,
            "finish" => Action::Finish {
                force: takes("--force"),
                quiet_for: self.quiet_for.take(),
            },
            unknown => return Err(UsageError::unknown_command(GROUP, unknown)),
        };
        let left = [
            self.switches.first().copied(),
            self.quiet_for.is_some().then_some("--quiet-for"),
        ];
        if let Some(option) = left.into_iter().flatten().next() {
            return Err(UsageError::new(
                name,
                &format!("{name} does not take {option}"),
            ));
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
    let seconds = span(text);
    let fault = || UsageError::new("secret finish", &SPAN.fault("--quiet-for", text));
    seconds.map(Duration::from_secs).ok_or_else(fault)
}
