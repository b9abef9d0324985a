//! The keys as they are looked up: by digest, as fast among a million as among ten.

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use constant_time_eq::constant_time_eq_32;
use zeroize::Zeroize as _;

use super::rate::{Exceeded, Rate, Usage};
use super::reader;
use super::record::Record;
use super::table::Table;
use super::text::{self, LENGTH, LONGEST};
use super::time::Time;
use super::use_counts::{KeyUse, UseCounts};
use super::{Error, Id, KeyVerdict};

/// Every key of a file, one behind the other, and a table that says where the one with a
/// certain digest is. A lookup goes to two places in memory, the table and the key, however
/// many keys there are.
#[derive(Default)]
pub struct Index {
    entries: Vec<u8>,
    /// Places in `entries`.
    table: Table,
    count: usize,
    /// What consumers have used up, where it is counted.
    usages: Vec<Arc<Usage>>,
    most_under_way: Option<u32>,
    uses: UseCounts,
}

/// The limits of consumers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of those that have none of their own (`RATE_LIMIT`).
    pub rate: Option<Rate>,
    /// Requests that each may have under way (`MAX_CONCURRENT`).
    pub most_under_way: Option<u32>,
}

/// A key as `entries` holds it: digest (32 bytes), time of creation and of expiry (8 each),
/// whether it is revoked (1), length of the consumer's name (1), length of the metadata
/// (2), the consumer's place in `usages` plus one or 0 (4), its own place in the file (4),
/// the name and the metadata.
struct Entry<'a> {
    digest: &'a [u8; 32],
    created: Time,
    expires: Time,
    revoked: bool,
    usage: u32,
    place: u32,
    consumer: &'a [u8],
    metadata: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The first of `bytes`, and what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (digest, rest) = bytes.split_first_chunk()?;
        let (created, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (&[revoked, consumer, metadata @ ..], rest) = rest.split_first_chunk::<4>()?;
        let (usage, rest) = rest.split_first_chunk()?;
        let (place, rest) = rest.split_first_chunk()?;
        let (consumer, rest) = rest.split_at_checked(usize::from(consumer))?;
        let metadata = usize::from(u16::from_le_bytes(metadata));
        let (metadata, rest) = rest.split_at_checked(metadata)?;
        let entry = Self {
            digest,
            created: Time::from_bytes(*created),
            expires: Time::from_bytes(*expires),
            revoked: revoked != 0,
            usage: u32::from_le_bytes(*usage),
            place: u32::from_le_bytes(*place),
            consumer,
            metadata,
        };
        Some((entry, rest))
    }

    /// The last argument is the key's place in the file, from 0.
    fn write(record: &Record, to: &mut Vec<u8>, place: usize) {
        let metadata = record.metadata.as_ref();
        let metadata = metadata.map_or("", |metadata| metadata.as_str());
        let metadata_length = u16::try_from(metadata.len()).expect("its limit is lower");
        let consumer_length = u8::try_from(record.consumer.len()).expect("its limit is 255");
        to.extend_from_slice(&record.digest);
        to.extend_from_slice(&record.created.to_bytes());
        to.extend_from_slice(&record.expires.unwrap_or(Time::NEVER).to_bytes());
        to.extend_from_slice(&[u8::from(record.revoked.is_some()), consumer_length]);
        to.extend_from_slice(&metadata_length.to_le_bytes());
        to.extend_from_slice(&[0; 4]);
        let place = u32::try_from(place).expect("fewer than 2^32 keys");
        to.extend_from_slice(&place.to_le_bytes());
        to.extend_from_slice(record.consumer.as_bytes());
        to.extend_from_slice(metadata.as_bytes());
    }
}

/// What the index has to say of what was presented.
pub struct Judgement<'a> {
    /// What becomes of it.
    pub verdict: KeyVerdict,
    /// The id that the presented text has or would have; `None` if it can be no key.
    pub id: Option<Id>,
    /// The key that was compared.
    entry: Option<Entry<'a>>,
    /// Whether it is the one that was presented.
    is_known: bool,
    index: &'a Index,
    /// The time of this use of it.
    now: Time,
}

/// A request that a consumer has under way, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Usage>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<'a> Judgement<'a> {
    /// The key, where it is one of the file's. What it holds is looked at only where it is
    /// asked for: no length must show in the time that a key takes which is not good.
    fn known(&self) -> Option<&Entry<'a>> {
        self.entry.as_ref().filter(|_| self.is_known)
    }

    /// The digest of the key, where it is one of the file's.
    pub(super) fn known_digest(&self) -> Option<&'a [u8; 32]> {
        self.known().map(|entry| entry.digest)
    }

    /// Whose key it is; empty where it is unknown.
    #[must_use]
    pub fn consumer(&self) -> &'a str {
        text_of(self.known().map(|entry| entry.consumer))
    }

    /// What is to be sent along; empty where there is none.
    #[must_use]
    pub fn metadata(&self) -> &'a str {
        text_of(self.known().map(|entry| entry.metadata))
    }

    /// Takes note of a request that is granted. `None` where nobody counts those that are
    /// under way.
    ///
    /// # Errors
    ///
    /// Why it is not let in now.
    pub fn admit(&self) -> Result<Option<Permit>, Exceeded> {
        let Some(entry) = self.known() else {
            return Ok(None);
        };
        let permit = match usage_of(&self.index.usages, entry.usage) {
            None => None,
            Some(usage) => {
                let begin = |most| usage.begin(most).map(|()| Permit(Arc::clone(usage)));
                let permit = self.index.most_under_way.map(begin).transpose()?;
                usage.take()?;
                permit
            }
        };
        self.index.uses.note(entry.place, self.now, 1);
        Ok(permit)
    }
}

