//! A key's short id, for people and logs.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::text::BASE32;

/// The first 50 bits of a key's digest, shown as ten characters of base32. So it tells
/// which key is meant and nothing of its text, and cannot fall out with the digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

const BITS: u32 = 50;
const SYMBOLS: usize = 10;

impl Id {
    /// The id of the key with this digest.
    #[must_use]
    pub fn of(digest: &[u8; 32]) -> Self {
        Self(leading(digest) >> (u64::BITS - BITS))
    }

    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let symbols: &[u8; SYMBOLS] = text.as_bytes().try_into().ok()?;
        symbols
            .iter()
            .try_fold(0, |sum, &symbol| {
                let value = match symbol {
                    b'a'..=b'z' => symbol - b'a',
                    b'2'..=b'7' => symbol - b'2' + 26,
                    _ => return None,
                };
                Some(sum << 5 | u64::from(value))
            })
            .map(Self)
    }
}

/// Ids are as good as random already, so a set of them needs no hash.
#[derive(Default)]
pub(super) struct Unhashed(u64);

impl Hasher for Unhashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // To both ends: a table takes its places from one and its tags from the other.
        self.0 = self.0.rotate_left(8) ^ id ^ (id << (u64::BITS - BITS));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A set of ids.
pub(super) type Ids = HashSet<Id, BuildHasherDefault<Unhashed>>;

/// The first 64 bits of a digest.
pub(super) fn leading(digest: &[u8; 32]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(eight)
}

impl fmt::Display for Id {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shifted = self.0 << (u64::BITS - BITS);
        let mut symbols = [0; 13];
        BASE32.encode_mut(&shifted.to_be_bytes(), &mut symbols);
        to.write_str(&String::from_utf8_lossy(&symbols[..SYMBOLS]))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for byte in 0..=255 {
            let id = Id::of(&[byte; 32]);
            assert_eq!(Id::parse(&id.to_string()), Some(id));
        }
        assert_eq!(Id::of(&[0; 32]).to_string(), "aaaaaaaaaa");
        for bad in ["", "aaaaaaaaa", "aaaaaaaaaaa", "aaaaaaaaa1", "AAAAAAAAAA"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }
}
