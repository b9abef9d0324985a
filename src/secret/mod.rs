//! The secrets: their digests, and the comparison in constant time. Never printed.

mod source;

use std::sync::{PoisonError, RwLock};

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

pub use source::{Loaded, Source};

/// Values up to this length take the same steps, whatever their length: with the
/// length byte in front, one value fills two blocks of SHA-256 with its padding.
const PADDED: usize = 118;

/// Below this many bytes a secret can be guessed; it earns a warning.
pub const SHORT: usize = 16;

/// A digest of one secret, wiped when dropped.
pub struct Digest([u8; 32]);

impl Digest {
    /// Digests `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        Self(digest(value))
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Which secret a request presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// None of them.
    None = 0,
    /// The current one.
    Current = 1,
    /// One that rotation is to retire.
    Previous = 2,
}

/// What the gateway may present: the current secret, then those that rotation is to
/// retire. Only digests are kept.
pub struct Secrets {
    digests: RwLock<Vec<Digest>>,
}

impl Secrets {
    /// The first is the current one; none at all is an origin that lets nobody in.
    #[must_use]
    pub fn new(digests: Vec<Digest>) -> Self {
        Self {
            digests: RwLock::new(digests),
        }
    }

    /// Replaces them all at once. Those replaced are wiped.
    pub fn replace(&self, digests: Vec<Digest>) {
        let mut held = self.digests.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *held, digests);
        drop(held);
        drop(old);
    }

    /// Which of them `presented` is; `None` where there are none. Every one is
    /// compared, and neither content nor length of any shows in the time it takes, nor
    /// which one it was.
    #[must_use]
    pub fn find(&self, presented: &[u8]) -> Option<Match> {
        let held = self.digests.read().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            return None;
        }
        let mut digest = digest(presented);
        let mut found = 0;
        for (index, secret) in held.iter().enumerate() {
            let equal = usize::from(constant_time_eq_32(&secret.0, &digest));
            found |= equal << index.min(1);
        }
        drop(held);
        digest.zeroize();
        // A secret that is there twice is the current one.
        Some([Match::None, Match::Current, Match::Previous, Match::Current][found])
    }
}

fn digest(value: &[u8]) -> [u8; 32] {
    if value.len() > PADDED {
        let mut hash = Sha256::new();
        // No shorter value has this length byte.
        hash.update([0xff]);
        hash.update(value);
        return hash.finalize().into();
    }
    let mut padded = [0; PADDED + 1];
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    padded[0] = length;
    // Copying by length would take steps that tell it. Every byte is taken from
    // somewhere in `value`, and those past its end are masked to zero.
    let source = if value.is_empty() { &[0][..] } else { value };
    let last = source.len() - 1;
    for (index, byte) in (0..=u8::MAX).zip(&mut padded[1..]) {
        let inside = u8::from(index < length).wrapping_neg();
        *byte = source[usize::from(index).min(last)] & inside;
    }
    let digest = Sha256::digest(padded).into();
    padded.zeroize();
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(
            texts
                .iter()
                .map(|text| Digest::of(text.as_bytes()))
                .collect(),
        )
    }

    #[test]
    fn tells_apart_every_length_and_a_byte_anywhere() {
        for length in 1..300 {
            let text = "x".repeat(length);
            let secrets = secrets(&[&text]);
            let right = |presented: &[u8]| secrets.find(presented) == Some(Match::Current);
            assert!(right(text.as_bytes()), "{length}");
            assert!(!right(&text.as_bytes()[1..]), "{length}");
            assert!(!right(format!("{text}x").as_bytes()), "{length}");
            assert!(!right(format!("{text}\0").as_bytes()), "{length}");
            for at in 0..length {
                let mut other = text.clone().into_bytes();
                other[at] = b'y';
                assert!(!right(&other), "{length} {at}");
            }
        }
    }

    #[test]
    fn tells_which_one_it_was() {
        let secrets = secrets(&["new", "old", "older"]);
        assert_eq!(secrets.find(b"new"), Some(Match::Current));
        assert_eq!(secrets.find(b"old"), Some(Match::Previous));
        assert_eq!(secrets.find(b"older"), Some(Match::Previous));
        assert_eq!(secrets.find(b"oldest"), Some(Match::None));
        secrets.replace(vec![Digest::of(b"old"), Digest::of(b"old")]);
        assert_eq!(secrets.find(b"new"), Some(Match::None));
        assert_eq!(secrets.find(b"old"), Some(Match::Current));
        secrets.replace(Vec::new());
        assert_eq!(secrets.find(b"old"), None);
    }
}
