//! A consumer's name in the place of a key's id, or a key's id in the place of a name: what
//! was meant, as lines that can be copied.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;

use super::queries::{self, state};
use super::record::Record;
use super::time::Time;
use super::{Error, Id};
use crate::shell::word;

/// So many keys of a consumer are shown, the newest ones.
const MOST: usize = 10;

/// A command as it was written: what it did not find can be put in its place.
pub(super) struct Line {
    /// `revoke`
    pub(super) command: &'static str,
    /// What was written in the place of an id or a name.
    pub(super) operand: String,
    /// What else was written, each with a space before it.
    pub(super) options: String,
}

impl Line {
    fn with(&self, operand: &str) -> String {
        let Self {
            command, options, ..
        } = self;
        format!("origin-guard keys {command} {}{options}", word(operand))
    }

    /// The same `error`, or a better one where the operand is a consumer's name.
    pub(super) fn name_for_id(&self, path: &Path, error: Error) -> Error {
        let now = Time::now();
        let (mut keys, mut count) = (VecDeque::new(), 0_usize);
        let mut each = |record: Record| {
            if record.consumer == self.operand {
                count += 1;
                if keys.len() == MOST {
                    keys.pop_front();
                }
                keys.push_back((record.id(), state(&record, now), record.created));
            }
            Ok(())
        };
        let read = queries::read_all(path, &mut each);
        if read.is_err() || count == 0 {
            return error;
        }
        let lines = keys.into_iter().map(|(id, state, created)| {
            let line = self.with(&id.to_string());
            format!("{line}  # {state}, created {created}")
        });
        Error::Mistaken(Mistaken {
            what: format!(
                "{:?} is a consumer, and keys {} takes the id of a key; type one of these:",
                self.operand, self.command
            ),
            lines: lines.collect(),
            others: count.saturating_sub(MOST),
        })
    }

    /// The same `error`, or a better one where the operand is the id of a key.
    pub(super) fn id_for_name(&self, path: &Path, error: Error) -> Error {
        let Some(id) = Id::parse(&self.operand) else {
            return error;
        };
        let mut consumer = None;
        let mut each = |record: Record| {
            if record.id() == id {
                consumer = Some(record.consumer);
            }
            Ok(())
        };
        match (queries::read_all(path, &mut each), consumer) {
            (Ok(()), Some(consumer)) => Error::Mistaken(Mistaken {
                what: format!(
                    "{id} is a key of {consumer:?}, and keys {} takes a consumer, for all of \
                     its keys; type:",
                    self.command
                ),
                lines: vec![self.with(&consumer)],
                others: 0,
            }),
            _ => error,
        }
    }
}

/// One was written in the place of the other. Displays as what it is, and a line for each
/// command that may be meant.
#[derive(Debug)]
pub struct Mistaken {
    what: String,
    lines: Vec<String>,
    /// How many keys are not shown.
    others: usize,
}

impl fmt::Display for Mistaken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.what)?;
        for line in &self.lines {
            write!(to, "\n  {line}")?;
        }
        match self.others {
            0 => Ok(()),
            others => write!(
                to,
                "\n  and {others} older ones, which `origin-guard keys list` shows"
            ),
        }
    }
}

impl std::error::Error for Mistaken {}
