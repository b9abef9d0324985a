//! What others say, without the secret: an origin may answer with what it was sent.

use super::secret_source::Loaded;
use super::secrets::Text;

/// So many bytes of a secret in a row are no chance.
const RUN: usize = 8;
/// What stands in the place of what holds them.
pub(crate) const LEFT_OUT: &str = "(left out: it holds a part of the secret)";

/// The texts that must not be shown.
#[derive(Default)]
pub(crate) struct Redaction {
    secrets: Vec<Text>,
}

impl Redaction {
    /// For the current secret and the previous ones.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let secrets = loaded.current.iter().chain(&loaded.previous);
        Self {
            secrets: secrets.cloned().collect(),
        }
    }

    /// `text`, or that it is left out as a whole: case aside, a run of eight bytes in it is
    /// one of a secret. Of a shorter secret all of it has to be there.
    pub(crate) fn shown<'a>(&self, text: &'a str) -> &'a str {
        if self.secrets.iter().any(|secret| shares_run(secret, text)) {
            LEFT_OUT
        } else {
            text
        }
    }
}

fn shares_run(secret: &Text, text: &str) -> bool {
    // No window has a length of zero.
    let length = secret.len().clamp(1, RUN);
    let of_secret = secret.as_bytes().windows(length);
    of_secret.into_iter().any(|run| {
        let mut of_text = text.as_bytes().windows(length);
        of_text.any(|part| part.eq_ignore_ascii_case(run))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_any_secret_leaves_the_whole_out() {
        let text = |text: &str| Text::new(text.to_owned());
        let redaction = Redaction {
            secrets: vec![text("Zq8vAbcdefGH"), text("k7"), text("0123456789")],
        };
        for said in ["Zq8vAbcdefGH", "x ABCDEFGH y", "v. 12345678", "a K7 b"] {
            assert_eq!(redaction.shown(said), LEFT_OUT, "{said}");
        }
        for said in ["", "nginx/1.24.0", "zq8vabc efgh 1234567"] {
            assert_eq!(redaction.shown(said), said);
        }
        assert_eq!(Redaction::default().shown("a"), "a");
    }
}
