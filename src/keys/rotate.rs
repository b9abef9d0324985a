//! `keys rotate`: a new key in the place of an old one.

use std::path::Path;

use super::edit::{Change, edit};
use super::id::Ids;
use super::made::{described, fresh, show};
use super::record::Record;
use super::text::Key;
use super::time::{Time, span};
use super::{Error, Id};
use crate::notations::SPAN;
use crate::stderr::say;

struct Rotate {
    id: Id,
    now: Time,
    overlap: u64,
    /// The key that takes the place of the old one, except for its digest; or why the old
    /// one cannot be rotated.
    found: Option<Result<Record, Error>>,
    /// The consumer of the old key, and when it was rotated before, if it was.
    before: Option<(String, Time)>,
    /// The keys that may have taken its place then: no key names the one that it replaced.
    successors: Vec<Id>,
    /// When the old key ends, and whether it was to end by then anyway.
    end: Option<(Time, bool)>,
    made: Option<(Key, String)>,
}

impl Rotate {
    /// Ends the old key after the overlap, and returns the new one. The new one has the
    /// same fields. Where the old one was to end, the new one lives as long.
    fn replace(&mut self, old: &mut Record) -> Result<Record, Error> {
        let (id, now) = (self.id, self.now);
        if let Some(revoked) = old.revoked {
            return Err(Error::Key(format!(
                "key {id} was revoked at {revoked}; add a new one"
            )));
        }
        if let Some(expired) = old.expires.filter(|expires| *expires <= now) {
            return Err(Error::Key(format!(
                "key {id} expired at {expired}; add a new one"
            )));
        }
        let lifetime = old.expires.map(|expires| expires.since(old.created));
        let too_late = || Error::Usage("--overlap ends past the year 9999; shorten it".into());
        let end = now.after(self.overlap).ok_or_else(too_late)?;
        let own_end = old.expires.filter(|expires| *expires < end);
        self.end = Some((own_end.unwrap_or(end), own_end.is_some()));
        old.expires = Some(own_end.unwrap_or(end));
        old.rotated = Some(now);
        Ok(Record {
            digest: [0; 32],
            consumer: old.consumer.clone(),
            created: now,
            expires: lifetime.and_then(|lifetime| now.after(lifetime)),
            rotated: None,
            revoked: None,
            rate: old.rate,
            metadata: old.metadata.clone(),
            unknown: old.unknown.clone(),
        })
    }
}

impl Change for Rotate {
    fn key(&mut self, record: &mut Record) -> bool {
        if record.id() == self.id {
            if let Some(rotated) = record.rotated.filter(|_| record.revoked.is_none()) {
                self.before = Some((record.consumer.clone(), rotated));
            } else {
                self.found = Some(self.replace(record));
            }
        } else if let Some((consumer, rotated)) = &self.before
            && record.created == *rotated
            && record.consumer == *consumer
        {
            // New keys are added at the end, so it comes behind the old one.
            self.successors.push(record.id());
        }
        true
    }

    fn added(&mut self, taken: &Ids) -> Result<Vec<Record>, Error> {
        if let Some((_, rotated)) = &self.before {
            let next = match self.successors.as_slice() {
                [one] => format!("key {one}, which took its place"),
                _ => "the key that took its place (`origin-guard keys list`)".to_owned(),
            };
            return Err(Error::Key(format!(
                "key {} was rotated at {rotated} already; rotate {next}",
                self.id
            )));
        }
        let mut record = self.found.take().ok_or(Error::NoSuchKey(self.id))??;
        let key = fresh(taken)?;
        record.digest = key.digest();
        self.made = Some((key, described(&record)));
        Ok(vec![record])
    }
}

pub(super) fn rotate(path: &Path, id: Id, overlap: &str) -> Result<(), Error> {
    let seconds = span(overlap);
    let fault = || Error::Usage(SPAN.fault("--overlap", overlap) + "; 0s is none");
    let seconds = seconds.ok_or_else(fault)?;
    let mut change = Rotate {
        id,
        now: Time::now(),
        overlap: seconds,
        found: None,
        before: None,
        successors: Vec::new(),
        end: None,
        made: None,
    };
    edit(path, false, &mut change)?;
    if let Some((key, described)) = change.made {
        show(&key, &described)?;
    }
    match change.end {
        Some((end, _)) if end <= change.now => {
            say(&format!("the old key {id} is no longer good"));
        }
        Some((end, false)) => say(&format!("the old key {id} is good until {end}")),
        Some((end, true)) => say(&format!(
            "the old key {id} is good until {end}, when it was to end anyway: --overlap \
             {overlap} makes no key live longer"
        )),
        None => {}
    }
    Ok(())
}
