//! The command line of `origin-guard keys`.

use std::fmt;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use super::text::is_prefixed;
use crate::shell::word as word_of;
use crate::usage::{self, Parsed, UsageError};

const GROUP: &str = "keys";

/// What `origin-guard keys` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysArgs {
    /// `--file`; else `API_KEYS_FILE` names it.
    pub file: Option<PathBuf>,
    /// What to do.
    pub action: Action,
}

/// The commands, with their arguments as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `add CONSUMER`
    Add {
        /// Whose key it is to be.
        consumer: String,
        /// `--expires`: a span, a date or a time.
        expires: Option<String>,
        /// `--metadata`: a JSON object.
        metadata: Option<String>,
        /// `--rate`, with `--burst`.
        rate: Option<RateText>,
    },
    /// `limit CONSUMER`
    Limit {
        /// Whose rate it is.
        consumer: String,
        /// `--rate`, with `--burst`; `none` for none.
        rate: RateText,
    },
    /// `import --consumer CONSUMER`
    Import {
        /// Whose keys they are.
        consumer: String,
    },
    /// `list`
    List {
        /// `--json`.
        json: bool,
        /// `--unused`: a span.
        unused: Option<String>,
    },
    /// `show ID`
    Show {
        /// Which key.
        id: String,
        /// `--json`.
        json: bool,
    },
    /// `revoke ID`
    Revoke {
        /// Which key.
        id: String,
    },
    /// `rotate ID`
    Rotate {
        /// Which key.
        id: String,
        /// `--overlap`: a span.
        overlap: String,
    },
    /// `rm CONSUMER`
    Remove {
        /// Whose keys.
        consumer: String,
    },
    /// `verify`
    Verify,
}

/// A rate as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateText {
    /// `--rate`: `100/1m`, or `none`.
    pub rate: String,
    /// `--burst`.
    pub burst: Option<String>,
}

/// The options and words behind `keys`.
#[derive(Default)]
struct Options {
    words: Vec<String>,
    file: Option<String>,
    expires: Option<String>,
    metadata: Option<String>,
    overlap: Option<String>,
    consumer: Option<String>,
    rate: Option<String>,
    burst: Option<String>,
    unused: Option<String>,
    json: bool,
}

/// Reads what follows `keys`.
///
/// # Errors
///
/// What is wrong with it, and where help is.
pub fn parse(arguments: &mut lexopt::Parser) -> Result<Parsed<KeysArgs>, UsageError> {
    let mut given = Options::default();
    loop {
        let command = given.command_name();
        let fault = |error: lexopt::Error| UsageError::of_arguments(command, &error);
        let Some(argument) = arguments.next().map_err(fault)? else {
            break;
        };
        let (name, slot) = match argument {
            Short('h') | Long("help") => {
                return match given.words.first() {
                    Some(word) if command == GROUP => Err(UsageError::unknown_command(GROUP, word)),
                    _ => Ok(Parsed::Help(command)),
                };
            }
            Long("json") => {
                given.json = true;
                continue;
            }
            Value(word) => {
                given.words.push(text(command, "an argument", word)?);
                continue;
            }
            Long("file") => ("--file", &mut given.file),
            Long("expires") => ("--expires", &mut given.expires),
            Long("metadata") => ("--metadata", &mut given.metadata),
            Long("rate") => ("--rate", &mut given.rate),
            Long("burst") => ("--burst", &mut given.burst),
            Long("consumer") => ("--consumer", &mut given.consumer),
            Long("overlap") => ("--overlap", &mut given.overlap),
            Long("unused") => ("--unused", &mut given.unused),
            flag => return Err(fault(flag.unexpected())),
        };
        let value = arguments.value().map_err(fault)?;
        if slot.replace(text(command, name, value)?).is_some() {
            return Err(UsageError::new(
                command,
                &format!("{name} is there twice; name it once"),
            ));
        }
    }
    given.command().map(Parsed::Command)
}

