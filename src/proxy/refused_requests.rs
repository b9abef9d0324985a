//! Requests whose secret an origin has refused: only when it lets one of them in does it take
//! the secret. Its public paths let everybody in, and tell nothing.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::http1::request::RequestHead;

/// Most that are remembered, the newest ones.
const MOST: usize = 64;

/// Those of one origin.
#[derive(Default)]
pub(super) struct RefusedRequests {
    /// Whether there are some. Others read it with each answer, and take no lock.
    are_some: AtomicBool,
    requests: Mutex<VecDeque<u64>>,
}

/// What tells whether a request is asked again: its method, and its path without the query.
pub(super) fn identity(head: &RequestHead<'_, '_>) -> u64 {
    let target = &head.target.path_and_query;
    let path = target.split(|&byte| byte == b'?').next();
    let mut hasher = DefaultHasher::new();
    (head.method.as_str(), path).hash(&mut hasher);
    hasher.finish()
}

impl RefusedRequests {
    /// The secret of `request` was refused.
    pub(super) fn add(&self, request: u64) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if !requests.contains(&request) {
            requests.truncate(MOST - 1);
            requests.push_front(request);
        }
        self.are_some.store(true, Relaxed);
    }

    /// `request` was let in: if it is one of them, there are none any more.
    pub(super) fn let_in(&self, request: u64) {
        // A store would take the cache line from the other workers with each answer.
        if !self.are_some() {
            return;
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.contains(&request) {
            requests.clear();
            self.are_some.store(false, Relaxed);
        }
    }

    pub(super) fn are_some(&self) -> bool {
        self.are_some.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_let_in_ends_them_all() {
        let refused = RefusedRequests::default();
        refused.let_in(1);
        for request in 0..100 {
            refused.add(request);
        }
        refused.let_in(100);
        refused.let_in(0);
        assert!(refused.are_some(), "neither is one of the newest 64");
        refused.let_in(36);
        assert!(!refused.are_some());
        refused.add(5);
        refused.let_in(99);
        assert!(refused.are_some(), "those before have been forgotten");
    }
}
