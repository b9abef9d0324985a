//! Whose turn it is, what it acts under, and what follows from it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mio::event::Event;

use super::Worker;
use crate::net::{ConnectionToken, Side};
use crate::server::counters;
use crate::server::resources::WorkerResources;
use crate::server::session::{Action, Session, SessionContext};
use crate::server::slots::Standing;

/// In a drain a connection that was busy this lately may bring one more request.
const GRACE: Duration = Duration::from_secs(1);
/// How long connections that have more to do may go on before fresh readiness is looked
/// at: a client that pipelines does not hold up one that does not.
const SLICE: Duration = Duration::from_micros(500);
/// Turns of TLS handshakes in each pass of the loop; the others wait for the next one. Such
/// a turn costs as much as dozens of requests, and a flood of them does not hold up the
/// connections that are there.
const HANDSHAKES_PER_PASS: usize = 4;

/// A session has panicked.
pub(super) struct Panicked;

impl Worker {
    pub(super) fn on_event(&mut self, token: ConnectionToken, event: &Event, now: Instant) {
        let slot = match token.side() {
            Side::Client => self.live(token),
            Side::Backend => self.resources.pool.on_event(token, event),
        };
        let Some(slot) = slot else {
            return;
        };
        if let Some(session) = &mut self.sessions[slot].session {
            match token.side() {
                Side::Client => session.transport().on_event(event),
                Side::Backend => {
                    if let Some(transport) = session.backend_transport() {
                        transport.on_event(event);
                    }
                }
            }
        }
        // Who runs again, or had much to do the last time, has its turn after those that
        // have little.
        if self.sessions[slot].queued {
            return;
        }
        let session = self.sessions[slot].session.as_ref();
        if session.is_some_and(Session::is_greedy) {
            self.queue(slot);
        } else {
            self.have_turn(slot, now);
        }
    }

    /// Its turn, unless that has to wait for the next pass.
    pub(super) fn have_turn(&mut self, slot: usize, now: Instant) {
        let session = self.sessions[slot].session.as_ref();
        if session.is_some_and(Session::is_handshaking) {
            if self.handshakes >= HANDSHAKES_PER_PASS {
                return self.queue(slot);
            }
            self.handshakes += 1;
        }
        self.on_ready(slot, now);
    }

    pub(super) fn queue(&mut self, slot: usize) {
        self.sessions[slot].queued = true;
        self.run_again.push_back(self.token(slot));
    }

    pub(super) fn run_again(&mut self, now: Instant) {
        for _ in 0..self.run_again.len() {
            let Some(token) = self.run_again.pop_front() else {
                return;
            };
            if let Some(slot) = self.live(token) {
                self.sessions[slot].queued = false;
                self.have_turn(slot, now);
            }
            if now.elapsed() >= SLICE {
                return;
            }
        }
    }

    pub(super) fn on_ready(&mut self, slot: usize, now: Instant) {
        self.publish(slot, Some(Standing::Busy));
        self.with_session(slot, now, Session::on_ready);
        // At once: what hundreds of turns add in one pass would be past all limits.
        if self.budget.excess() > 0 {
            self.give_back(now);
        }
    }

    /// Lets `act` do something with a session, and draws the consequences.
    pub(super) fn with_session(
        &mut self,
        slot: usize,
        now: Instant,
        act: impl FnOnce(&mut Session, &SessionContext<'_>, &mut WorkerResources) -> Action,
    ) {
        match self.lend_to(slot, now, act) {
            None => return,
            Some(Err(Panicked)) => return self.close(slot, &counters::CLOSED_ERROR),
            Some(Ok(Action::Close(reason))) => return self.close(slot, reason),
            Some(Ok(Action::RunAgain)) if !self.sessions[slot].queued => self.queue(slot),
            Some(Ok(Action::RunAgain | Action::Wait)) => {}
        }
        self.after_turn(slot);
    }

    /// Lends a session what it acts under, and keeps count of the memory that it holds. A
    /// panic ends it alone, and not the worker.
    pub(super) fn lend_to<T>(
        &mut self,
        slot: usize,
        now: Instant,
        act: impl FnOnce(&mut Session, &SessionContext<'_>, &mut WorkerResources) -> T,
    ) -> Option<Result<T, Panicked>> {
        let session = self.sessions.get_mut(slot)?.session.as_mut()?;
        let service = &self.services[session.group];
        let context = SessionContext {
            handler: &*service.handler,
            relay: service.relay.as_deref(),
            tls: service.tls.as_deref(),
            limits: &self.limits,
            now,
            draining: self.draining.is_some(),
            is_short: self.budget.is_short(),
            is_full: self.budget.excess() > 0,
            slot,
        };
        let held = session.held();
        let resources = &mut self.resources;
        let result = catch_unwind(AssertUnwindSafe(|| act(session, &context, resources)));
        let result = result.map_err(|panic| {
            log::error!("session_panicked peer={}", session.peer());
            self.resources.restore(&self.limits);
            drop(panic);
            Panicked
        });
        let holds = session.held();
        self.held = self.held - held + holds;
        self.budget.change(held, holds);
        if held < holds && self.budget.excess() > 0 && self.held < self.budget.share() {
            // Others hold more.
            self.budget.wake_workers();
        }
        Some(result)
    }

    /// Notes what the session is now: its standing, and when to look at it.
    pub(super) fn after_turn(&mut self, slot: usize) {
        let token = self.token(slot);
        let entry = &mut self.sessions[slot];
        let Some(session) = &entry.session else {
            return;
        };
        let idle = session.idle_since();
        let standing = session.standing();
        let mut deadline =
            session.deadline(&self.limits, self.services[session.group].relay.as_deref());
        if self.draining.is_some()
            && let Some(idle) = idle
        {
            deadline = deadline.min(idle + GRACE);
        }
        let is_sooner = entry.scheduled.is_none_or(|scheduled| deadline < scheduled);
        if is_sooner {
            entry.scheduled = Some(deadline);
        }
        let before = entry.standing.replace(standing);
        if is_sooner {
            let sessions = &self.sessions;
            let counts = |at, token: ConnectionToken| {
                let entry = &sessions[token.slot()];
                entry.generation == token.generation && entry.scheduled == Some(at)
            };
            let members = self.slots.occupied();
            self.deadlines.schedule(deadline, token, members, counts);
        }
        let proven_idle = idle.filter(|_| standing == Standing::Idle);
        self.slots.set_idle(slot, proven_idle);
        self.publish(slot, Some(standing));
        if before != Some(standing) {
            self.set_standing(slot, before, Some(standing));
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((at, token)) = self.deadlines.pop_due(now) {
            let Some(slot) = self.live(token) else {
                continue;
            };
            let entry = &mut self.sessions[slot];
            if entry.scheduled != Some(at) {
                continue;
            }
            entry.scheduled = None;
            let Some(session) = &entry.session else {
                continue;
            };
            let idle = session.idle_since();
            if self.draining.is_some() && idle.is_some_and(|since| since + GRACE <= now) {
                self.close(slot, &counters::CLOSED_DRAIN);
            } else if session.deadline(&self.limits, self.services[session.group].relay.as_deref())
                <= now
            {
                self.with_session(slot, now, Session::expire);
            } else {
                self.after_turn(slot);
            }
        }
    }
}