impl Index {
    /// Reads a file of keys; `path` is for what is said of it.
    pub(super) fn read(path: &Path, file: File, limits: Limits) -> Result<Self, Error> {
        let mut index = Self {
            most_under_way: limits.most_under_way,
            ..Self::default()
        };
        let mut rates = Vec::new();
        let mut each = |record: Record| {
            Entry::write(&record, &mut index.entries, index.count);
            // Most files have no rate at all.
            if let Some(rate) = record.rate {
                rates.push((index.count, rate));
            }
            index.count += 1;
            Ok(())
        };
        reader::read(file, &mut each).map_err(|error| error.at(path))?;
        index.entries.shrink_to_fit();
        index.uses = UseCounts::new(index.count);
        index.count_usages(&rates, limits);
        index.fill_table();
        Ok(index)
    }

    /// Gives each consumer that has a limit its place among the usages. `rates` are those of
    /// some keys, by their place in the file; all keys of a consumer share its last one.
    fn count_usages(&mut self, rates: &[(usize, Rate)], limits: Limits) {
        if rates.is_empty() && limits.rate.is_none() && limits.most_under_way.is_none() {
            return;
        }
        let counts_all = limits.rate.is_some() || limits.most_under_way.is_some();
        let mut places = Vec::with_capacity(self.count);
        let mut numbers: HashMap<&[u8], u32> = HashMap::new();
        let mut of_consumer: Vec<Option<Rate>> = Vec::new();
        let mut rates = rates.iter().peekable();
        let mut rest = self.entries.as_slice();
        let mut key = 0;
        while let Some((entry, behind)) = Entry::read(rest) {
            let rate = rates.next_if(|(of, _)| *of == key).map(|(_, rate)| *rate);
            if counts_all || rate.is_some() || numbers.contains_key(entry.consumer) {
                let fresh = u32::try_from(of_consumer.len()).expect("fewer than 2^32 consumers");
                let number = *numbers.entry(entry.consumer).or_insert(fresh);
                if number == fresh {
                    of_consumer.push(None);
                }
                if rate.is_some() {
                    of_consumer[number as usize] = rate;
                }
                places.push((self.entries.len() - rest.len(), number + 1));
            }
            rest = behind;
            key += 1;
        }
        for (place, number) in places {
            self.entries[place + USAGE..][..4].copy_from_slice(&number.to_le_bytes());
        }
        self.usages = of_consumer
            .into_iter()
            .map(|rate| {
                let usage = Usage::default();
                usage.set(rate.or(limits.rate));
                Arc::new(usage)
            })
            .collect();
    }

    /// Goes on with what the consumers of `old` have used up.
    pub(super) fn go_on_from(&mut self, old: &Self) {
        if old.usages.is_empty() || self.usages.is_empty() {
            return;
        }
        let mut used: HashMap<&[u8], &Arc<Usage>> = HashMap::new();
        for entry in entries(&old.entries) {
            if let Some(usage) = usage_of(&old.usages, entry.usage) {
                used.insert(entry.consumer, usage);
            }
        }
        for entry in entries(&self.entries) {
            if let Some(usage) = used.remove(entry.consumer)
                && let Some(place) = (entry.usage as usize).checked_sub(1)
            {
                usage.set(self.usages[place].rate());
                self.usages[place] = Arc::clone(usage);
            }
        }
    }

    /// Takes over the uses that `old`, which judges no more requests, has still noted.
    pub(super) fn take_over_uses(&self, old: &Self) {
        if !old.uses.take_mark() {
            return;
        }
        for entry in entries(&old.entries) {
            if let Some((last, count)) = old.uses.take(entry.place)
                && let Some((same, true)) = self.find(entry.digest)
            {
                self.uses.note(same.place, last, count);
            }
        }
    }

