//! The counts of each thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::registry::registry;

/// Slots in two lines of the cache, which processors fetch in pairs.
const GROUP: usize = 16;

/// No two threads write to one line of the cache.
#[derive(Default)]
#[repr(align(128))]
struct Group([AtomicU64; GROUP]);

/// One thread's counts.
struct ThreadCounters(Box<[Group]>);

static ALL: Mutex<Vec<Arc<ThreadCounters>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<ThreadCounters> = {
        let groups = registry().slots.div_ceil(GROUP);
        let own = Arc::new(ThreadCounters((0..groups).map(|_| Group::default()).collect()));
        // It stays when its thread ends: what was counted has happened.
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&own));
        own
    };
}

/// Adds to each of these slots of this thread. No other thread writes to them, so adding
/// needs no locked instruction. The sums of all threads wrap, so a gauge may go up in one
/// thread and down in another.
pub(super) fn add<const N: usize>(amounts: [(usize, u64); N]) {
    OWN.with(|own| {
        for (slot, amount) in amounts {
            if let Some(group) = own.0.get(slot / GROUP) {
                let count = &group.0[slot % GROUP];
                count.store(count.load(Relaxed).wrapping_add(amount), Relaxed);
            }
        }
    });
}

/// The sum of all threads, slot by slot, at one moment, more or less.
pub(super) fn sums(slots: usize) -> Vec<u64> {
    let mut sums = vec![0_u64; slots];
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    for thread in &*all {
        let counts = thread.0.iter().flat_map(|group| &group.0);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.wrapping_add(count.load(Relaxed));
        }
    }
    sums
}
