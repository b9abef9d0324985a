//! What is found to be wrong or worth knowing, with its remedy.

use std::fmt::{self, Display};

use crate::printable::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing; nothing is to be done.
    Note,
    /// It may be meant, or may pass by itself.
    Warning,
    /// It stays wrong until somebody mends it.
    Fault,
}

impl Level {
    /// As it is written in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One thing that is found. Displays as `subject: what; remedy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The variable, unit or part of the machine that it is about.
    pub subject: String,
    /// What is found. It never holds a secret.
    pub what: String,
    /// What to do; empty for a note.
    pub remedy: String,
}

/// Between what is found and the remedy, in every message of an error or a warning.
const SEPARATOR: &str = "; ";

impl Finding {
    /// From its parts, each of which is made printable: names of strangers are in them.
    #[must_use]
    pub fn new(level: Level, subject: &str, what: impl Display, remedy: impl Display) -> Self {
        Self {
            level,
            subject: printable(subject),
            what: printable(&what.to_string()),
            remedy: printable(&remedy.to_string()),
        }
    }

    /// Something worth knowing.
    #[must_use]
    pub fn note(subject: &str, what: impl Display) -> Self {
        Self::new(Level::Note, subject, what, "")
    }

    /// Whether it stays wrong until somebody mends it.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.level == Level::Fault
    }

    /// From a `message` as errors display: what is wrong, a semicolon, the remedy.
    #[must_use]
    pub fn of(level: Level, subject: &str, message: impl Display) -> Self {
        let message = message.to_string();
        match message.split_once(SEPARATOR) {
            Some((what, remedy)) => Self::new(level, subject, what, remedy),
            None => Self::new(level, subject, message, ""),
        }
    }

    /// From a `message` that begins with its subject and a colon.
    #[must_use]
    pub fn named(level: Level, message: impl Display) -> Self {
        let message = message.to_string();
        match message.split_once(": ") {
            Some((subject, rest)) => Self::of(level, subject, rest),
            None => Self::of(level, "configuration", message),
        }
    }
}

impl Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            what,
            remedy,
            ..
        } = self;
        write!(to, "{subject}: {what}")?;
        if remedy.is_empty() {
            return Ok(());
        }
        write!(to, "{SEPARATOR}{remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_and_put_together_again() {
        for message in [
            "LISTEN: it is taken; choose another; or none",
            "SHARED_SECRET_FILE: /a, line 3: it is in quotes; remove them",
            "BACKEND: it answers",
        ] {
            let finding = Finding::named(Level::Fault, message);
            assert_eq!(finding.to_string(), message);
        }
        let finding = Finding::named(Level::Fault, "A: b: c; d; e");
        assert_eq!(finding, Finding::new(Level::Fault, "A", "b: c", "d; e"));
    }
}
