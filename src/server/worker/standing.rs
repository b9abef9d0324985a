//! What each session is worth when slots are short, and who goes first.

use std::time::Instant;

use super::{Slot, Worker};
use crate::net::ConnectionToken;
use crate::server::counters;
use crate::server::session::Session;
use crate::server::slots::{Standing, Victim};

impl Worker {
    pub(super) fn set_standing(
        &mut self,
        slot: usize,
        before: Option<Standing>,
        after: Option<Standing>,
    ) {
        let token = self.token(slot);
        let sessions = &self.sessions;
        let has = |standing| move |token| has_standing(sessions, token, standing);
        let members = self.slots.occupied();
        match after {
            Some(Standing::Lingering) => {
                self.lingering
                    .push(token, members, has(Standing::Lingering));
            }
            Some(Standing::Unproven) => {
                self.unproven.push(token, members, has(Standing::Unproven));
            }
            _ => {}
        }
        if before == Some(Standing::Lingering) || after == Some(Standing::Lingering) {
            let first = self.lingering.first(has(Standing::Lingering));
            let since = first
                .and_then(|first| self.sessions[first.slot()].session.as_ref())
                .and_then(Session::lingers_since);
            self.slots.set_first_lingering(since);
        }
        if before == Some(Standing::Unproven) || after == Some(Standing::Unproven) {
            let first = self.unproven.first(has(Standing::Unproven));
            let accepted = first
                .and_then(|first| self.sessions[first.slot()].session.as_ref())
                .map(Session::accepted);
            self.slots.set_first_unproven(accepted);
        }
    }

    /// Tells the accepting thread what a session is worth.
    #[inline]
    pub(super) fn publish(&mut self, slot: usize, standing: Option<Standing>) {
        let entry = &mut self.sessions[slot];
        let before = std::mem::replace(&mut entry.published, standing);
        if before == Some(Standing::Idle) && standing != before {
            self.slots.set_idle(slot, None);
        }
        self.slots.set_standing(before, standing);
    }

    pub(super) fn evict(&mut self, victim: Victim, now: Instant) {
        let sessions = &self.sessions;
        let has = |standing| move |token| has_standing(sessions, token, standing);
        let lingering = self.lingering.first(has(Standing::Lingering));
        let slot = match victim {
            Victim::Idle(slot) => self
                .sessions
                .get(slot)
                .is_some_and(|entry| entry.standing == Some(Standing::Idle))
                .then_some(slot),
            Victim::LeastWorth => lingering
                .or_else(|| self.unproven.first(has(Standing::Unproven)))
                .map(ConnectionToken::slot),
        };
        if victim == Victim::LeastWorth {
            // It was no longer counted since it was claimed.
            let published = slot.and_then(|slot| self.sessions[slot].published.take());
            self.slots.settle(published);
        }
        let Some(slot) = slot else {
            self.slots.spare();
            return self.accept_waker.tell();
        };
        self.lend_to(slot, now, |session, context, _| {
            session.forget_unread(context);
        });
        self.remove(slot, &counters::CLOSED_SHED);
    }
}

fn has_standing(sessions: &[Slot], token: ConnectionToken, standing: Standing) -> bool {
    let entry = &sessions[token.slot()];
    entry.generation == token.generation && entry.standing == Some(standing)
}
