//! What the accepting thread knows of a worker's connections, so that it can choose
//! which one to evict when all slots are occupied.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
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

/// One worker's connections; written by it, read by the accepting thread.
///
/// Relaxed throughout: a count that is a moment old picks a worker or a victim that
/// was right a moment ago, and the worker looks again before it closes anything.
pub(crate) struct ConnectionSlots {
    origin: Instant,
    occupied: AtomicUsize,
    lingering: AtomicUsize,
    unproven: AtomicUsize,
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
    /// Evictions that the worker was told of and has not carried out.
    evicting: AtomicUsize,
    closed: AtomicBool,
}

impl ConnectionSlots {
    pub(crate) fn new(origin: Instant, count: usize) -> Self {
        Self {
            origin,
            occupied: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
            unproven: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            first_unproven: AtomicU64::new(0),
            first_lingering: AtomicU64::new(0),
            idle_since: std::iter::repeat_with(AtomicU64::default)
                .take(count)
                .collect(),
            high: AtomicUsize::new(0),
            evicting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Connections that it has, those on their way to it included.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Relaxed)
    }

    /// The accepting thread hands a connection over.
    pub(crate) fn occupy(&self) {
        self.occupied.fetch_add(1, Relaxed);
        self.arriving.fetch_add(1, Relaxed);
    }

    /// The worker opens a connection that was handed over.
    pub(crate) fn arrived(&self) {
        self.arriving.fetch_sub(1, SeqCst);
    }

    /// The worker has closed a connection.
    pub(crate) fn release(&self) {
        self.occupied.fetch_sub(1, Relaxed);
    }

    /// The connection in `slot` goes from one standing to another, from or to `None`
    /// where it comes or goes.
    pub(crate) fn set_standing(&self, from: Option<Standing>, to: Option<Standing>) {
        if from == to {
            return;
        }
        // The worker alone writes these, so that no locked instruction is needed.
        let counter = |standing| match standing {
            Some(Standing::Lingering) => Some(&self.lingering),
            Some(Standing::Unproven) => Some(&self.unproven),
            _ => None,
        };
        if let Some(counter) = counter(from) {
            counter.store(counter.load(Relaxed).wrapping_sub(1), Relaxed);
        }
        if let Some(counter) = counter(to) {
            counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

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
        self.left(self.lingering.load(Relaxed))
    }

    /// Since when the first of the lingering lingers, comparable across workers.
    pub(crate) fn first_lingering(&self) -> Option<u64> {
        Some(self.first_lingering.load(Relaxed)).filter(|&since| since != 0)
    }

    /// When the first of the unproven was accepted, comparable across workers.
    pub(crate) fn first_unproven(&self) -> Option<u64> {
        Some(self.first_unproven.load(Relaxed)).filter(|&accepted| accepted != 0)
    }

    /// How many unproven connections are there for evictions to come. Those that are on
    /// their way to the worker are among them: it opens them before it evicts.
    pub(crate) fn unproven(&self) -> usize {
        // In this order: one that arrives meanwhile counts twice rather than not at all.
        let arriving = self.arriving.load(SeqCst);
        self.left(self.lingering.load(Relaxed) + self.unproven.load(Relaxed) + arriving)
    }

    /// Without those that are claimed already.
    fn left(&self, count: usize) -> usize {
        count.saturating_sub(self.evicting.load(SeqCst))
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

    /// Claims a victim, so that the next look finds another one.
    pub(crate) fn claim(&self, victim: Victim) {
        self.evicting.fetch_add(1, SeqCst);
        if let Victim::Idle(slot) = victim {
            self.set_idle(slot, None);
        }
    }

    /// The worker has looked at a victim, and closed it if it was still one.
    pub(crate) fn evicted(&self) {
        self.evicting.fetch_sub(1, SeqCst);
    }

    /// How many victims the worker has yet to look at.
    pub(crate) fn evicting(&self) -> usize {
        self.evicting.load(SeqCst)
    }

    pub(crate) fn is_evicting(&self) -> bool {
        self.evicting() != 0
    }

    /// The worker has drained and is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }
}
