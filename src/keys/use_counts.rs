//! How often keys are used, and when last: counted as requests are let in, without a lock,
//! and taken from here once a minute.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Id;
use super::time::Time;

/// The uses of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Which key.
    pub id: Id,
    /// When it was used last, to the minute.
    pub last: Time,
    /// How often it was used.
    pub count: u64,
}

impl KeyUse {
    /// Adds other uses of the same key.
    pub(super) fn add(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }
}

/// The uses of the keys of one index since they were last taken. All workers share it.
#[derive(Debug, Default)]
pub(super) struct UseCounts {
    /// One for each key: the minute of its last use since 1970 (28 bits, up to the year
    /// 2480), and how many there were (36 bits); 0 where there was none.
    counts: Box<[AtomicU64]>,
    /// Whether there is anything to be taken.
    is_used: AtomicBool,
}

const COUNT_BITS: u32 = 36;
const MOST: u64 = (1 << COUNT_BITS) - 1;
const LAST_MINUTE: u64 = (1 << (u64::BITS - COUNT_BITS)) - 1;

impl UseCounts {
    pub(super) fn new(keys: usize) -> Self {
        Self {
            counts: (0..keys).map(|_| AtomicU64::new(0)).collect(),
            is_used: AtomicBool::new(false),
        }
    }

    /// Takes note of so many uses of the key at this place.
    pub(super) fn note(&self, place: u32, last: Time, count: u64) {
        let Some(slot) = self.counts.get(place as usize) else {
            return;
        };
        let minute = last.to_minutes().min(LAST_MINUTE);
        let more = |held: u64| {
            let minute = minute.max(held >> COUNT_BITS);
            let count = (held & MOST).saturating_add(count).min(MOST);
            Some(minute << COUNT_BITS | count)
        };
        // The closure always returns a value. In one order with what follows: who takes the
        // uses clears the mark first.
        let _ = slot.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        // Only read as a rule, so that workers do not wait for each other's caches.
        if !self.is_used.load(Ordering::SeqCst) {
            self.is_used.store(true, Ordering::SeqCst);
        }
    }

    /// Whether any key was used since this was last asked.
    pub(super) fn take_mark(&self) -> bool {
        self.is_used.swap(false, Ordering::SeqCst)
    }

    /// Takes the uses of the key at this place: when the last one was, and how many there
    /// were. Each use is taken once.
    pub(super) fn take(&self, place: u32) -> Option<(Time, u64)> {
        let slot = self.counts.get(place as usize)?;
        // Most keys are not used in most minutes.
        if slot.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let held = slot.swap(0, Ordering::SeqCst);
        let count = held & MOST;
        (count > 0).then(|| (Time::of_minutes(held >> COUNT_BITS), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_add_up_and_are_taken_once() {
        let time = |text| Time::parse(text).expect("a time");
        let counts = UseCounts::new(2);
        assert!(!counts.take_mark() && counts.take(0).is_none());
        counts.note(1, time("2026-11-25T12:34:56Z"), 1);
        counts.note(1, time("2026-11-25T12:30:00Z"), 2);
        counts.note(9, time("2026-11-25T12:30:00Z"), 2);
        assert!(counts.take_mark() && !counts.take_mark());
        assert_eq!(counts.take(1), Some((time("2026-11-25T12:34:00Z"), 3)));
        assert_eq!((counts.take(1), counts.take(0)), (None, None));
        counts.note(0, Time::NEVER, u64::MAX);
        counts.note(0, time("1970-01-01T00:00:00Z"), 1);
        let (last, count) = counts.take(0).expect("used");
        assert_eq!(last.to_minutes(), LAST_MINUTE);
        assert_eq!(count, MOST);
    }

    #[test]
    fn threads_lose_no_use() {
        const EACH: u64 = 20_000;
        let counts = UseCounts::new(1);
        let mut taken = 0;
        std::thread::scope(|scope| {
            let threads = [1, 2].map(|minute| {
                let counts = &counts;
                scope.spawn(move || {
                    for _ in 0..EACH {
                        counts.note(0, Time::of_minutes(minute), 1);
                    }
                })
            });
            while !threads
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
            {
                taken += counts.take(0).map_or(0, |(_, count)| count);
            }
        });
        taken += counts.take(0).map_or(0, |(_, count)| count);
        assert_eq!(taken, 2 * EACH);
    }
}
