//! The order in which a worker's connections are evicted.

use std::collections::VecDeque;

use crate::net::ConnectionToken;

/// Connections in the order in which they were added.
///
/// Those that are gone, or in it no longer, are not looked for when that happens: they
/// are dropped when they come to the front, and all at once when they are the majority.
#[derive(Default)]
pub(crate) struct EvictionQueue {
    entries: VecDeque<ConnectionToken>,
}

impl EvictionQueue {
    /// Adds one at the end. `is_valid` tells which of those in it still belong there.
    pub(crate) fn push(
        &mut self,
        token: ConnectionToken,
        members: usize,
        is_valid: impl Fn(ConnectionToken) -> bool,
    ) {
        if self.entries.len() > 2 * members + 64 {
            self.entries.retain(|&entry| is_valid(entry));
        }
        self.entries.push_back(token);
    }

    /// The first one that still belongs there.
    pub(crate) fn first(
        &mut self,
        is_valid: impl Fn(ConnectionToken) -> bool,
    ) -> Option<ConnectionToken> {
        while let Some(&token) = self.entries.front() {
            if is_valid(token) {
                return Some(token);
            }
            self.entries.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Side;

    #[test]
    fn the_first_that_is_still_there_comes_first_and_garbage_stays_bounded() {
        let token = |slot| ConnectionToken::new(Side::Client, slot, 0);
        let mut queue = EvictionQueue::default();
        let is_last = |entry: ConnectionToken| entry.slot() >= 9_999;
        for slot in 0..10_000 {
            queue.push(token(slot), 1, is_last);
        }
        assert!(queue.entries.len() < 100);
        assert_eq!(queue.first(is_last), Some(token(9_999)));
        assert_eq!(queue.first(|_| false), None);
    }
}