    /// Takes the uses of each key since this was last called, in the order of their ids.
    pub(super) fn take_uses(&self) -> Vec<KeyUse> {
        if !self.uses.take_mark() {
            return Vec::new();
        }
        let taken = |entry: Entry<'_>| {
            let (last, count) = self.uses.take(entry.place)?;
            let id = Id::of(entry.digest);
            Some(KeyUse { id, last, count })
        };
        let mut uses: Vec<_> = entries(&self.entries).filter_map(taken).collect();
        uses.sort_unstable_by_key(|used| used.id);
        uses
    }

    /// The ids of all keys, in order.
    pub(super) fn ids(&self) -> Vec<Id> {
        let mut ids = Vec::with_capacity(self.count);
        ids.extend(entries(&self.entries).map(|entry| Id::of(entry.digest)));
        ids.sort_unstable();
        ids
    }

    fn fill_table(&mut self) {
        let all = self.entries.as_slice();
        self.table = Table::new(self.count, || {
            let mut rest = all;
            std::iter::from_fn(move || {
                let place = all.len() - rest.len();
                let (entry, behind) = Entry::read(rest)?;
                rest = behind;
                Some((entry.digest, place))
            })
        });
    }

    /// How many keys there are, good or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many are made after `now`.
    pub(super) fn made_after(&self, now: Time) -> usize {
        let all = entries(&self.entries);
        all.filter(|entry| entry.created > now).count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Judges what is presented as a key, at the time `now`.
    ///
    /// One key is compared, whatever is presented, and as many bytes are digested as are
    /// presented, up to the longest key. What the verdict depends on is looked at without
    /// a branch. So the time tells nothing that the client does not know.
    #[must_use]
    pub fn judge(&self, presented: &[u8], now: Time) -> Judgement<'_> {
        let mut text = [0; LENGTH];
        let length = presented.len().min(LENGTH);
        text[..length].copy_from_slice(&presented[..length]);
        let well_formed = text::is_well_formed(&text) & (presented.len() == LENGTH);
        text.zeroize();
        let digest = text::digest(&presented[..presented.len().min(LONGEST)]);
        let found = self.find(&digest);
        let fits = presented.len() <= LONGEST;
        let is_known = found.as_ref().is_some_and(|(_, is_it)| *is_it) & fits;
        let facts = found.as_ref().map_or(0, |(entry, _)| {
            usize::from(entry.revoked)
                | usize::from(now < entry.created) << 1
                | usize::from(entry.expires <= now) << 2
        });
        let facts = facts | usize::from(well_formed) << 3 | usize::from(is_known) << 4;
        Judgement {
            verdict: VERDICTS.0[black_box(facts) % VERDICTS.0.len()],
            id: black_box(well_formed | is_known).then_some(Id::of(&digest)),
            entry: found.map(|(entry, _)| entry),
            is_known,
            index: self,
            now,
        }
    }

    /// Whether the key with this digest is good, or will be.
    pub(super) fn can_be_used(&self, digest: &[u8; 32], now: Time) -> bool {
        let is_usable = |entry: &Entry<'_>| !entry.revoked && now < entry.expires;
        let found = self.find(digest);
        found.is_some_and(|(entry, is_it)| is_it && is_usable(&entry))
    }

    /// A key, and whether it has this digest; `None` where there are no keys.
    fn find(&self, digest: &[u8; 32]) -> Option<(Entry<'_>, bool)> {
        let read = |place| Entry::read(self.entries.get(place..)?);
        let found = self.table.find(digest, |place| {
            read(place).is_some_and(|(entry, _)| constant_time_eq_32(entry.digest, digest))
        })?;
        let (entry, _) = read(found.place)?;
        Some((entry, found.is_it))
    }
}

/// The verdict on each combination of facts, in one line of the cache.
#[repr(align(32))]
struct Verdicts([KeyVerdict; 32]);

static VERDICTS: Verdicts = {
    let mut verdicts = [KeyVerdict::Granted; 32];
    let mut facts = 0;
    while facts < verdicts.len() {
        verdicts[facts] = verdict(facts);
        facts += 1;
    }
    Verdicts(verdicts)
};

const fn verdict(facts: usize) -> KeyVerdict {
    let [revoked, future, expired, well_formed, is_known] = [1, 2, 4, 8, 16];
    if facts & is_known == 0 {
        // One that was imported has whatever form it has.
        if facts & well_formed == 0 {
            KeyVerdict::Malformed
        } else {
            KeyVerdict::Unknown
        }
    } else if facts & revoked != 0 {
        KeyVerdict::Revoked
    } else if facts & future != 0 {
        KeyVerdict::ClockBeforeCreated
    } else if facts & expired != 0 {
        KeyVerdict::Expired
    } else {
        KeyVerdict::Granted
    }
}

/// What is in `bytes`, one behind the other.
fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (entry, behind) = Entry::read(rest)?;
        rest = behind;
        Some(entry)
    })
}

/// Where an entry holds its consumer's place in `usages`.
const USAGE: usize = 32 + 8 + 8 + 1 + 1 + 2;

fn text_of(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap_or_default()).expect("written as a text")
}

fn usage_of(usages: &[Arc<Usage>], number: u32) -> Option<&Arc<Usage>> {
    usages.get((number as usize).checked_sub(1)?)
}