impl Options {
    /// The command that is named so far; `keys` where none is.
    fn command_name(&self) -> &'static str {
        let named = self.words.first();
        let found = named.and_then(|word| usage::find(&format!("{GROUP} {word}")));
        found.map_or(GROUP, |usage| usage.command)
    }

    fn command(mut self) -> Result<KeysArgs, UsageError> {
        let name = self.command_name();
        let fault = |what: &dyn fmt::Display| UsageError::new(name, what);
        let file = self.file.take().map(PathBuf::from);
        let mut words = std::mem::take(&mut self.words).into_iter();
        let Some(command) = words.next() else {
            return Err(UsageError::no_command(GROUP));
        };
        let mut word = |what: &str| {
            words
                .next()
                .ok_or_else(|| fault(&format!("{name} needs {what}")))
        };
        let burst = self.burst.take();
        if self.rate.is_none() && burst.is_some() {
            return Err(fault(&"--burst needs --rate, such as 100/1m"));
        }
        let mut rate = self.rate.take().map(|rate| RateText { rate, burst });
        let action = match command.as_str() {
            "add" => Action::Add {
                consumer: word("a consumer's name")?,
                expires: self.expires.take(),
                metadata: self.metadata.take(),
                rate: rate.take(),
            },
            "limit" => Action::Limit {
                consumer: word("a consumer's name")?,
                rate: rate
                    .take()
                    .ok_or_else(|| fault(&"keys limit needs --rate, such as 100/1m, or none"))?,
            },
            "import" => Action::Import {
                consumer: self
                    .consumer
                    .take()
                    .ok_or_else(|| fault(&"keys import needs --consumer, whose keys they are"))?,
            },
            "list" => Action::List {
                json: std::mem::take(&mut self.json),
                unused: self.unused.take(),
            },
            "show" => Action::Show {
                id: word("a key's id")?,
                json: std::mem::take(&mut self.json),
            },
            "revoke" => Action::Revoke {
                id: word("a key's id")?,
            },
            "rotate" => Action::Rotate {
                id: word("a key's id")?,
                overlap: self
                    .overlap
                    .take()
                    .ok_or_else(|| fault(&"keys rotate needs --overlap, such as 24h"))?,
            },
            "rm" => Action::Remove {
                consumer: word("a consumer's name")?,
            },
            "verify" => Action::Verify,
            // Nor is this one.
            key if is_prefixed(key.as_bytes()) => {
                return Err(fault(
                    &"a key stands where a command must be; `origin-guard keys verify` takes it \
                      on standard input",
                ));
            }
            unknown => return Err(UsageError::unknown_command(GROUP, unknown)),
        };
        if words.next().is_some() {
            // The argument is not shown, because it may be a key.
            return Err(match &action {
                Action::Verify => fault(
                    &"keys verify takes the key on standard input, where nobody else sees it: \
                      origin-guard keys verify < FILE",
                ),
                Action::Import { consumer } => fault(&format!(
                    "keys import takes keys on standard input, one a line: origin-guard keys \
                     import --consumer {} < FILE",
                    word_of(consumer)
                )),
                Action::Add { .. } | Action::Rotate { .. } => fault(&format!(
                    "{name} has too many arguments; it makes the key by itself (keys import takes \
                     keys on standard input)"
                )),
                _ => fault(&format!(
                    "{name} has too many arguments; a key is never one, as others can see a \
                     command line (ps)"
                )),
            });
        }
        let left = [
            ("--expires", self.expires.is_some()),
            ("--metadata", self.metadata.is_some()),
            ("--overlap", self.overlap.is_some()),
            ("--rate", rate.is_some()),
            ("--consumer", self.consumer.is_some()),
            ("--unused", self.unused.is_some()),
            ("--json", self.json),
        ];
        if let Some((option, _)) = left.iter().find(|(_, is_left)| *is_left) {
            return Err(fault(&format!("{name} does not take {option}")));
        }
        Ok(KeysArgs { file, action })
    }
}

fn text(command: &str, what: &str, value: std::ffi::OsString) -> Result<String, UsageError> {
    value
        .into_string()
        .map_err(|_| UsageError::new(command, &format!("{what} is not UTF-8")))
}
