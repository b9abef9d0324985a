//! The secrets: their digests, and the comparison in constant time. A secret is never
//! printed. Only the gateway hands out the current one.

use std::hint::black_box;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::usage::{self, SecretUse, Usage};
use crate::http1::client_network::ClientNetwork;

/// Values up to this length take the same steps, whatever their length. A value of this
/// length, one byte for the length and the padding fill two blocks of SHA-256.
const PADDED: usize = 118;

/// Below this many bytes a secret can be guessed; it earns a warning.
pub const SHORT: usize = 16;

/// A digest of one secret, wiped when dropped.
pub struct Digest([u8; 32]);

impl Digest {
    /// Digests `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        Self(digest(value, value.len()))
    }

    /// Whether it is the digest of the same value, in constant time.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        constant_time_eq_32(&self.0, &other.0)
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What the gateway may present: the current secret, then those that rotation is to
/// retire. Only digests are kept. The text of the current one is kept too where a gateway
/// hands it out.
pub struct Secrets {
    held: RwLock<Held>,
    keeps_text: bool,
}

struct Held {
    digests: Vec<Digest>,
    /// That of each digest, in their order.
    usage: Vec<Arc<Usage>>,
    current: Option<Text>,
    /// When they were read.
    read_at: SystemTime,
}

impl Held {
    fn new(digests: Vec<Digest>, current: Option<Text>) -> Self {
        Self {
            usage: digests.iter().map(|_| Arc::default()).collect(),
            digests,
            current,
            read_at: SystemTime::now(),
        }
    }

    /// Goes on counting for the secrets that there were. One that has become a previous one
    /// begins anew, and keeps only when it was last used.
    fn go_on_from(&mut self, old: &Self, now: Instant) {
        for (at, digest) in self.digests.iter().enumerate() {
            let Some(before) = old.digests.iter().position(|old| old.equals(digest)) else {
                continue;
            };
            let usage = &old.usage[before];
            self.usage[at] = if (at == 0) == (before == 0) {
                Arc::clone(usage)
            } else {
                Arc::new(Usage::after(usage, now))
            };
        }
    }
}

/// The text of a secret, which a header can hold; wiped when dropped.
pub type Text = Zeroizing<String>;

impl Secrets {
    /// The first of `digests` is the current one. Without any, nobody is let in.
    #[must_use]
    pub fn new(digests: Vec<Digest>) -> Self {
        Self {
            held: RwLock::new(Held::new(digests, None)),
            keeps_text: false,
        }
    }

    /// The same, with the text of the current one, for [`Secrets::current`].
    #[must_use]
    pub fn with_text(digests: Vec<Digest>, current: Option<Text>) -> Self {
        Self {
            held: RwLock::new(Held::new(digests, current)),
            keeps_text: true,
        }
    }

    /// Replaces all secrets at once, and tells whether any of them changed. The old ones
    /// are wiped, and so is a text that is not to be kept.
    pub fn replace(&self, digests: Vec<Digest>, current: Option<Text>) -> bool {
        let current = current.filter(|_| self.keeps_text);
        let mut fresh = Held::new(digests, current);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        fresh.go_on_from(&held, Instant::now());
        let old = std::mem::replace(&mut *held, fresh);
        let pairs = old.digests.iter().zip(&held.digests);
        let same = old.digests.len() == held.digests.len()
            && pairs.fold(true, |same, (old, new)| same & old.equals(new));
        drop(held);
        !same
    }

