//! Adding uses to their file, which is copied line by line under a lock, as several guards
//! may do it.

use std::fs;
use std::io::Seek as _;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use super::time::Time;
use super::use_counts::KeyUse;
use super::use_file::{SkippedLines, UseFileError, open, write_head, write_use};
use super::{Error, Id};
use crate::private_file::permissions;
use crate::private_file::replace::{Locked, TempFile};

/// How long the line of a key that is gone is kept after its last use, in seconds: the file
/// of keys may be put back from a copy.
const KEPT: u64 = 30 * 86_400;

/// What was found where uses were added to a file.
#[derive(Debug, Default)]
pub struct Added {
    /// Its lines that were left out.
    pub skipped: SkippedLines,
    /// Why the whole file was put aside, and where it is now.
    pub put_aside: Option<(UseFileError, PathBuf)>,
}

/// Adds `uses`, which are in the order of their ids, to the file at `path`, and makes it
/// where there is none. Who may read the file of keys at `keys` may read it. Where `ids`
/// are given, lines of other keys are dropped a month after their last use.
///
/// # Errors
///
/// Why it was not written; then it is as it was.
pub fn add(
    path: &Path,
    keys: &Path,
    uses: &[KeyUse],
    ids: Option<&[Id]>,
    now: Time,
) -> Result<Added, Error> {
    let locked = Locked::wait_unfollowed(path)?;
    let mut added = Added::default();
    let old = match open(locked.path()) {
        Err(error) if error.is_faulty() => {
            let aside = aside(locked.path());
            fs::rename(locked.path(), &aside)
                .map_err(|error| Error::system(locked.path(), "put aside", error))?;
            added.put_aside = Some((error, aside));
            None
        }
        opened => opened.map_err(Error::Uses)?,
    };
    let unwritten = |error| Error::system(locked.path(), "written", error);
    let mut temp = locked.temp_file(None)?;
    if let Ok(keys) = fs::metadata(keys) {
        permissions::share(temp.to.get_ref(), &keys);
    }
    // What a clock that was wrong has written would stay the latest for long.
    let since = old.as_ref().map_or(now, |old| old.since.min(now));
    write_head(&mut temp.to, since).map_err(unwritten)?;
    let mut merge = Merge {
        uses: uses.iter().copied().peekable(),
        to: &mut temp,
        path: locked.path(),
    };
    if let Some(mut old) = old {
        while let Some(mut used) = old.next().map_err(Error::Uses)? {
            used.last = used.last.min(now);
            let is_known = ids.is_none_or(|ids| ids.binary_search(&used.id).is_ok());
            if is_known || used.last > now.before(KEPT) {
                merge.old(used)?;
            }
        }
        added.skipped = old.skipped;
    }
    merge.rest()?;
    if added.skipped.count() > 0 {
        // What is known of all other keys begins now. The first line is as long as it was.
        temp.to.rewind().map_err(unwritten)?;
        write_head(&mut temp.to, now).map_err(unwritten)?;
    }
    temp.replace().map_err(unwritten)?;
    Ok(added)
}

/// Adds `more` to `uses`; both are in the order of their ids.
pub fn combine(uses: &mut Vec<KeyUse>, more: Vec<KeyUse>) {
    if uses.is_empty() {
        *uses = more;
        return;
    }
    uses.extend(more);
    uses.sort_by_key(|used| used.id);
    uses.dedup_by(|next, first| {
        let is_same = next.id == first.id;
        if is_same {
            first.add(*next);
        }
        is_same
    });
}

/// Where a faulty file is put.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".faulty");
    path.with_file_name(name)
}

/// Two lists of uses in the order of ids, written as one.
struct Merge<'a, 'b, I: Iterator<Item = KeyUse>> {
    uses: Peekable<I>,
    to: &'a mut TempFile<'b>,
    path: &'a Path,
}

impl<I: Iterator<Item = KeyUse>> Merge<'_, '_, I> {
    /// Writes all that comes before `used`, and it, with what is added to it.
    fn old(&mut self, mut used: KeyUse) -> Result<(), Error> {
        while let Some(earlier) = self.uses.next_if(|fresh| fresh.id < used.id) {
            self.write(earlier)?;
        }
        if let Some(same) = self.uses.next_if(|fresh| fresh.id == used.id) {
            used.add(same);
        }
        self.write(used)
    }

    /// Writes what comes behind the last old one.
    fn rest(&mut self) -> Result<(), Error> {
        while let Some(used) = self.uses.next() {
            self.write(used)?;
        }
        Ok(())
    }

    fn write(&mut self, used: KeyUse) -> Result<(), Error> {
        write_use(&mut self.to.to, used).map_err(|error| Error::system(self.path, "written", error))
    }
}
