//! What goes wrong with keys and their file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Id;
use super::mistaken::Mistaken;
use super::rate::RateError;
use super::text::is_prefixed;
use super::use_file::UseFileError;
use crate::private_file::OpenError;
use crate::private_file::replace::ReplaceError;
use crate::shown_path::ShownPath;

/// Why a command on keys failed, or why a file of keys was not read. Displays as the message
/// for the operator, which says what to do and never shows a key.
#[derive(Debug)]
pub enum Error {
    /// The command line asks for what cannot be.
    Usage(String),
    /// The file of keys cannot be used as it is; nothing was changed.
    File(String),
    /// The file of keys is faulty at a place.
    Faulty(PathBuf, Fault),
    /// The file of keys cannot be opened.
    Open(OpenError),
    /// There is no file of keys at this path.
    Absent(PathBuf),
    /// The file of keys cannot be replaced.
    Replace(ReplaceError),
    /// The file that says when keys were used cannot be read.
    Uses(UseFileError),
    /// Nobody counts the uses of the keys in the file at this path.
    NotCounted(PathBuf),
    /// No key has this id.
    NoSuchKey(Id),
    /// What was written in the place of an id is none. It is not shown, because it may be a
    /// key.
    NotAnId,
    /// This consumer has no key.
    NoKeysOf(String),
    /// A consumer's name stands where an id must be, or the other way round.
    Mistaken(Mistaken),
    /// There is no such key, or the key is not good.
    Key(String),
    /// The system denied something; what it was comes first.
    System(String, io::Error),
}

impl Error {
    /// The exit status of a command, after sysexits(3).
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NotAnId | Self::Mistaken(_) => 64,
            Self::File(_) | Self::Faulty(..) => 78,
            Self::Open(error) if !error.is_from_the_system() => 78,
            Self::Replace(error) => error.status(),
            Self::Open(_)
            | Self::Absent(_)
            | Self::Uses(_)
            | Self::NotCounted(_)
            | Self::NoSuchKey(_)
            | Self::NoKeysOf(_)
            | Self::Key(_)
            | Self::System(..) => 1,
        }
    }

    /// The system denied `doing` something with the file at `path`.
    pub(super) fn system(path: &Path, doing: &str, error: io::Error) -> Self {
        Self::System(format!("{} cannot be {doing}", ShownPath(path)), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::File(message) | Self::Key(message) => {
                to.write_str(message)
            }
            Self::Faulty(path, fault) => write!(
                to,
                "{}, {fault}; mend that place, or take an earlier copy of the file",
                ShownPath(path)
            ),
            Self::Open(error) => {
                let remedy = if error.is_not_found() {
                    "; `origin-guard keys add` makes it".to_owned()
                } else if error.is_from_the_system() {
                    format!("; {}", error.remedy())
                } else {
                    String::new()
                };
                write!(to, "{error}{remedy}")
            }
            Self::Absent(path) => write!(
                to,
                "{} is not there; `origin-guard keys add` makes it",
                ShownPath(path)
            ),
            Self::Replace(error) => error.fmt(to),
            Self::Uses(error) => error.fmt(to),
            Self::NotCounted(path) => write!(
                to,
                "nobody has counted the uses of the keys in {}; a guard that serves with it \
                 counts them, in the folder that STATE_DIRECTORY names or beside it",
                ShownPath(path)
            ),
            Self::NoSuchKey(id) => write!(
                to,
                "no key has the id {id}; `origin-guard keys list` shows them"
            ),
            Self::NotAnId => to.write_str(
                "that is not a key's id, which has ten characters; `origin-guard keys list` shows \
                 them, and `origin-guard keys verify` tells the id of a key on standard input",
            ),
            Self::NoKeysOf(consumer) if is_prefixed(consumer.as_bytes()) => to.write_str(
                "a key stands where a consumer's name must be; `origin-guard keys verify` tells \
                 whose key is on standard input",
            ),
            Self::NoKeysOf(consumer) => write!(
                to,
                "{consumer:?} has no key; `origin-guard keys list` shows who has"
            ),
            Self::Mistaken(error) => error.fmt(to),
            Self::System(what, error) => write!(to, "{what}: {error}"),
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<ReplaceError> for Error {
    fn from(error: ReplaceError) -> Self {
        Self::Replace(error)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Faulty(_, fault) => Some(fault),
            Self::Open(error) => Some(error),
            Self::Uses(error) => Some(error),
            Self::Replace(error) => Some(error),
            Self::Mistaken(error) => Some(error),
            Self::System(_, error) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong in a file of keys, and where; both are counted from 1. Shows no string of
/// the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, what } = self;
        write!(to, "line {line}, column {column}: {what}")
    }
}

impl std::error::Error for Fault {}

/// Why a file was not read to its end.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Reading failed.
    Reading(io::Error),
    /// What was done with a key failed.
    Writing(io::Error),
    /// The file is not as it must be.
    Faulty(Fault),
}

impl ReadError {
    /// The error of the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Reading(error) => Error::system(path, "read", error),
            Self::Writing(error) => Error::system(path, "replaced", error),
            Self::Faulty(fault) => Error::Faulty(path.to_owned(), fault),
        }
    }
}

/// Which key of a file is meant: by its id, or before that is known by its number from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyLocation {
    pub(super) number: usize,
    pub(super) id: Option<Id>,
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(to, "key {id}"),
            None => write!(to, "the key that is number {}", self.number),
        }
    }
}

/// Longest name of a consumer, in bytes.
pub(super) const LONGEST_CONSUMER: usize = 255;
/// Longest metadata, in bytes of the form that is sent.
pub(super) const LONGEST_METADATA: usize = 4096;

/// Why the value of a key's field is refused. Displays as what follows the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The value is not a string.
    NotAString,
    /// The text is not a key's id.
    NotAnId,
    /// The text is not a digest.
    NotADigest,
    /// The text is not a time.
    NotATime,
    /// The consumer's name has this many bytes.
    ConsumerLength(usize),
    /// The byte of the consumer's name with this number, from 1, is not printable ASCII.
    ConsumerByte(usize),
    /// The consumer's name begins or ends with a space.
    ConsumerSpace,
    /// The text is not a rate.
    Rate(RateError),
    /// The metadata is not a JSON object.
    NotAnObject,
    /// The metadata takes this many bytes in a header.
    MetadataLength(usize),
}

impl fmt::Display for FieldError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAString => to.write_str("must be a string"),
            Self::NotAnId => to.write_str("is not an id: ten characters, a to z and 2 to 7"),
            Self::NotADigest => {
                to.write_str("is not a SHA-256 in 64 hexadecimal digits, lower case")
            }
            Self::NotATime => to.write_str("is not a time in UTC such as 2026-11-24T07:00:00Z"),
            Self::ConsumerLength(length) => write!(
                to,
                "a consumer's name has 1 to {LONGEST_CONSUMER} bytes, not {length}"
            ),
            Self::ConsumerByte(at) => write!(
                to,
                "byte {at} of the consumer's name is not printable ASCII; \
                 use letters, digits and signs"
            ),
            Self::ConsumerSpace => {
                to.write_str("the consumer's name begins or ends with a space; remove it")
            }
            Self::Rate(error) => error.fmt(to),
            Self::NotAnObject => {
                to.write_str("is not a JSON object; write it like {\"plan\":\"pro\"}")
            }
            Self::MetadataLength(length) => write!(
                to,
                "takes {length} bytes in a header, more than {LONGEST_METADATA}; shorten it"
            ),
        }
    }
}

impl std::error::Error for FieldError {}
