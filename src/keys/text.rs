//! The text of a key, which the client presents.
//!
//! `og_` + 32 characters + `_` + 6 characters, all of them `a` to `z` and `2` to `7`, the
//! base32 alphabet of RFC 4648, section 6, in lower case:
//!
//! ```text
//! og_[a-z2-7]{32}_[a-z2-7]{6}
//! ```
//!
//! The 32 are 160 random bits. The 6 are the checksum: the first 30 bits of the SHA-256
//! of the 35 characters before the second underscore. So a secret scanner can tell a key
//! from a random text without asking anyone. A typo looks like a key once in a thousand
//! million times.

use std::fmt;
use std::hint::black_box;
use std::sync::LazyLock;

use constant_time_eq::constant_time_eq;
use data_encoding::{Encoding, Specification};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of a key's text.
pub const LENGTH: usize = 42;

/// Fewest and most bytes of a key that was made elsewhere and imported.
pub const SHORTEST: usize = 16;
/// See [`SHORTEST`].
pub const LONGEST: usize = 255;

const PREFIX: &[u8] = b"og_";
const SEPARATOR: u8 = b'_';
/// Where the random part begins, where it ends and the separator stands, and where the
/// checksum begins.
const RANDOM: usize = PREFIX.len();
const RANDOM_END: usize = RANDOM + 32;
const CHECKSUM: usize = RANDOM_END + 1;

/// RFC 4648, section 6, in lower case and without padding.
pub(super) static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols = "abcdefghijklmnopqrstuvwxyz234567".into();
    specification.encoding().expect("32 different symbols")
});

/// A fresh key, wiped when dropped.
pub struct Key(Zeroizing<[u8; LENGTH]>);

impl Key {
    /// Makes one of 160 random bits.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn fresh() -> Result<Self, std::io::Error> {
        let mut bits = Zeroizing::new([0; 20]);
        crate::random::fill(&mut *bits)?;
        let mut text = Zeroizing::new([SEPARATOR; LENGTH]);
        text[..RANDOM].copy_from_slice(PREFIX);
        BASE32.encode_mut(&*bits, &mut text[RANDOM..RANDOM_END]);
        let checksum = checksum(&text[..RANDOM_END]);
        text[CHECKSUM..].copy_from_slice(&checksum);
        Ok(Self(text))
    }

    /// The text; the only way to show it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// SHA-256 of the text, all that is kept of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&*self.0)
    }
}

/// Whether it begins like a key that this program makes.
#[must_use]
pub fn is_prefixed(text: &[u8]) -> bool {
    text.starts_with(PREFIX)
}

/// Whether it can be a key that was made elsewhere and imported, by its form.
#[must_use]
pub fn can_be_imported(text: &[u8]) -> bool {
    (SHORTEST..=LONGEST).contains(&text.len())
        && text.iter().all(u8::is_ascii_graphic)
        && !is_prefixed(text)
}

/// SHA-256 of a key's whole text.
#[must_use]
pub fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Why a text is not a key that this program makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not have [`LENGTH`] bytes.
    Length,
    /// A character stands where a key cannot have it.
    Characters,
    /// The checksum is wrong: there is a typo, or the text was made up.
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(to, "a key of this program has {LENGTH} bytes"),
            Self::Characters => to.write_str(
                "a key of this program is og_, 32 characters, _ and 6 characters, a to z and 2 to 7",
            ),
            Self::Checksum => {
                to.write_str("its checksum is wrong, so there is a typo in it, or it was made up")
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// Checks that `text` has the form of a key, and the right checksum.
///
/// # Errors
///
/// The first fault.
pub fn check(text: &[u8]) -> Result<(), Malformed> {
    let text = text.try_into().map_err(|_| Malformed::Length)?;
    match looked_at(text) {
        [false, _] => Err(Malformed::Characters),
        [true, false] => Err(Malformed::Checksum),
        [true, true] => Ok(()),
    }
}

/// The same of a text that is as long as a key, in a time that tells nothing of it.
pub(super) fn is_well_formed(text: &[u8; LENGTH]) -> bool {
    let [characters, checksum] = black_box(looked_at(text));
    characters & checksum
}

/// Whether the characters are right, and whether the checksum is. All is looked at, wherever
/// a fault is.
fn looked_at(text: &[u8; LENGTH]) -> [bool; 2] {
    let checksum = checksum(&text[..RANDOM_END]);
    let in_alphabet = |part: &[u8]| {
        let is_good = |byte: &u8| byte.is_ascii_lowercase() | (b'2'..=b'7').contains(byte);
        part.iter().fold(true, |all, byte| all & is_good(byte))
    };
    let rights = [
        constant_time_eq(&text[..RANDOM], PREFIX),
        text[RANDOM_END] == SEPARATOR,
        in_alphabet(&text[RANDOM..RANDOM_END]),
        in_alphabet(&text[CHECKSUM..]),
    ];
    [
        rights.into_iter().fold(true, |all, right| all & right),
        constant_time_eq(&text[CHECKSUM..], &checksum),
    ]
}

fn checksum(before: &[u8]) -> [u8; LENGTH - CHECKSUM] {
    let digest = Sha256::digest(before);
    let mut symbols = [0; 7];
    BASE32.encode_mut(&digest[..4], &mut symbols);
    let [first @ .., _] = symbols;
    first
}
