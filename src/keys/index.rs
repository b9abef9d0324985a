//! The keys as they are looked up: by digest, as fast among a million as among ten.

use std::fs::File;
use std::path::Path;

use constant_time_eq::constant_time_eq_32;
use zeroize::Zeroize as _;

use super::id::leading;
use super::reader;
use super::record::Record;
use super::text::{self, LENGTH};
use super::time::Time;
use super::{Fault, Id, KeyVerdict};

/// Every key of a file, ordered by digest, with a table that says where the digests
/// with certain leading bits begin.
///
/// Digests are evenly spread, so about one key falls on each place of the table, however
/// many there are. Nobody can choose the digest of what they present, so neither can
/// they make one place crowded, nor learn from the time of a lookup, which depends on
/// leading bits of digests, anything about a text.
#[derive(Default)]
pub struct Index {
    entries: Vec<Entry>,
    /// For each value of the leading bits, where its entries begin; one more at the end.
    starts: Vec<u32>,
    bits: u32,
    /// Consumers and metadata, one behind the other.
    texts: String,
}

struct Entry {
    digest: [u8; 32],
    expires: Time,
    text: usize,
    metadata: u16,
    consumer: u8,
    revoked: bool,
}

/// What the index has to say of what was presented.
#[derive(Debug, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// What becomes of it.
    pub verdict: KeyVerdict,
    /// The id that the presented text has or would have; `None` if it can be no key.
    pub id: Option<Id>,
    /// Whose key it is; empty where it is unknown.
    pub consumer: &'a str,
    /// What is to be sent along; empty where there is none.
    pub metadata: &'a str,
}

impl Index {
    /// Reads a file of keys; `path` is for what is said of it.
    pub(super) fn read(path: &Path, file: File) -> Result<Self, Fault> {
        let mut index = Self::default();
        let mut each = |record: Record| {
            index.push(&record);
            Ok(())
        };
        reader::read(file, &mut each).map_err(|stopped| stopped.fault(path))?;
        if u32::try_from(index.entries.len()).is_err() {
            return Err(Fault::File(format!(
                "{} holds more than {} keys",
                path.display(),
                u32::MAX
            )));
        }
        index.order();
        Ok(index)
    }

    fn push(&mut self, record: &Record) {
        let metadata = record
            .metadata
            .as_ref()
            .map_or("", |metadata| metadata.as_str());
        self.entries.push(Entry {
            digest: record.digest,
            expires: record.expires.unwrap_or(Time::NEVER),
            text: self.texts.len(),
            metadata: u16::try_from(metadata.len()).expect("its limit is lower"),
            consumer: u8::try_from(record.consumer.len()).expect("its limit is 255"),
            revoked: record.revoked.is_some(),
        });
        self.texts.push_str(&record.consumer);
        self.texts.push_str(metadata);
    }

    fn order(&mut self) {
        self.entries.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.entries.sort_unstable_by_key(|entry| entry.digest);
        self.bits = self.entries.len().max(1).ilog2();
        let mut starts = Vec::with_capacity((1 << self.bits) + 1);
        for (at, entry) in (0..).zip(&self.entries) {
            let place = self.place(&entry.digest);
            while starts.len() <= place {
                starts.push(at);
            }
        }
        let end = u32::try_from(self.entries.len()).expect("as many as were counted");
        starts.resize((1 << self.bits) + 1, end);
        self.starts = starts;
    }

    fn place(&self, digest: &[u8; 32]) -> usize {
        // In two steps: 64 places at once would be none.
        let place = leading(digest) >> 1 >> (u64::BITS - 1 - self.bits);
        usize::try_from(place).expect("fewer than entries")
    }

    /// How many keys there are, good or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Judges what is presented as a key, at the time `now`.
    ///
    /// Whatever it is, as many bytes are digested, and one place is looked at.
    #[must_use]
    pub fn judge(&self, presented: &[u8], now: Time) -> Judgement<'_> {
        let mut text = [0; LENGTH];
        let length = presented.len().min(LENGTH);
        text[..length].copy_from_slice(&presented[..length]);
        let well_formed = text::check(&text).is_ok() && presented.len() == LENGTH;
        let digest = text::digest(&text);
        text.zeroize();
        let found = self.find(&digest);
        let (verdict, found) = match found {
            _ if !well_formed => (KeyVerdict::Malformed, None),
            None => (KeyVerdict::Unknown, None),
            Some(entry) if entry.revoked => (KeyVerdict::Revoked, Some(entry)),
            Some(entry) if entry.expires <= now => (KeyVerdict::Expired, Some(entry)),
            Some(entry) => (KeyVerdict::Granted, Some(entry)),
        };
        let (consumer, metadata) = found.map_or(("", ""), |entry| self.texts_of(entry));
        Judgement {
            verdict,
            id: well_formed.then(|| Id::of(&digest)),
            consumer,
            metadata,
        }
    }

    /// Compares every entry of the digest's place, and one where there is none.
    fn find(&self, digest: &[u8; 32]) -> Option<&Entry> {
        let place = self.place(digest);
        let start = usize::try_from(*self.starts.get(place)?).ok()?;
        let end = usize::try_from(*self.starts.get(place + 1)?).ok()?;
        let start = start.min(self.entries.len().checked_sub(1)?);
        let mut found = None;
        for entry in &self.entries[start..end.max(start + 1)] {
            if constant_time_eq_32(&entry.digest, digest) {
                found = Some(entry);
            }
        }
        found
    }

    fn texts_of(&self, entry: &Entry) -> (&str, &str) {
        let (start, consumer) = (entry.text, usize::from(entry.consumer));
        let end = start + consumer + usize::from(entry.metadata);
        self.texts[start..end].split_at(consumer)
    }
}
