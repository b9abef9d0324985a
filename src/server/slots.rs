//! What the accepting thread knows of a worker's connections, so that it can choose
//! which one to evict when all slots are occupied.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use std::time::Instant;

use mio::Waker;

/// Tells the accepting thread that a slot has become free, if it waits for one.
pub(crate) struct AcceptWaker {
    wanted: AtomicBool,
    waker: Waker,
}

impl AcceptWaker {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            wanted: AtomicBool::new(false),
            waker,
        }
    }

    /// Asks to be woken once, when a slot becomes free.
    pub(crate) fn want(&self) {
        self.wanted.store(true, SeqCst);
    }

    pub(crate) fn tell(&self) {
        // The plain load keeps the common case free of a locked instruction.
        if self.wanted.load(SeqCst) && self.wanted.swap(false, SeqCst) {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        // Only a full eventfd fails, and that one is about to wake it anyway.
        let _ = self.waker.wake();
    }
}

/// How much a connection is worth when slots are short; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Answered for the last time; only what the peer still sends is read off.
    Lingering,
    /// It has never presented a good credential, whatever it does now.
    Unproven,
    /// It has, and nobody waits for anything on it.
    Idle,
    /// It has, and is busy. It is not evicted.
    Busy,
}

/// Which connection a worker is to evict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The one that lingers for the longest time; where none does, the unproven one
    /// that was accepted first.
    LeastWorth,
    /// The one in this slot, if it is idle still.
    Idle(usize),
}

/// One connection that ends, in [`ConnectionSlots::connections`].
const ENDING: u64 = 1 << 32;

/// One worker's connections; written by it, read by the accepting thread.
///
/// What is a moment old picks a worker or a victim that was right a moment ago, and the
/// worker looks again before it closes anything. Only how many there are is always right:
/// a victim is no longer counted as soon as it is claimed, and nothing that the accepting
/// thread goes by changes when it goes.
pub(crate) struct ConnectionSlots {
    origin: Instant,
    /// In the lower half those that hold a slot and a file, in the upper half those of them
    /// that end: claimed as a victim, or being closed. One word, so that both change at once.
    connections: AtomicU64,
    /// Those that linger, and all claims of [`Victim::LeastWorth`] that the worker has dealt
    /// with. The worker alone writes it.
    lingering: AtomicUsize,
    /// The same with those that are unproven.
    evictable: AtomicUsize,
    /// All claims of [`Victim::LeastWorth`]. The accepting thread alone writes it.
    claimed: AtomicUsize,
    /// Those that are on their way to the worker.
    arriving: AtomicUsize,
    /// When the first of the unproven was accepted, in nanoseconds after `origin`, plus 1.
    /// 0 where there is none.
    first_unproven: AtomicU64,
    /// Since when the first of the lingering lingers, in the same way.
    first_lingering: AtomicU64,
    /// Since when the proven connection in each slot is idle, in nanoseconds after
    /// `origin`, plus 1. 0 where the slot is free, unproven or busy.
    idle_since: Box<[AtomicU64]>,
    /// One past the highest slot ever occupied.
    high: AtomicUsize,
    closed: AtomicBool,
}