    /// The text of the current one, if it is kept and there is one.
    #[must_use]
    pub fn current(&self) -> Option<Text> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.current.clone()
    }

    /// Tells which secret the first `length` bytes of `presented` are: 0 for none, 1 for
    /// the current one, 2 for a previous one, 3 where one is both. These are numbers,
    /// because a `bool` invites the compiler to branch. `None` where there are no secrets.
    ///
    /// Every secret is compared. The time that it takes tells neither the content nor the
    /// length of a secret, nor which one it was, nor `length` where `presented` is short.
    #[must_use]
    pub fn matches(&self, presented: &[u8], length: usize) -> Option<usize> {
        self.matches_and_counts(presented, length, 0)
    }

    /// The same, and counts `uses`, 0 or 1, of the secret that matches. Every secret's count
    /// is written to, so that counting tells no more than the comparison.
    #[must_use]
    pub fn matches_and_counts(
        &self,
        presented: &[u8],
        length: usize,
        uses: usize,
    ) -> Option<usize> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.digests.is_empty() {
            return None;
        }
        let mut digest = digest(presented, length);
        let place = usage::own_place();
        let mut found = 0;
        for (index, secret) in held.digests.iter().enumerate() {
            let equal = black_box(usize::from(constant_time_eq_32(&secret.0, &digest)));
            held.usage[index].add(place, black_box(equal & uses));
            found |= equal << index.min(1);
        }
        drop(held);
        digest.zeroize();
        Some(black_box(found))
    }

    /// Notes who has presented `secret`, where it is one.
    pub fn note_client(&self, secret: &[u8], client: ClientNetwork) {
        self.note(secret, |usage| usage.note_client(client));
    }

    /// Notes that `secret`, where it is one, came in the clear. That is forgotten with the
    /// secret alone.
    pub fn note_leak(&self, secret: &[u8]) {
        self.note(secret, Usage::note_leak);
    }

    fn note(&self, secret: &[u8], what: impl Fn(&Usage)) {
        let digest = Digest::of(secret);
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        for (known, usage) in held.digests.iter().zip(&held.usage) {
            if known.equals(&digest) {
                what(usage);
            }
        }
    }

    /// How each secret has been used up to now, the current one first.
    #[must_use]
    pub fn usage(&self, now: Instant) -> Vec<SecretUse> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.usage.iter().map(|usage| usage.look(now)).collect()
    }

    /// When they were read.
    #[must_use]
    pub fn read_at(&self) -> SystemTime {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.read_at
    }
}

/// The places of a padded value; as bytes, so that sixteen of them are compared at once.
static INDEXES: [u8; PADDED + 1] = {
    let mut indexes = [0; PADDED + 1];
    let mut index = 0;
    while index < PADDED {
        index += 1;
        indexes[index] = indexes[index - 1] + 1;
    }
    indexes
};

fn digest(value: &[u8], length: usize) -> [u8; 32] {
    if value.len() > PADDED {
        let mut hash = Sha256::new();
        // This byte sets the value apart from every padded one.
        hash.update([0xff]);
        hash.update(&value[..length]);
        return hash.finalize().into();
    }
    // Copying `length` bytes would take a time that tells `length`. So every byte is taken
    // from somewhere in `value`, and the bytes past `length` are masked to zero. To take whole
    // words is quicker, and `make timing` shows it: where a word lies depends on the length.
    let source = [value, &[0]][black_box(usize::from(value.is_empty()))];
    // This spares a check of each index below.
    assert!(!source.is_empty(), "one of the two has bytes");
    let last = source.len() - 1;
    let mut padded = [0; PADDED + 1];
    for (index, byte) in padded.iter_mut().enumerate() {
        *byte = source[index.min(last)];
    }
    // What is padded is shorter than 256 bytes.
    let length = u8::try_from(length).unwrap_or(u8::MAX);
    for (byte, index) in padded.iter_mut().zip(black_box(&INDEXES)) {
        // All bits are ones where `index < length`.
        *byte &= u8::from(*index < length).wrapping_neg();
    }
    padded[PADDED] = length;
    let digest = Sha256::digest(padded).into();
    // Byte by byte, as `zeroize` does it, takes longer than the comparison.
    padded.fill(0);
    black_box(&padded);
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
            let right = |presented: &[u8]| secrets.matches(presented, presented.len()) == Some(1);
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
        let find = |presented: &str| secrets.matches(presented.as_bytes(), presented.len());
        assert_eq!(find("new"), Some(1));
        assert_eq!(find("old"), Some(2));
        assert_eq!(find("older"), Some(2));
        assert_eq!(find("oldest"), Some(0));
        secrets.replace(vec![Digest::of(b"old"), Digest::of(b"old")], None);
        assert_eq!(find("new"), Some(0));
        assert_eq!(find("old"), Some(3));
        secrets.replace(Vec::new(), None);
        assert_eq!(find("old"), None);
    }

    #[test]
    fn keeps_a_text_only_where_that_is_wanted() {
        let text = |text: &str| Some(Zeroizing::new(text.to_owned()));
        let secrets = Secrets::new(vec![Digest::of(b"old")]);
        secrets.replace(vec![Digest::of(b"new")], text("new"));
        assert_eq!(secrets.current(), None);
        let secrets = Secrets::with_text(vec![Digest::of(b"old")], text("old"));
        assert_eq!(secrets.current(), text("old"));
        secrets.replace(vec![Digest::of(b"new")], text("new"));
        assert_eq!(secrets.current(), text("new"));
        secrets.replace(Vec::new(), None);
        assert_eq!(secrets.current(), None);
    }
}
