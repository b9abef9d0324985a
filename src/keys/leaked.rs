//! Keys that came in the clear, as long as they are good.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::id::Id;

/// So many are remembered; another one takes the place of the oldest.
const MOST: usize = 100;

/// A key that came in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeakedKey {
    /// Which one.
    pub id: Id,
    /// When it first did.
    pub since: SystemTime,
}

/// Those of a file.
#[derive(Default)]
pub(super) struct Leaked(Mutex<Vec<([u8; 32], LeakedKey)>>);

impl Leaked {
    /// Takes note of the key with this digest.
    pub(super) fn note(&self, digest: &[u8; 32], now: SystemTime) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.iter().any(|(known, _)| known == digest) {
            return;
        }
        if all.len() >= MOST {
            all.remove(0);
        }
        let (id, since) = (Id::of(digest), now);
        all.push((*digest, LeakedKey { id, since }));
    }

    /// Forgets those that are not good any more, and tells of the others, the oldest first.
    pub(super) fn look(&self, is_good: impl Fn(&[u8; 32]) -> bool) -> Vec<LeakedKey> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(digest, _)| is_good(digest));
        all.iter().map(|&(_, leaked)| leaked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_and_each_is_told_of_once() {
        let leaked = Leaked::default();
        let start = SystemTime::UNIX_EPOCH;
        for number in (0..=MOST).chain([MOST]) {
            let digest = [u8::try_from(number).expect("few"); 32];
            leaked.note(
                &digest,
                start + std::time::Duration::from_secs(number as u64),
            );
        }
        let found = leaked.look(|_| true);
        assert_eq!((found.len(), found[0].id), (MOST, Id::of(&[1; 32])));
        let found = leaked.look(|digest| digest[0] == 7);
        assert_eq!(found.len(), 1);
        assert_eq!(found, leaked.look(|_| true), "the others are forgotten");
    }
}
