//! What goes wrong with keys and their file.

use std::fmt;
use std::io;
use std::path::Path;

/// Why something could not be done, and what to do about it. Never shows a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command line asks for what cannot be.
    Usage(String),
    /// The file of keys is not as it must be.
    File(String),
    /// There is no such key, or the key is not good.
    Key(String),
    /// The system denies something.
    System(String),
}

impl Fault {
    /// The exit status of a command, after sysexits(3).
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::File(_) => 78,
            Self::Key(_) | Self::System(_) => 1,
        }
    }

    /// What the system said to `doing` something with the file at `path`.
    pub(super) fn system(path: &Path, doing: &str, error: &io::Error) -> Self {
        Self::System(format!("{} cannot be {doing}: {error}", path.display()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(fault) | Self::File(fault) | Self::Key(fault) | Self::System(fault) => {
                to.write_str(fault)
            }
        }
    }
}
