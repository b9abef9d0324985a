//! When keys were last used, from all the files that guards may have written about them.

use std::path::{Path, PathBuf};

use super::Id;
use super::time::Time;
use super::use_counts::KeyUse;
use super::use_file::{self, UseFileError, Uses};

/// The folder of the documented file of keys, and that of `StateDirectory=origin-guard`.
const USUAL: (&str, &str) = ("/etc/origin-guard", "/var/lib/origin-guard");

/// What is known of the uses of keys; nothing where nobody counts them.
#[derive(Debug, Default)]
pub(super) struct KnownUses {
    files: Vec<Uses>,
    /// What is to be said of the files, a line each.
    pub(super) warnings: Vec<String>,
}

impl KnownUses {
    /// Reads every file about the keys in the file at `keys`.
    ///
    /// # Errors
    ///
    /// Why one of them is not read; the others alone would tell too little.
    pub(super) fn find(keys: &Path, state_directory: Option<&str>) -> Result<Self, UseFileError> {
        let mut known = Self::default();
        for path in paths(keys, state_directory) {
            if let Some(uses) = Uses::read(&path)? {
                if uses.skipped.count() > 0 {
                    known
                        .warnings
                        .push(format!("{}, {}", path.display(), uses.skipped));
                }
                known.files.push(uses);
            }
        }
        Ok(known)
    }

    /// Since when every use is known; `None` where nobody counts.
    pub(super) fn since(&self, now: Time) -> Option<Time> {
        let since = |file: &Uses| match file.skipped.count() {
            0 => file.since,
            // The lines that are left out may have been any key's.
            _ => now,
        };
        self.files.iter().map(since).max()
    }

    /// The uses of a key; `None` where there was none.
    pub(super) fn of(&self, id: Id) -> Option<KeyUse> {
        let found = self.files.iter().filter_map(|file| file.of(id));
        found.reduce(|mut sum, other| {
            sum.add(other);
            sum
        })
    }
}

/// Where guards may have written: beside the file of keys, and in the folders that the
/// variable names, or where systemd puts that of the service as it is printed.
fn paths(keys: &Path, state_directory: Option<&str>) -> Vec<PathBuf> {
    let is_usual = keys.parent() == Some(Path::new(USUAL.0));
    let usual = is_usual.then_some(USUAL.1);
    let folders = state_directory.filter(|list| !list.is_empty()).or(usual);
    let folders = folders.into_iter().flat_map(|list| list.split(':'));
    let mut paths = vec![use_file::path(keys, None)];
    for folder in folders {
        let path = use_file::path(keys, Some(folder));
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_where_a_guard_may_have_written() {
        for (keys, folders, wanted) in [
            ("/a/k", None, &["/a/k.uses"][..]),
            ("/a/k", Some(""), &["/a/k.uses"]),
            (
                "/a/k",
                Some("/s:/t"),
                &["/a/k.uses", "/s/k.uses", "/t/k.uses"],
            ),
            ("/a/k", Some("/a"), &["/a/k.uses"]),
            (
                "/etc/origin-guard/k",
                None,
                &["/etc/origin-guard/k.uses", "/var/lib/origin-guard/k.uses"],
            ),
            (
                "/etc/origin-guard/k",
                Some("/s"),
                &["/etc/origin-guard/k.uses", "/s/k.uses"],
            ),
        ] {
            let wanted: Vec<_> = wanted.iter().map(PathBuf::from).collect();
            assert_eq!(paths(Path::new(keys), folders), wanted);
        }
    }
}
