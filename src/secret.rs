//! The secret: its digest, and the comparison in constant time. Never printed.

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Values up to this length take the same steps, whatever their length: with the
/// length byte in front, one value fills two blocks of SHA-256 with its padding.
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
            digest: digest(secret.as_bytes()),
        }
    }

    /// Whether `presented` is the secret. Neither the content nor the length of the
    /// secret shows in the time that it takes.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        let mut digest = digest(presented);
        let equal = constant_time_eq_32(&self.digest, &digest);
        digest.zeroize();
        equal
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.digest.zeroize();
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

    #[test]
    fn tells_apart_every_length_and_a_byte_anywhere() {
        for length in 1..300 {
            let text = "x".repeat(length);
            let secret = Secret::new(&text);
            assert!(secret.matches(text.as_bytes()), "{length}");
            assert!(!secret.matches(&text.as_bytes()[1..]), "{length}");
            assert!(!secret.matches(format!("{text}x").as_bytes()), "{length}");
            assert!(!secret.matches(format!("{text}\0").as_bytes()), "{length}");
            for at in 0..length {
                let mut other = text.clone().into_bytes();
                other[at] = b'y';
                assert!(!secret.matches(&other), "{length} {at}");
            }
        }
    }
}
