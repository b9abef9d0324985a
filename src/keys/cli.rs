//! The command line of `origin-guard keys`.

use std::fmt;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use crate::usage::UsageError;

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

const USAGE: &str = "\
add CONSUMER [--expires 90d|DATE] [--metadata JSON] [--rate 100/1m [--burst 20]], \
limit CONSUMER --rate 100/1m|none [--burst 20], import --consumer CONSUMER, \
list [--unused 90d] [--json], show ID [--json], revoke ID, rotate ID --overlap 24h, rm CONSUMER, verify; each with [--file PATH]";

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

/// Reads what follows `keys`; `None` where it asks for help.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub fn parse(arguments: &mut lexopt::Parser) -> Result<Option<KeysArgs>, UsageError> {
    let mut given = Options::default();
    while let Some(argument) = arguments.next().map_err(|error| usage(&error))? {
        let (name, slot) = match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("json") => {
                given.json = true;
                continue;
            }
            Value(word) => {
                given.words.push(text("an argument", word)?);
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
            flag => return Err(usage(&flag.unexpected())),
        };
        let value = arguments.value().map_err(|error| usage(&error))?;
        if slot.replace(text(name, value)?).is_some() {
            return Err(usage(&format!("{name} is there twice")));
        }
    }
    given.command().map(Some)
}

impl Options {
    fn command(mut self) -> Result<KeysArgs, UsageError> {
        let file = self.file.take().map(PathBuf::from);
        let mut words = std::mem::take(&mut self.words).into_iter();
        let Some(command) = words.next() else {
            return Err(usage(&"a command is missing"));
        };
        let mut word = |what: &str| {
            words
                .next()
                .ok_or_else(|| usage(&format!("keys {command} needs {what}")))
        };
        let burst = self.burst.take();
        if self.rate.is_none() && burst.is_some() {
            return Err(usage(&"--burst needs --rate"));
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
                    .ok_or_else(|| usage(&"keys limit needs --rate, such as 100/1m, or none"))?,
            },
            "import" => Action::Import {
                consumer: self
                    .consumer
                    .take()
                    .ok_or_else(|| usage(&"keys import needs --consumer, whose keys they are"))?,
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
                    .ok_or_else(|| usage(&"keys rotate needs --overlap, such as 24h"))?,
            },
            "rm" => Action::Remove {
                consumer: word("a consumer's name")?,
            },
            "verify" => Action::Verify,
            unknown => return Err(usage(&format!("unknown command \"keys {unknown}\""))),
        };
        if words.next().is_some() {
            // The argument is not shown, because it may be a key.
            return Err(usage(&format!("keys {command} has too many arguments")));
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
        if let Some((name, _)) = left.iter().find(|(_, is_left)| *is_left) {
            return Err(usage(&format!("keys {command} does not take {name}")));
        }
        Ok(KeysArgs { file, action })
    }
}

fn text(what: &str, value: std::ffi::OsString) -> Result<String, UsageError> {
    value
        .into_string()
        .map_err(|_| usage(&format!("{what} is not UTF-8")))
}

fn usage(what: &dyn fmt::Display) -> UsageError {
    UsageError::new("keys", USAGE, what)
}
