//! A consumer's name in the place of a key's id, or a key's id in the place of a name.

use std::fmt;

/// One was written in the place of the other. Displays as what it is, and a line for each
/// command that may be meant.
#[derive(Debug)]
pub struct Mistaken {
    pub(super) what: String,
    /// Commands that may be meant.
    pub(super) lines: Vec<String>,
    /// How many keys are not shown.
    pub(super) others: usize,
}

impl fmt::Display for Mistaken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.what)?;
        for line in &self.lines {
            write!(to, "\n  {line}")?;
        }
        match self.others {
            0 => Ok(()),
            others => write!(
                to,
                "\n  and {others} older ones, which `origin-guard keys list` shows"
            ),
        }
    }
}

impl std::error::Error for Mistaken {}
