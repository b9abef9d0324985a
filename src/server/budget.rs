//! The memory that connections may hold between their turns, for the whole process.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use mio::Waker;

/// One budget for all workers: it bounds what any number of hostile connections can
/// cost, whichever workers they are given to.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    workers: OnceLock<Vec<Arc<Waker>>>,
    /// Held by the one worker that gives back.
    giving_back: Mutex<()>,
}

impl Budget {
    /// `limit` in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            workers: OnceLock::new(),
            giving_back: Mutex::new(()),
        }
    }

    /// Says whom to wake when the limit is passed.
    pub(crate) fn set_workers(&self, workers: Vec<Arc<Waker>>) {
        // It is set once, before the first connection.
        let _ = self.workers.set(workers);
    }

    /// Has every worker look at what is in excess: at least one of them holds more than
    /// its share.
    pub(crate) fn wake_workers(&self) {
        for worker in self.workers.get().into_iter().flatten() {
            // Only a full eventfd fails, and that one is about to wake it anyway.
            let _ = worker.wake();
        }
    }

    /// The right to give back what is in excess. One worker has it at a time: several at
    /// once would each give back the whole excess. `None` where another one has it, which
    /// wakes the others for what it has not got itself.
    pub(crate) fn claim(&self) -> Option<MutexGuard<'_, ()>> {
        self.giving_back.try_lock().ok()
    }

    /// What each of the workers may hold even when the limit is passed, in bytes.
    pub(crate) fn share(&self) -> usize {
        self.limit / self.workers.get().map_or(1, Vec::len)
    }

    /// A connection holds `to` bytes where it held `from`.
    pub(crate) fn change(&self, from: usize, to: usize) {
        // Most connections hold nothing, and then nothing shared is touched.
        if from < to {
            self.used.fetch_add(to - from, Relaxed);
        } else if to < from {
            self.used.fetch_sub(from - to, Relaxed);
        }
    }

    /// Whether half of it is used, so that who reads should read less.
    pub(crate) fn is_short(&self) -> bool {
        self.used.load(Relaxed) > self.limit / 2
    }

    /// How many bytes have to be given back, down to seven eighths of the limit, so that
    /// looking for the largest holders is rare. Zero where the limit is kept.
    pub(crate) fn excess(&self) -> usize {
        let used = self.used.load(Relaxed);
        if used <= self.limit {
            return 0;
        }
        used - self.limit / 8 * 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_to_be_given_back_past_the_limit() {
        let budget = Budget::new(800);
        budget.change(0, 400);
        assert!(!budget.is_short());
        budget.change(0, 400);
        assert!(budget.is_short());
        assert_eq!(budget.excess(), 0);
        budget.change(100, 150);
        assert_eq!(budget.excess(), 150);
        budget.change(150, 0);
        assert_eq!(budget.excess(), 0);
    }
}
