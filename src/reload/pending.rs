//! What systemd hears of reloads.

use std::sync::{Arc, Mutex, PoisonError};

use crate::systemd;

/// A reload that systemd has been told of. The last one to end says `READY=1`.
pub(super) struct Pending {
    all: Arc<Mutex<usize>>,
}

impl Pending {
    pub(super) fn begin(all: &Arc<Mutex<usize>>) -> Arc<Self> {
        // Locked while systemd is told, so that it hears both in their order.
        let mut count = all.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        systemd::reloading();
        Arc::new(Self {
            all: Arc::clone(all),
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut count = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            systemd::ready();
        }
    }
}
