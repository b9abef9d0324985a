//! Changing the file: it is copied key by key, under the lock, and replaced as a whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::Error;
use super::id::Ids;
use super::reader::{self, Rest};
use super::record::{Record, Unknown, VERSION};
use crate::private_file;
use crate::private_file::replace::{Locked, TempFile};

/// What is changed.
pub(super) trait Change {
    /// Looks at a key of the file, and may change it; `false` removes it.
    fn key(&mut self, _record: &mut Record) -> bool {
        true
    }

    /// The keys to add at the end. Their ids must not be among `taken`. An error leaves the
    /// file as it is.
    fn added(&mut self, taken: &Ids) -> Result<Vec<Record>, Error>;

    /// Whether the file is to be replaced, once all of it has been looked at.
    fn is_changed(&self) -> bool {
        true
    }
}

/// Makes `change` to the file at `path`. `create` makes the file where there is none.
///
/// # Errors
///
/// After an error the file is as it was. There is one exception: if the folder cannot be
/// synced, the change is there, and a crash of the machine may undo it.
pub(super) fn edit(path: &Path, create: bool, change: &mut dyn Change) -> Result<(), Error> {
    let locked = Locked::wait(path)?;
    let source = match (locked.exists(), create) {
        (true, _) => Some(private_file::open(locked.path())?.file),
        (false, true) => None,
        (false, false) => {
            return Err(Error::Absent(locked.path().to_owned()));
        }
    };
    let unwritten = |error: io::Error| Error::system(locked.path(), "replaced", error);
    let mut temp = locked.temp_file(source.as_ref())?;
    copy(&locked, source, &mut temp, change)?;
    if !change.is_changed() {
        return Ok(());
    }
    temp.replace().map_err(unwritten)
}

fn copy(
    locked: &Locked,
    source: Option<File>,
    temp: &mut TempFile<'_>,
    change: &mut dyn Change,
) -> Result<(), Error> {
    let unwritten = |error: io::Error| Error::system(locked.path(), "replaced", error);
    let to = &mut temp.to;
    write!(to, "{{\"version\":{VERSION},\"keys\":[").map_err(unwritten)?;
    let mut separator = "\n";
    let mut write = |record: &Record| {
        to.write_all(std::mem::replace(&mut separator, ",\n").as_bytes())?;
        record.write(&mut *to)
    };
    let rest = match source {
        None => Rest::default(),
        Some(source) => {
            let mut each = |mut record: Record| {
                if change.key(&mut record) {
                    write(&record)?;
                }
                Ok(())
            };
            reader::read(source, &mut each).map_err(|error| error.at(locked.path()))?
        }
    };
    for record in change.added(&rest.ids)? {
        write(&record).map_err(unwritten)?;
    }
    finish(to, &rest.unknown).map_err(unwritten)
}

fn finish(to: &mut impl Write, unknown: &[Unknown]) -> io::Result<()> {
    to.write_all(b"\n]")?;
    for Unknown { name, value } in unknown {
        to.write_all(b",")?;
        serde_json::to_writer(&mut *to, name)?;
        write!(to, ":{value}")?;
    }
    to.write_all(b"}\n")
}
