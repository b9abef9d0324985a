//! The secret: its digest, and the comparison in constant time. Never printed.

use std::hint::black_box;

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Values up to this length take the same steps, whatever their length: with a byte
/// for the length behind, one fills two blocks of SHA-256 with its padding.
const PADDED: usize = 118;

/// Below this many bytes a secret can be guessed; it earns a warning.
pub const SHORT: usize = 16;

/// What the gateway must present. Only its digest is kept.
pub struct Secret {
    digest: [u8; 32],
}

impl Secret {
    /// Digests `secret`.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self {
            digest: digest(secret.as_bytes(), secret.len()),
        }
    }

    /// Whether `presented`, cut to its first `length` bytes, is the secret: 1 or 0, a
    /// number because a `bool` invites the compiler to branch on it. Neither the
    /// content nor the length of the secret shows in the time that it takes, nor does
    /// `length` where `presented` is short.
    #[must_use]
    pub fn matches(&self, presented: &[u8], length: usize) -> usize {
        let mut digest = digest(presented, length);
        let equal = usize::from(constant_time_eq_32(&self.digest, &digest));
        digest.zeroize();
        black_box(equal)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.digest.zeroize();
    }
}

fn digest(value: &[u8], length: usize) -> [u8; 32] {
    if value.len() > PADDED {
        let mut hash = Sha256::new();
        // One byte more than any padded value has.
        hash.update([0xff]);
        hash.update(&value[..length]);
        return hash.finalize().into();
    }
    // Copying by length would take steps that tell it. Every byte is taken from
    // somewhere in `value`, and those past `length` are masked to zero.
    let source = [value, &[0]][black_box(usize::from(value.is_empty()))];
    let last = source.len() - 1;
    let mut padded = [0; PADDED + 2];
    for (word, bytes) in padded.chunks_exact_mut(8).enumerate() {
        let mut eight = 0;
        for byte in 0..8 {
            let index = 8 * word + byte;
            // All ones where `index < length`: the difference borrows.
            let inside = (index.wrapping_sub(length) >> (usize::BITS - 1)).wrapping_neg();
            let value = usize::from(source[index.min(last)]) & inside;
            eight |= value << (8 * byte);
        }
        bytes.copy_from_slice(&eight.to_le_bytes());
    }
    padded[PADDED] = u8::try_from(length).unwrap_or(u8::MAX);
    let padded = &mut padded[..=PADDED];
    let digest = Sha256::digest(&*padded).into();
    padded.zeroize();
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_apart_every_length_and_a_byte_anywhere() {
        for length in 1..300 {
            let text = "x".repeat(length);
            let secret = Secret::new(&text);
            let right = |presented: &[u8]| secret.matches(presented, presented.len()) == 1;
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
}
