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
/// counts for it; the others are dropped when their time comes.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, ConnectionToken)>>,
}

impl Deadlines {
    /// Schedules a look at `at`.
    pub(crate) fn schedule(&mut self, at: Instant, token: ConnectionToken) {
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
            deadlines.schedule(at(seconds), token(slot));
        }
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(start), None);
        assert_eq!(deadlines.pop_due(at(2)), Some((at(1), token(1))));
        assert_eq!(deadlines.pop_due(at(2)), Some((at(2), token(2))));
        assert_eq!(deadlines.pop_due(at(2)), None);
        assert_eq!(deadlines.next(), Some(at(3)));
    }
}
