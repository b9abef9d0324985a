//! The keys as they are looked up: by digest, as fast among a million as among ten.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use constant_time_eq::constant_time_eq_32;
use zeroize::Zeroize as _;

use super::id::leading;
use super::rate::{Exceeded, Rate, Usage};
use super::reader;
use super::record::Record;
use super::text::{self, LENGTH, LONGEST};
use super::time::Time;
use super::use_counts::{KeyUse, UseCounts};
use super::{Error, Id, KeyVerdict};

/// Every key of a file, one behind the other, and a table that says where the one with a
/// certain digest is: open addressing, at most half full. A lookup goes to two places in
/// memory, the table and the key, however many keys there are.
///
/// Nobody can choose the digest of what they present. So nobody can make one place of the
/// table crowded, nor learn anything about a key from the time of a lookup, which depends
/// on digests alone.
#[derive(Default)]
pub struct Index {
    entries: Vec<u8>,
    /// A free slot is 0. Another one holds a part of the digest, and the place in `entries`
    /// plus one.
    slots: Vec<u64>,
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

/// Bits of a slot that tell the place; the others are the digest's.
const PLACE_BITS: u32 = 40;

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
#[derive(Debug)]
pub struct Judgement<'a> {
    /// What becomes of it.
    pub verdict: KeyVerdict,
    /// The id that the presented text has or would have; `None` if it can be no key.
    pub id: Option<Id>,
    /// Whose key it is; empty where it is unknown.
    pub consumer: &'a str,
    /// What is to be sent along; empty where there is none.
    pub metadata: &'a str,
    /// What the consumer has used up, and how many requests it may have under way.
    usage: Option<(&'a Arc<Usage>, Option<u32>)>,
    /// Where a use of the key is noted: its place, and the time of this one.
    uses: Option<(&'a UseCounts, u32, Time)>,
}

/// A request that a consumer has under way, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Usage>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Judgement<'_> {
    /// Takes note of a request that is granted. `None` where nobody counts those that are
    /// under way.
    ///
    /// # Errors
    ///
    /// Why it is not let in now.
    pub fn admit(&self) -> Result<Option<Permit>, Exceeded> {
        let permit = match self.usage {
            None => None,
            Some((usage, most)) => {
                let begin = |most| usage.begin(most).map(|()| Permit(Arc::clone(usage)));
                let permit = most.map(begin).transpose()?;
                usage.take()?;
                permit
            }
        };
        if let Some((uses, place, now)) = self.uses {
            uses.note(place, now, 1);
        }
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
        index.fill_slots();
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
                && let Some(same) = self.find(entry.digest)
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

    fn fill_slots(&mut self) {
        assert!(
            self.entries.len() >> PLACE_BITS == 0,
            "more than a terabyte of keys"
        );
        let mut slots = vec![0; (2 * self.count).next_power_of_two()];
        let mut rest = self.entries.as_slice();
        let mut place = 0;
        while let Some((entry, behind)) = Entry::read(rest) {
            let (mut at, part) = hash(entry.digest, slots.len());
            while slots[at] != 0 {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = part | (place + 1);
            place += u64::try_from(rest.len() - behind.len()).expect("a few bytes");
            rest = behind;
        }
        self.slots = slots;
    }

    /// How many keys there are, good or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many are made after `now`.
    pub(super) fn made_after(&self, now: Time) -> usize {
        let mut rest = &self.entries[..];
        std::iter::from_fn(|| {
            let (entry, behind) = Entry::read(rest)?;
            rest = behind;
            Some(entry)
        })
        .filter(|entry| entry.created > now)
        .count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Judges what is presented as a key, at the time `now`.
    ///
    /// At least one key is compared, and as many bytes are digested as are presented, up to
    /// the longest key; so the time tells nothing that the client does not know.
    #[must_use]
    pub fn judge(&self, presented: &[u8], now: Time) -> Judgement<'_> {
        let mut text = [0; LENGTH];
        let length = presented.len().min(LENGTH);
        text[..length].copy_from_slice(&presented[..length]);
        let well_formed = text::check(&text).is_ok() && presented.len() == LENGTH;
        text.zeroize();
        let digest = text::digest(&presented[..presented.len().min(LONGEST)]);
        let found = self.find(&digest);
        // One that was imported has whatever form it has.
        let (verdict, found) = match found.filter(|_| presented.len() <= LONGEST) {
            None if !well_formed => (KeyVerdict::Malformed, None),
            None => (KeyVerdict::Unknown, None),
            Some(entry) if entry.revoked => (KeyVerdict::Revoked, Some(entry)),
            Some(entry) if now < entry.created => (KeyVerdict::ClockBeforeCreated, Some(entry)),
            Some(entry) if entry.expires <= now => (KeyVerdict::Expired, Some(entry)),
            Some(entry) => (KeyVerdict::Granted, Some(entry)),
        };
        let is_known = found.is_some();
        let usage = found
            .as_ref()
            .and_then(|entry| usage_of(&self.usages, entry.usage));
        let usage = usage.map(|usage| (usage, self.most_under_way));
        let uses = found.as_ref().map(|entry| (&self.uses, entry.place, now));
        let text = |bytes| std::str::from_utf8(bytes).expect("written as a text");
        let (consumer, metadata) = found.map_or(("", ""), |entry| {
            (text(entry.consumer), text(entry.metadata))
        });
        Judgement {
            verdict,
            id: (well_formed || is_known).then(|| Id::of(&digest)),
            consumer,
            metadata,
            usage,
            uses,
        }
    }

    /// Compares every key whose slot holds the same part of the digest. Where there is no
    /// such slot, it compares the next key, so that this takes as long.
    fn find(&self, digest: &[u8; 32]) -> Option<Entry<'_>> {
        if self.count == 0 {
            return None;
        }
        let (mut at, part) = hash(digest, self.slots.len());
        let (mut found, mut compared, mut ended) = (None, false, false);
        while !(ended && compared) {
            let slot = self.slots[at];
            ended |= slot == 0;
            if slot != 0 && (ended || slot >> PLACE_BITS == part >> PLACE_BITS) {
                let place = (slot & ((1 << PLACE_BITS) - 1)) - 1;
                let place = usize::try_from(place).ok()?;
                let (entry, _) = Entry::read(&self.entries[place..])?;
                if constant_time_eq_32(entry.digest, digest) {
                    found = Some(entry);
                }
                compared = true;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        found
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

fn usage_of(usages: &[Arc<Usage>], number: u32) -> Option<&Arc<Usage>> {
    usages.get((number as usize).checked_sub(1)?)
}

/// The first slot to look at for a digest, and the part of the digest that a slot holds.
/// `slots` is a power of two.
fn hash(digest: &[u8; 32], slots: usize) -> (usize, u64) {
    let mut eight = [0; 8];
    eight.copy_from_slice(&digest[8..16]);
    let at = usize::try_from(leading(digest)).unwrap_or(usize::MAX) & (slots - 1);
    (at, u64::from_le_bytes(eight) << PLACE_BITS)
}
