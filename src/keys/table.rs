//! Where the key with a certain digest is, among a million as fast as among ten.
//!
//! Buckets of eight slots, each in one line of the cache, half full at most. A key is in
//! one of the two buckets that its digest names, where there was more room.
//!
//! Nobody can choose the digest of what they present. So nobody can make one bucket
//! crowded, nor learn anything about a key from the time of a lookup: it always reads both
//! buckets and compares one key, whether the digest is there or not.

use std::hint::black_box;

use super::id::leading;

/// Slots in the order in which they were filled. One that is free is 0; another one holds a
/// part of the digest, and a place plus one.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([u64; SLOTS]);

const SLOTS: usize = 8;
/// Bits of a slot that tell the place; the others are the digest's.
const PLACE_BITS: u32 = 40;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
const PART_BITS: u32 = u64::BITS - PLACE_BITS;

/// The places of keys, by their digests.
#[derive(Default)]
pub(super) struct Table(Vec<Bucket>);

/// What a lookup comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The place of the key that was compared; whichever, where it is none.
    pub(super) place: usize,
    /// Whether it is the one that was asked for.
    pub(super) is_it: bool,
}

impl Table {
    /// Takes in `count` keys; `keys` goes through their digests and places, which are less
    /// than a million million.
    pub(super) fn new<'a, K>(count: usize, keys: impl Fn() -> K) -> Self
    where
        K: Iterator<Item = (&'a [u8; 32], usize)>,
    {
        if count == 0 {
            return Self::default();
        }
        let mut buckets = (2 * count).next_power_of_two().div_ceil(SLOTS).max(2);
        loop {
            let mut table = Self(vec![Bucket::default(); buckets]);
            if keys().all(|(digest, place)| table.insert(digest, place)) {
                return table;
            }
            buckets *= 2;
        }
    }

    /// `false` where both buckets are full.
    fn insert(&mut self, digest: &[u8; 32], place: usize) -> bool {
        let Hash { buckets, part } = self.hash(digest);
        let place = u64::try_from(place).expect("a place") + 1;
        assert!(place <= PLACE, "more than a terabyte of keys");
        let used = buckets.map(|bucket| used(&self.0[bucket].0));
        let fewer = usize::from(used[1] < used[0]);
        let free = self.0[buckets[fewer]].0.get_mut(used[fewer]);
        free.map(|free| *free = part | place).is_some()
    }

    /// Looks up a digest; `is_it` compares that of the key at a place with it. `None` where
    /// there are no keys.
    pub(super) fn find(&self, digest: &[u8; 32], is_it: impl Fn(usize) -> bool) -> Option<Found> {
        if self.0.is_empty() {
            return None;
        }
        let Hash { buckets, part } = self.hash(digest);
        let buckets = buckets.map(|bucket| &self.0[bucket].0);
        // The compiler knows nothing of what goes through a black box. Else it makes
        // branches of it, and those of a key that is there are not foreseen.
        let masks = black_box(
            buckets.map(|slots| slots.map(|slot| u64::from(has_part(slot, part)).wrapping_neg())),
        );
        let (mut same, mut mask, mut count) = (0, 0, 0_u64);
        for (slots, masks) in buckets.iter().zip(&masks) {
            for (slot, one) in slots.iter().zip(masks) {
                same |= slot & one;
                mask |= one;
                count = count.wrapping_sub(*one);
            }
        }
        let other = any(buckets, part);
        let place = place_of((same & mask) | (other & !mask)).unwrap_or_default();
        let found = |place| Found {
            place,
            is_it: black_box(is_it(place)),
        };
        if count > 1 {
            // Once in a million lookups; `same` is both of them.
            let slots = buckets.into_iter().flatten();
            let same = slots.filter(|slot| has_part(**slot, part));
            let all = same.filter_map(|&slot| place_of(slot)).map(found);
            return all.max_by_key(|found| found.is_it);
        }
        Some(found(place))
    }

    fn hash(&self, digest: &[u8; 32]) -> Hash {
        let mask = self.0.len() - 1;
        let eight = |from: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&digest[from..from + 8]);
            u64::from_le_bytes(eight)
        };
        let bits = |number| usize::try_from(number).unwrap_or(usize::MAX) & mask;
        let first = bits(leading(digest));
        Hash {
            // They are never the same one.
            buckets: [first, first ^ (bits(eight(16)) | 1)],
            part: eight(8) << PLACE_BITS,
        }
    }
}

/// Where to look for a digest, and the part of it that a slot holds.
struct Hash {
    buckets: [usize; 2],
    part: u64,
}

fn used(slots: &[u64; SLOTS]) -> usize {
    slots.iter().map(|slot| usize::from(*slot != 0)).sum()
}

/// One of the slots that are not free, each as often as the others, as it is with keys that
/// are there: who presents many must not find those of one side nearer in the cache.
fn any(buckets: [&[u64; SLOTS]; 2], part: u64) -> u64 {
    let [first, second] = buckets.map(used);
    let all = u64::try_from(first + second).unwrap_or_default();
    let number = usize::try_from(((part >> PLACE_BITS) * all) >> PART_BITS).unwrap_or_default();
    let is_second = usize::from(number >= first);
    let at = number - first * is_second;
    buckets[is_second][at % SLOTS]
}

fn has_part(slot: u64, part: u64) -> bool {
    let is_same = u64::from(slot >> PLACE_BITS == part >> PLACE_BITS);
    is_same & u64::from(slot != 0) != 0
}

fn place_of(slot: u64) -> Option<usize> {
    usize::try_from((slot & PLACE).checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> [u8; 32] {
        super::super::text::digest(&number.to_be_bytes())
    }

    fn table(digests: &[[u8; 32]]) -> Table {
        Table::new(digests.len(), || {
            digests
                .iter()
                .enumerate()
                .map(|(place, digest)| (digest, place))
        })
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        for count in [0, 1, 2, 7, 8, 9, 100, 5000] {
            let digests: Vec<_> = (0..count).map(digest).collect();
            let table = table(&digests);
            let find = |wanted: &[u8; 32]| table.find(wanted, |place| digests[place] == *wanted);
            for (place, digest) in digests.iter().enumerate() {
                let found = find(digest).expect("there");
                assert!(found.is_it && found.place == place);
            }
            for number in count..2 * count + 10 {
                let found = find(&digest(number));
                assert!(!found.is_some_and(|found| found.is_it));
                assert_eq!(found.is_none(), count == 0);
            }
        }
    }

    #[test]
    fn tells_keys_apart_that_share_buckets_and_part() {
        // Only the last byte differs, which is not a part of a slot.
        let numbered = |last: u8| {
            let mut digest = [7; 32];
            digest[31] = last;
            digest
        };
        let digests: Vec<_> = (0..16).map(numbered).collect();
        let table = table(&digests);
        let find = |wanted: [u8; 32]| {
            let found = table.find(&wanted, |place| digests[place] == wanted);
            found.expect("one is compared")
        };
        for last in 0..16 {
            let found = find(numbered(last));
            assert!(found.is_it && found.place == usize::from(last), "{last}");
        }
        assert!(!find(numbered(99)).is_it);
    }
}
