//! Which files the last reload found faulty, for the page and `health`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// By the name of the kind of file.
static FAULTY: Mutex<BTreeMap<&'static str, Vec<FaultyFile>>> = Mutex::new(BTreeMap::new());

/// A file that stays as it was. Displays as the beginning of a sentence: `The file /path
/// (VARIABLE)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultyFile {
    variable: &'static str,
    path: Option<PathBuf>,
}

impl FaultyFile {
    /// `path` is `None` where it is not known which file of `variable` it is.
    pub(super) fn new(variable: &'static str, path: Option<&Path>) -> Self {
        let path = path.map(Path::to_owned);
        Self { variable, path }
    }
}

impl fmt::Display for FaultyFile {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(to, "The file {} ({})", path.display(), self.variable),
            None => write!(to, "A file of {}", self.variable),
        }
    }
}

/// Takes the place of what was faulty of this kind.
pub(super) fn note(name: &'static str, files: Vec<FaultyFile>) {
    let mut faulty = FAULTY.lock().unwrap_or_else(PoisonError::into_inner);
    faulty.insert(name, files);
}

/// All that are faulty now.
pub(crate) fn faulty_files() -> Vec<FaultyFile> {
    let faulty = FAULTY.lock().unwrap_or_else(PoisonError::into_inner);
    faulty.values().flatten().cloned().collect()
}
