//! Commands as they were written, and what was meant where a consumer's name stands in the
//! place of a key's id or the other way round.

use std::collections::VecDeque;
use std::path::Path;

use super::mistaken::Mistaken;
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
