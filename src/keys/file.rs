//! The file on the disk: opened, locked, and replaced as a whole.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::text::BASE32;
use super::{Error, permissions};
use crate::private_file::{self, PrivateFile};

/// Random bits in the name of a temporary file, as bytes and in base32.
const RANDOM: usize = 10;
const SYMBOLS: usize = 16;
const TEMPORARY: &str = ".tmp";

/// Opens the file for reading, and warns if everyone can do so.
pub(super) fn open(path: &Path) -> Result<PrivateFile, Error> {
    private_file::open(path).map_err(Error::Open)
}

/// The file, locked for one process that changes it; others wait.
pub(super) struct Locked {
    /// Where it is, behind every symbolic link, so that a link stays one.
    path: PathBuf,
    folder: PathBuf,
    name: String,
    exists: bool,
    _lock: File,
}

impl Locked {
    /// Waits for whoever else changes the file.
    ///
    /// The lock is flock(2) on a file of its own beside the file of keys. It stays there,
    /// because the file of keys is another one after each change. Temporary files that a
    /// crash left behind are removed.
    pub(super) fn wait(path: &Path) -> Result<Self, Error> {
        let path = resolve(path).map_err(|error| Error::system(path, "found", error))?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::Usage(format!("{} is no file", path.display())));
        };
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        };
        let name = name
            .to_str()
            .ok_or_else(|| {
                Error::Usage(format!("{} is not UTF-8; rename the file", path.display()))
            })?
            .to_owned();
        let metadata = || match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::system(&path, "read", error)),
        };
        let beside = folder.join(format!("{name}.lock"));
        let lock = lock(&beside, metadata()?.as_ref())
            .map_err(|error| Error::system(&beside, "locked", error))?;
        // This is asked again, because the process that held the lock may have made it.
        let metadata = metadata()?;
        if let Some(names) = metadata.as_ref().map(Metadata::nlink)
            && names > 1
        {
            return Err(Error::File(format!(
                "{} has {names} names (hard links), and those beside this one would keep the \
                 old keys; remove them",
                path.display()
            )));
        }
        let locked = Self {
            path,
            folder,
            name,
            exists: metadata.is_some(),
            _lock: lock,
        };
        locked
            .remove_litter()
            .map_err(|error| Error::system(&locked.folder, "tidied up", error))?;
        Ok(locked)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    /// A new file beside it, to take its place, with the permissions of the `old` one.
    /// Where there is none its mode is 0600.
    pub(super) fn temp_file(&self, old: Option<&File>) -> Result<TempFile<'_>, Error> {
        let temp = self
            .create_temp()
            .map_err(|error| Error::system(&self.path, "replaced", error))?;
        if let Some(old) = old {
            permissions::take_over(old, temp.to.get_ref())
                .map_err(|error| Error::Permissions(self.path.clone(), error))?;
        }
        Ok(temp)
    }

    fn create_temp(&self) -> io::Result<TempFile<'_>> {
        let mut random = [0; RANDOM];
        crate::random::fill(&mut random)?;
        let name = format!(".{}.{}{TEMPORARY}", self.name, BASE32.encode(&random));
        let path = self.folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(TempFile {
            of: self,
            path,
            to: BufWriter::with_capacity(1 << 16, file),
            is_in_place: false,
        })
    }

    fn remove_litter(&self) -> io::Result<()> {
        let prefix = format!(".{}.", self.name);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let random = name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(TEMPORARY));
            if random.is_some_and(|random| random.len() == SYMBOLS) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A file that is being written. It is removed unless it replaces the file of keys.
pub(super) struct TempFile<'a> {
    of: &'a Locked,
    path: PathBuf,
    pub(super) to: BufWriter<File>,
    is_in_place: bool,
}

impl TempFile<'_> {
    /// Replaces the file of keys. Once this has returned, the new file is there even after
    /// a crash of the machine. If the process dies earlier, the old file is there.
    pub(super) fn replace(mut self) -> io::Result<()> {
        io::Write::flush(&mut self.to)?;
        self.to.get_ref().sync_all()?;
        fs::rename(&self.path, &self.of.path)?;
        self.is_in_place = true;
        File::open(&self.of.folder)?.sync_all()
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file's path without symbolic links; the file itself need not be there.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
            let name = path.file_name().ok_or(error)?;
            Ok(folder.join(name))
        }
        resolved => resolved,
    }
}

fn lock(beside: &Path, keys: Option<&Metadata>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Opening a FIFO for writing waits for a reader, and a link may lead anywhere.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    options
        .write(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed());
    let file = match options.clone().create_new(true).open(beside) {
        Ok(file) => {
            // Made by root, it must not shut out the owner of the keys.
            if let Some(keys) = keys {
                permissions::take_owner(&file, keys)?;
            }
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(beside)?,
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file; remove it"));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => file.lock()?,
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}
