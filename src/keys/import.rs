//! `origin-guard keys import`: keys that clients have already.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::guessable::{Guessable, guessable};

use super::edit::{Change, edit};
use super::id::Ids;
use super::made::{new_consumer, quoted};
use super::rate::Rate;
use super::record::Record;
use super::text::{self, LONGEST, Malformed, SHORTEST};
use super::time::Time;
use super::{Error, Id};
use crate::stderr::say;

/// Most bytes that are read.
const MOST: u64 = 64 << 20;

struct Import {
    consumer: String,
    /// The new records by their digests; those that the consumer has already are taken out.
    records: HashMap<[u8; 32], (usize, Record)>,
    /// That of the consumer's other keys.
    rate: Option<Rate>,
    already: usize,
    /// The line of a key that another consumer has, and the key's id.
    taken: Option<(usize, Id)>,
    ids: Vec<Id>,
}

impl Change for Import {
    fn key(&mut self, record: &mut Record) -> bool {
        if record.consumer == self.consumer {
            self.rate = record.rate;
        }
        if let Some((line, _)) = self.records.get(&record.digest) {
            if record.consumer == self.consumer {
                self.already += 1;
                self.records.remove(&record.digest);
            } else {
                self.taken = Some((*line, record.id()));
            }
        }
        true
    }

    fn added(&mut self, taken: &Ids) -> Result<Vec<Record>, Error> {
        if let Some((line, id)) = self.taken {
            return Err(Error::Key(format!(
                "line {line} is the key {id}, which another consumer has; leave it out, or \
                 remove that one (nothing was imported)"
            )));
        }
        let mut records: Vec<_> = self.records.drain().map(|(_, record)| record).collect();
        records.sort_by_key(|(line, _)| *line);
        for (line, record) in &mut records {
            record.rate = self.rate;
            // Two different keys share an id once in a million million times.
            if taken.contains(&record.id()) || self.ids.contains(&record.id()) {
                return Err(Error::Key(format!(
                    "line {line} has the id {} of another key; leave it out (nothing was \
                     imported)",
                    record.id()
                )));
            }
            self.ids.push(record.id());
        }
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    fn is_changed(&self) -> bool {
        !self.ids.is_empty()
    }
}

/// Reads keys on stdin, one a line, and stores their digests, all or none.
pub(super) fn import(path: &Path, consumer: String) -> Result<(), Error> {
    new_consumer(&consumer)?;
    let mut input = Zeroizing::new(Vec::new());
    io::stdin()
        .take(MOST + 1)
        .read_to_end(&mut input)
        .map_err(|error| Error::System("stdin cannot be read".into(), error))?;
    if input.len() as u64 > MOST {
        return Err(Error::Usage(format!(
            "standard input holds more than {MOST} bytes; import the keys in parts (nothing was \
             imported)"
        )));
    }
    let now = Time::now();
    let mut records = HashMap::new();
    for (index, line) in input.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let number = index + 1;
        check(line).map_err(|fault| {
            Error::Key(format!(
                "line {number} is not a key that can be imported: {fault} (nothing was imported)"
            ))
        })?;
        let record = Record {
            digest: text::digest(line),
            consumer: consumer.clone(),
            created: now,
            expires: None,
            rotated: None,
            revoked: None,
            rate: None,
            metadata: None,
            unknown: Vec::new(),
        };
        records.insert(record.digest, (number, record));
    }
    if records.is_empty() {
        return Err(Error::Usage(
            "there is no key on standard input; write one a line: origin-guard keys import \
             --consumer CONSUMER < FILE"
                .into(),
        ));
    }
    let mut change = Import {
        consumer,
        records,
        rate: None,
        already: 0,
        taken: None,
        ids: Vec::new(),
    };
    edit(path, true, &mut change)?;
    let mut stdout = io::stdout().lock();
    for id in &change.ids {
        writeln!(stdout, "{id}")
            .map_err(|error| Error::System("the ids cannot be printed".into(), error))?;
    }
    say(&format!(
        "imported={} already_there={} consumer={}",
        change.ids.len(),
        change.already,
        quoted(&change.consumer)
    ));
    Ok(())
}

/// Why a line is not imported. Shows nothing of it.
#[derive(Debug)]
enum LineError {
    /// It begins as a comment does in other files.
    Comment,
    /// The byte with this number, from 1, is none of a key's.
    Byte(usize),
    Length(usize),
    Malformed(Malformed),
    Guessable(Guessable),
}

impl fmt::Display for LineError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let afresh = "make a new one for the consumer with `origin-guard keys add`";
        match self {
            Self::Comment => to.write_str(
                "it begins with #, and standard input takes no comments; leave the line out: grep \
                 -v '^#' FILE | origin-guard keys import --consumer CONSUMER",
            ),
            Self::Byte(at) => write!(
                to,
                "byte {at} is not visible ASCII; write the key alone on its line"
            ),
            Self::Length(length) => write!(
                to,
                "it has {length} bytes, and a key has {SHORTEST} to {LONGEST}; {afresh}"
            ),
            Self::Malformed(error) => error.fmt(to),
            Self::Guessable(why) => write!(to, "{why}; {afresh}"),
        }
    }
}

impl std::error::Error for LineError {}

/// Checks that a line can be a key.
fn check(line: &[u8]) -> Result<(), LineError> {
    let strange = line.iter().position(|byte| !byte.is_ascii_graphic());
    if line.starts_with(b"#") && (strange.is_some() || line.len() < SHORTEST) {
        return Err(LineError::Comment);
    }
    if let Some(at) = strange {
        return Err(LineError::Byte(at + 1));
    }
    if !(SHORTEST..=LONGEST).contains(&line.len()) {
        return Err(LineError::Length(line.len()));
    }
    if text::is_prefixed(line) {
        return text::check(line).map_err(LineError::Malformed);
    }
    match guessable(&String::from_utf8_lossy(line)) {
        None => Ok(()),
        Some(why) => Err(LineError::Guessable(why)),
    }
}