impl ConnectionSlots {
    pub(crate) fn new(origin: Instant, count: usize) -> Self {
        Self {
            origin,
            connections: AtomicU64::new(0),
            lingering: AtomicUsize::new(0),
            evictable: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            first_unproven: AtomicU64::new(0),
            first_lingering: AtomicU64::new(0),
            idle_since: std::iter::repeat_with(AtomicU64::default)
                .take(count)
                .collect(),
            high: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Connections that hold a slot and a file, those on their way to the worker and those
    /// that end included.
    pub(crate) fn occupied(&self) -> usize {
        occupied(self.connections.load(SeqCst))
    }

    /// The same without those that end.
    pub(crate) fn remaining(&self) -> usize {
        let connections = self.connections.load(SeqCst);
        // A claim may outlive those that could go for it: they ended by themselves before
        // the worker has read of it.
        occupied(connections).saturating_sub(ending(connections))
    }

    /// Whether one ends whose file is open still.
    pub(crate) fn has_ending(&self) -> bool {
        ending(self.connections.load(SeqCst)) != 0
    }

    /// The accepting thread hands a connection over.
    pub(crate) fn occupy(&self) {
        self.arriving.fetch_add(1, SeqCst);
        self.connections.fetch_add(1, SeqCst);
    }

    /// The worker opens a connection that was handed over.
    pub(crate) fn arrived(&self) {
        self.arriving.fetch_sub(1, SeqCst);
    }

    /// Claims a victim, so that the next look finds another one.
    pub(crate) fn claim(&self, victim: Victim) {
        match victim {
            Victim::LeastWorth => _ = self.claimed.fetch_add(1, Relaxed),
            Victim::Idle(slot) => self.set_idle(slot, None),
        }
        self.connections.fetch_add(ENDING, SeqCst);
    }

    /// The worker has looked at a claim of [`Victim::LeastWorth`]: the one that had this
    /// standing goes for it, or none.
    pub(crate) fn settle(&self, standing: Option<Standing>) {
        self.count(standing, true, true);
    }

    /// Nobody goes for a claim.
    pub(crate) fn spare(&self) {
        self.connections.fetch_sub(ENDING, SeqCst);
    }

    /// The worker begins to close a connection that is no victim.
    pub(crate) fn end(&self) {
        self.connections.fetch_add(ENDING, SeqCst);
    }

    /// The file of a victim, or of one that ends by itself, is closed.
    pub(crate) fn ended(&self) {
        self.connections.fetch_sub(ENDING + 1, SeqCst);
    }

    /// A connection goes from one standing to another, from or to `None` where it comes or
    /// goes.
    pub(crate) fn set_standing(&self, from: Option<Standing>, to: Option<Standing>) {
        self.count(from, lingers(to), is_evictable(to));
    }

    /// Counts what a connection is in place of what it was.
    fn count(&self, from: Option<Standing>, lingers_now: bool, is_evictable_now: bool) {
        // The worker alone writes these, so that no locked instruction is needed.
        let count = |counter: &AtomicUsize, before: bool, now: bool| {
            if before != now {
                let others = counter.load(Relaxed).wrapping_sub(usize::from(before));
                counter.store(others.wrapping_add(usize::from(now)), Release);
            }
        };
        count(&self.lingering, lingers(from), lingers_now);
        count(&self.evictable, is_evictable(from), is_evictable_now);
    }

    #[inline]
    fn since_origin(&self, instant: Option<Instant>) -> u64 {
        instant.map_or(0, |instant| {
            let nanos = instant.saturating_duration_since(self.origin).as_nanos();
            u64::try_from(nanos).unwrap_or(u64::MAX - 1) + 1
        })
    }

    /// The worker's first unproven connection was accepted at `accepted`.
    pub(crate) fn set_first_unproven(&self, accepted: Option<Instant>) {
        let nanoseconds = self.since_origin(accepted);
        self.first_unproven.store(nanoseconds, Relaxed);
    }

    /// The worker's first lingering connection lingers since then.
    pub(crate) fn set_first_lingering(&self, since: Option<Instant>) {
        let nanoseconds = self.since_origin(since);
        self.first_lingering.store(nanoseconds, Relaxed);
    }

    /// Since when the proven connection in `slot` is idle, if it is.
    #[inline]
    pub(crate) fn set_idle(&self, slot: usize, since: Option<Instant>) {
        let nanoseconds = self.since_origin(since);
        if let Some(idle) = self.idle_since.get(slot) {
            idle.store(nanoseconds, Relaxed);
        }
        if nanoseconds != 0 && self.high.load(Relaxed) <= slot {
            self.high.store(slot + 1, Relaxed);
        }
    }

    /// How many that linger are there for evictions to come.
    pub(crate) fn lingering(&self) -> usize {
        self.unclaimed(self.lingering.load(Acquire))
    }

    /// Since when the first of the lingering lingers, comparable across workers.
    pub(crate) fn first_lingering(&self) -> Option<u64> {
        Some(self.first_lingering.load(Relaxed)).filter(|&since| since != 0)
    }

    /// When the first of the unproven was accepted, comparable across workers.
    pub(crate) fn first_unproven(&self) -> Option<u64> {
        Some(self.first_unproven.load(Relaxed)).filter(|&accepted| accepted != 0)
    }

    /// How many that linger or are unproven are there for evictions to come. Those that are
    /// on their way to the worker are among them: it opens them before it evicts.
    pub(crate) fn evictable(&self) -> usize {
        // In this order: one that arrives meanwhile counts twice rather than not at all.
        let arriving = self.arriving.load(SeqCst);
        self.unclaimed(self.evictable.load(Acquire).wrapping_add(arriving))
    }

    /// Without those that are claimed already.
    fn unclaimed(&self, count: usize) -> usize {
        let left = count.wrapping_sub(self.claimed.load(Relaxed));
        // More may be claimed than there are: one has proven itself since, or does not linger.
        usize::try_from(left.cast_signed()).unwrap_or(0)
    }

    /// The proven slot that is idle for the longest time, and since when.
    pub(crate) fn longest_idle(&self) -> Option<(u64, usize)> {
        let high = self.high.load(Relaxed).min(self.idle_since.len());
        self.idle_since[..high]
            .iter()
            .enumerate()
            .map(|(slot, since)| (since.load(Relaxed), slot))
            .filter(|&(since, _)| since != 0)
            .min()
    }

    /// The worker has drained and is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }
}

fn occupied(connections: u64) -> usize {
    usize::try_from(connections % ENDING).unwrap_or(usize::MAX)
}

fn ending(connections: u64) -> usize {
    usize::try_from(connections / ENDING).unwrap_or(usize::MAX)
}

fn lingers(standing: Option<Standing>) -> bool {
    standing == Some(Standing::Lingering)
}

fn is_evictable(standing: Option<Standing>) -> bool {
    lingers(standing) || standing == Some(Standing::Unproven)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three unproven connections that the worker has opened.
    fn three() -> ConnectionSlots {
        let slots = ConnectionSlots::new(Instant::now(), 8);
        for _ in 0..3 {
            slots.occupy();
            slots.arrived();
            slots.set_standing(None, Some(Standing::Unproven));
        }
        slots
    }

    fn seen(slots: &ConnectionSlots) -> (usize, usize, usize) {
        (slots.remaining(), slots.evictable(), slots.lingering())
    }

    #[test]
    fn nothing_changes_for_who_looks_when_a_victim_goes() {
        let slots = three();
        slots.set_standing(Some(Standing::Unproven), Some(Standing::Lingering));
        assert_eq!(seen(&slots), (3, 3, 1));
        for (left, standing) in [(2, Standing::Lingering), (1, Standing::Unproven)] {
            slots.claim(Victim::LeastWorth);
            assert_eq!(seen(&slots), (left, left, 0));
            slots.settle(Some(standing));
            assert_eq!(seen(&slots), (left, left, 0));
            assert!(slots.has_ending());
            slots.ended();
            assert_eq!(seen(&slots), (left, left, 0));
            assert_eq!(slots.occupied(), left);
            assert!(!slots.has_ending());
        }
    }

    #[test]
    fn a_claim_that_nobody_goes_for_is_taken_back() {
        let slots = three();
        slots.claim(Victim::LeastWorth);
        for _ in 0..3 {
            slots.set_standing(Some(Standing::Unproven), Some(Standing::Busy));
        }
        assert_eq!(seen(&slots), (2, 0, 0));
        slots.settle(None);
        slots.spare();
        assert_eq!(seen(&slots), (3, 0, 0));
        slots.set_standing(Some(Standing::Busy), Some(Standing::Lingering));
        assert_eq!(seen(&slots), (3, 1, 1));
        assert_eq!(slots.occupied(), 3);
    }

    #[test]
    fn claims_that_outlive_all_who_could_go_for_them_leave_nobody() {
        let slots = three();
        for _ in 0..3 {
            slots.claim(Victim::LeastWorth);
        }
        for left in [2, 1, 0] {
            slots.end();
            slots.set_standing(Some(Standing::Unproven), None);
            slots.ended();
            assert_eq!(slots.occupied(), left);
            assert_eq!(seen(&slots), (0, 0, 0));
        }
        // It comes between, and nobody knows yet that no claim has to be for it.
        slots.occupy();
        assert_eq!(slots.remaining(), 0);
        for _ in 0..3 {
            slots.settle(None);
            slots.spare();
        }
        assert_eq!(seen(&slots), (1, 1, 0));
        assert!(!slots.has_ending());
    }

    #[test]
    fn who_makes_room_by_itself_counts_no_longer_while_its_file_is_open() {
        let slots = three();
        slots.end();
        assert_eq!((slots.remaining(), slots.occupied()), (2, 3));
        assert!(slots.has_ending());
        slots.set_standing(Some(Standing::Unproven), None);
        slots.ended();
        assert_eq!((slots.occupied(), seen(&slots)), (2, (2, 2, 0)));
        assert!(!slots.has_ending());
    }

    #[test]
    fn a_newcomer_that_an_idle_one_made_room_for_is_the_next_to_go() {
        let slots = ConnectionSlots::new(Instant::now(), 8);
        slots.occupy();
        slots.arrived();
        slots.set_idle(0, Some(Instant::now()));
        let (_, slot) = slots.longest_idle().expect("one is idle");
        slots.claim(Victim::Idle(slot));
        assert_eq!(slots.longest_idle(), None);
        slots.occupy();
        assert_eq!(slots.evictable(), 1);
    }
}
