//! Memory that all connections together hold too much of, and who gives it back.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use crate::server::session::Session;

/// Whoever holds more than this is as large as any other holder, in bytes.
const LARGE: usize = 8 * 1024;

impl Worker {
    /// All connections together hold too much. Where this worker holds more than its
    /// share, those give it back that hold most, counted in bytes times the time for which
    /// they have held them: of equal ones the oldest goes. From [`LARGE`] on the size does
    /// not count, so that a long head that has just begun is not the largest of all because
    /// others hold the budget in small pieces.
    pub(super) fn give_back(&mut self, now: Instant) {
        if self.held < self.budget.share() {
            return;
        }
        let budget = Arc::clone(&self.budget);
        let Some(claim) = budget.claim() else {
            return;
        };
        self.give_back_largest(now);
        drop(claim);
        if budget.excess() > 0 {
            budget.wake_workers();
        }
    }

    pub(super) fn give_back_largest(&mut self, now: Instant) {
        let wanted = self.held.saturating_sub(self.budget.excess());
        for slot in self.largest_first(now) {
            if self.held <= wanted {
                return;
            }
            self.lend_to(slot, now, |session, context, _| {
                session.bound_kernel(context);
            });
        }
        for slot in self.largest_first(now) {
            if self.held <= wanted {
                return;
            }
            self.with_session(slot, now, Session::give_back);
        }
    }

    pub(super) fn largest_first(&self, now: Instant) -> impl Iterator<Item = usize> + use<> {
        let mut holders: Vec<_> = (self.sessions.iter().enumerate())
            .filter_map(|(slot, entry)| {
                let session = entry.session.as_ref()?;
                let held = session.held();
                let time = now.saturating_duration_since(session.holds_since());
                let cost = held.min(LARGE) as u128 * (1 + time.as_micros());
                (held > 0).then_some((Reverse(cost), slot))
            })
            .collect();
        holders.sort_unstable();
        holders.into_iter().map(|(_, slot)| slot)
    }
}
