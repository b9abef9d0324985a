//! The file on the disk: opened, told apart from what it was, and replaced as a whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::Fault;
use super::text::BASE32;

/// Random bits in the name of a temporary file, as bytes and in base32.
const RANDOM: usize = 10;
const SYMBOLS: usize = 16;
const TEMPORARY: &str = ".tmp";

/// What tells one state of a file from another. A rename changes the inode, writing in
/// place the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of the file that is at `path` now, if one is.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// Opens the file for reading, and warns if everyone can do so.
pub(super) fn open(path: &Path) -> Result<(File, Option<String>), Fault> {
    let unreadable = |error: io::Error| {
        let remedy = match error.kind() {
            ErrorKind::NotFound => "; `origin-guard keys add` makes it",
            _ => "; mend its path or mode",
        };
        let Fault::System(fault) = Fault::system(path, "read", &error) else {
            unreachable!("what it makes")
        };
        Fault::System(fault + remedy)
    };
    // Before it is opened: opening a pipe waits for who writes into it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Fault::File(format!("{} is no file", path.display())));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    let warning = (mode & 0o004 != 0).then(|| {
        format!(
            "{} can be read by everyone on this machine; chmod o-r it",
            path.display()
        )
    });
    Ok((file, warning))
}

/// The file, for one that changes it; others wait.
pub(super) struct Locked {
    /// Where it is, behind every symbolic link, so that a link stays one.
    path: PathBuf,
    folder: PathBuf,
    name: String,
    /// Owner, group and mode that it has.
    identity: Option<(u32, u32, u32)>,
    _lock: File,
}

impl Locked {
    /// Waits for whoever else changes the file.
    ///
    /// The lock is flock(2) on a file of its own beside it, which stays: the file itself
    /// is another one after each change. What a crash left behind is removed.
    pub(super) fn wait(path: &Path) -> Result<Self, Fault> {
        let path = resolve(path).map_err(|error| Fault::system(path, "found", &error))?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Fault::Usage(format!("{} is no file", path.display())));
        };
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        };
        let name = name
            .to_str()
            .ok_or_else(|| {
                Fault::Usage(format!("{} is not UTF-8; rename the file", path.display()))
            })?
            .to_owned();
        let identity = || match fs::metadata(&path) {
            Ok(metadata) => Ok(Some((metadata.uid(), metadata.gid(), metadata.mode()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::system(&path, "read", &error)),
        };
        let beside = folder.join(format!("{name}.lock"));
        let lock =
            lock(&beside, identity()?).map_err(|error| Fault::system(&beside, "locked", &error))?;
        // Again: whoever held the lock may have made it.
        let identity = identity()?;
        let locked = Self {
            path,
            folder,
            name,
            identity,
            _lock: lock,
        };
        locked
            .remove_litter()
            .map_err(|error| Fault::system(&locked.folder, "tidied up", &error))?;
        Ok(locked)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.identity.is_some()
    }

    /// A new file beside it, to take its place.
    ///
    /// Its mode is 0600; where the old one can be read by its group, which may be the
    /// guard's, so can this. Owner and group are the old one's.
    pub(super) fn successor(&self) -> io::Result<Successor<'_>> {
        let mut random = [0; RANDOM];
        crate::random::fill(&mut random)?;
        let name = format!(".{}.{}{TEMPORARY}", self.name, BASE32.encode(&random));
        let path = self.folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let successor = Successor {
            of: self,
            path,
            to: BufWriter::with_capacity(1 << 16, file),
            is_in_place: false,
        };
        if let Some((owner, group, mode)) = self.identity {
            let file = successor.to.get_ref();
            take_owner(file, owner, group)?;
            // Whatever the umask left.
            let mode = 0o600 | (mode & 0o040);
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        Ok(successor)
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

/// A file that is being written. It is removed again unless it comes into place.
pub(super) struct Successor<'a> {
    of: &'a Locked,
    path: PathBuf,
    pub(super) to: BufWriter<File>,
    is_in_place: bool,
}

impl Successor<'_> {
    /// Puts it in the old one's place. When this returns it will be there after a crash
    /// of the machine too; when the process dies before, the old one is.
    pub(super) fn replace(mut self) -> io::Result<()> {
        io::Write::flush(&mut self.to)?;
        self.to.get_ref().sync_all()?;
        fs::rename(&self.path, &self.of.path)?;
        self.is_in_place = true;
        File::open(&self.of.folder)?.sync_all()
    }
}

impl Drop for Successor<'_> {
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

fn lock(beside: &Path, identity: Option<(u32, u32, u32)>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let file = match options.clone().create_new(true).open(beside) {
        Ok(file) => {
            // Made by root, it must not shut out the owner of the keys.
            if let Some((owner, group, _)) = identity {
                take_owner(&file, owner, group)?;
            }
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(beside)?,
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => file.lock()?,
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

fn take_owner(file: &File, owner: u32, group: u32) -> io::Result<()> {
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) == (owner, group) {
        return Ok(());
    }
    fchown(file, Some(owner), Some(group))
}
