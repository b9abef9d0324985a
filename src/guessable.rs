//! Keys and secrets that somebody could guess, although they are long enough.

use std::fmt;

use zeroize::Zeroizing;

/// Why a text can be guessed. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guessable {
    /// A few characters, again and again.
    Repeated,
    /// Characters in the order of an alphabet or a keyboard.
    Sequential,
    /// Words that are in every list of passwords.
    Words,
}

impl Guessable {
    /// The same in words.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Repeated => "it repeats a few characters",
            Self::Sequential => "its characters follow one another as in an alphabet",
            Self::Words => "it is made of words that are tried first",
        }
    }
}

impl fmt::Display for Guessable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.why())
    }
}

/// Fewer different characters than this are a repetition. Sixteen random digits have as
/// few once in a hundred thousand times.
const FEW: usize = 5;
/// What must be left of a key without its words; it takes more than 2^40 guesses in
/// letters and digits.
const LEFT: usize = 8;

/// The rows that fingers run along.
const ROWS: [&str; 5] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
];

/// What people write where a key should be.
const WORDS: [&str; 75] = [
    "access",
    "admin",
    "alpha",
    "api",
    "apple",
    "auth",
    "backend",
    "bearer",
    "beta",
    "changeit",
    "changeme",
    "client",
    "company",
    "correct",
    "battery",
    "horse",
    "staple",
    "credential",
    "customer",
    "database",
    "default",
    "demo",
    "dev",
    "dragon",
    "dummy",
    "example",
    "flower",
    "football",
    "foobar",
    "gateway",
    "guest",
    "hello",
    "here",
    "internal",
    "iloveyou",
    "key",
    "letmein",
    "live",
    "local",
    "login",
    "master",
    "monday",
    "monkey",
    "mysecret",
    "origin",
    "pass",
    "passphrase",
    "password",
    "please",
    "princess",
    "private",
    "prod",
    "production",
    "public",
    "qwerty",
    "random",
    "root",
    "sample",
    "secret",
    "secure",
    "server",
    "service",
    "shadow",
    "shared",
    "staging",
    "summer",
    "sunshine",
    "super",
    "test",
    "token",
    "user",
    "welcome",
    "winter",
    "world",
    "your",
];

/// Why `text` can be guessed, if it can.
pub(crate) fn guessable(text: &str) -> Option<Guessable> {
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    let bytes = lower.as_bytes();
    let mut different = Zeroizing::new(bytes.to_vec());
    different.sort_unstable();
    different.dedup();
    let has_period =
        |period: usize| (period..bytes.len()).all(|at| bytes[at] == bytes[at - period]);
    if different.len() < FEW || (1..=bytes.len() / 2).any(has_period) {
        return Some(Guessable::Repeated);
    }
    let steps = bytes
        .windows(2)
        .filter(|pair| follow(pair[0], pair[1]))
        .count();
    // Of random characters one pair in twenty does.
    if 2 * steps >= bytes.len() - 1 {
        return Some(Guessable::Sequential);
    }
    (without_words(&lower) < LEFT).then_some(Guessable::Words)
}

/// Whether one character follows the other in a row, or goes before it, or is the same.
fn follow(one: u8, other: u8) -> bool {
    let are_neighbours = |row: &str| {
        row.as_bytes()
            .windows(2)
            .any(|pair| pair == [one, other] || pair == [other, one])
    };
    one == other || ROWS.iter().any(|row| are_neighbours(row))
}

/// The characters that are left without words, years and what stands between them.
fn without_words(lower: &str) -> usize {
    let (mut rest, mut left) = (lower, 0);
    while let Some(first) = rest.chars().next() {
        let word = WORDS
            .iter()
            .filter(|word| rest.starts_with(**word))
            .max_by_key(|word| word.len());
        let year = rest.get(..4).filter(|four| {
            four.bytes().all(|byte| byte.is_ascii_digit())
                && (four.starts_with("19") || four.starts_with("20"))
        });
        if let Some(word) = word.copied().or(year) {
            rest = &rest[word.len()..];
            continue;
        }
        left += usize::from(first.is_ascii_alphanumeric());
        rest = &rest[first.len_utf8()..];
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_guessed_is_told() {
        for (text, why) in [
            ("aaaaaaaaaaaaaaaa", Guessable::Repeated),
            ("abababababababab", Guessable::Repeated),
            ("s3cr3t-s3cr3t-s3cr3t-", Guessable::Repeated),
            ("1121121122112211", Guessable::Repeated),
            ("abcdefghijklmnop", Guessable::Sequential),
            ("ponmlkjihgfedcba", Guessable::Sequential),
            ("1234567890123456", Guessable::Sequential),
            ("qwertyuiopasdfgh", Guessable::Sequential),
            ("AbCdEfGhIjKlMnOp", Guessable::Sequential),
            ("password-password-2024", Guessable::Words),
            ("my-secret-api-key-1", Guessable::Words),
            ("changeme_changeme!", Guessable::Words),
            ("correct-horse-battery-staple", Guessable::Words),
            ("test-api-key-for-customer", Guessable::Words),
            ("changemechangeme", Guessable::Repeated),
            ("your-secret-here-please", Guessable::Words),
        ] {
            assert_eq!(guessable(text), Some(why), "{text}");
        }
        for random in [
            "4f1c9a7be02d5386",
            "8271940365518274",
            "sk_live_9aF3kQ27xLmPz0Rt",
            "XyZ7Kp2mQw9Lr4Tn",
            "d41d8cd98f00b204e9800998ecf8427e",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        ] {
            assert_eq!(guessable(random), None, "{random}");
        }
    }
}
