//! When a worker's connections time out: a heap that is looked at from its earliest
//! entry on, so that nobody looks at every connection.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::net::ConnectionToken;

/// The times at which connections want to be looked at.
///
/// A deadline that moves to a later time costs nothing: the entry stays, and whoever is
/// looked at too early is scheduled again. Each connection remembers the one entry that
/// counts for it; the others are dropped when their time comes, or all at once when they
/// are the majority: connections that come and go leave one behind each.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, ConnectionToken)>>,
}

impl Deadlines {
    /// Schedules a look at `at`. `members` is how many connections there are, and `counts`
    /// tells whether an entry is the one that counts for its connection.
    pub(crate) fn schedule(
        &mut self,
        at: Instant,
        token: ConnectionToken,
        members: usize,
        counts: impl Fn(Instant, ConnectionToken) -> bool,
    ) {
        if self.heap.len() > 2 * members + 64 {
            self.heap.retain(|&Reverse((at, token))| counts(at, token));
        }
        self.heap.push(Reverse((at, token)));
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out one entry whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, ConnectionToken)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::Side;

    #[test]
    fn entries_come_due_in_the_order_of_their_times() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let token = |slot| ConnectionToken::new(Side::Client, slot, 0);
        let mut deadlines = Deadlines::default();
        for (seconds, slot) in [(3, 0), (1, 1), (2, 2)] {
            deadlines.schedule(at(seconds), token(slot), 3, |_, _| true);
        }
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(start), None);
        assert_eq!(deadlines.pop_due(at(2)), Some((at(1), token(1))));
        assert_eq!(deadlines.pop_due(at(2)), Some((at(2), token(2))));
        assert_eq!(deadlines.pop_due(at(2)), None);
        assert_eq!(deadlines.next(), Some(at(3)));
    }
    #[test]
    fn what_connections_leave_behind_stays_bounded() {
        let now = Instant::now();
        let token = |slot| ConnectionToken::new(Side::Client, slot, 0);
        let mut deadlines = Deadlines::default();
        for slot in 0..10_000 {
            let is_last = |_, entry: ConnectionToken| entry.slot() + 1 == slot;
            deadlines.schedule(now, token(slot), 1, is_last);
        }
        assert!(deadlines.heap.len() < 100);
    }
}
