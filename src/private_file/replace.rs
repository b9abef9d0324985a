//! A file that is changed: locked for one process, and replaced as a whole.

use std::cell::Cell;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use rustix::fs::OFlags;

use super::access::Unchangeable;
use super::permissions;
use crate::shell;
use crate::shown_path::ShownPath;
use crate::stderr::say;

/// Random bits in the name of a temporary file, as bytes and in hexadecimal digits.
const RANDOM: usize = 8;
const SYMBOLS: usize = 2 * RANDOM;
const TEMPORARY: &str = ".tmp";
/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody is told that the lock is waited for.
const UNTOLD: Duration = Duration::from_secs(1);
/// How often the lock is asked for: flock(2) itself waits without an end.
const AGAIN: Duration = Duration::from_millis(20);

/// Why a file is not changed. It is as it was, but for one exception: where the folder
/// cannot be synced the change is there, and a crash of the machine may undo it.
#[derive(Debug)]
pub enum ReplaceError {
    /// The path names no file.
    NoFile(PathBuf),
    /// The path is not UTF-8.
    NotUtf8(PathBuf),
    /// There is something else at the path.
    NotRegular(PathBuf, &'static str),
    /// Another process has held the lock at this path for too long.
    Busy(PathBuf),
    /// The file has so many names.
    HardLinks(PathBuf, u64),
    /// The new file cannot get the permissions of the old one.
    Permissions(PathBuf, io::Error),
    /// The system says that this is not for this user.
    NotPermitted(PathBuf, &'static str, io::Error, Unchangeable),
    /// The system denied something with the file at this path.
    System(PathBuf, &'static str, io::Error),
}

impl ReplaceError {
    fn system(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            if error.kind() == ErrorKind::PermissionDenied {
                let why = Unchangeable::look(path);
                return Self::NotPermitted(path.to_owned(), doing, error, why);
            }
            Self::System(path.to_owned(), doing, error)
        }
    }

    /// The exit status of a command, after sysexits(3).
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::NoFile(_) | Self::NotUtf8(_) => 64,
            Self::HardLinks(..) | Self::NotRegular(..) => 78,
            Self::Busy(_) | Self::Permissions(..) | Self::NotPermitted(..) | Self::System(..) => 1,
        }
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile(path) => write!(to, "{} is not a file", ShownPath(path)),
            Self::NotUtf8(path) => {
                write!(to, "{} is not UTF-8; rename the file", ShownPath(path))
            }
            Self::NotRegular(path, kind) => write!(
                to,
                "{} is {kind}, where a regular file must be; name another file, or move this away",
                ShownPath(path)
            ),
            Self::Busy(path) => write!(
                to,
                "{} has been locked by another process for {} seconds; end that one (fuser(1) \
                 names it), or try again",
                ShownPath(path),
                PATIENCE.as_secs()
            ),
            Self::HardLinks(path, names) => write!(
                to,
                "{} has {names} names (hard links), and those beside this one would keep what \
                 it holds now; remove them",
                ShownPath(path)
            ),
            Self::Permissions(path, error) => write!(
                to,
                "{} is as it was, because the new file cannot have the same owner, group, mode \
                 and access control list: {error}; run this as the owner or as root",
                ShownPath(path)
            ),
            Self::NotPermitted(path, doing, error, why) => {
                write!(to, "{} cannot be {doing}: {error}{why}", ShownPath(path))
            }
            Self::System(path, doing, error) => {
                write!(to, "{} cannot be {doing}: {error}", ShownPath(path))?;
                match missing_folder(path) {
                    Some(folder) if error.kind() == ErrorKind::NotFound => {
                        let folder = folder.to_string_lossy();
                        write!(
                            to,
                            "; its folder is not there: look at the path, or run: mkdir -p {}",
                            shell::word(&folder)
                        )
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for ReplaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Permissions(_, error)
            | Self::NotPermitted(_, _, error, _)
            | Self::System(_, _, error) => Some(error),
            _ => None,
        }
    }
}

/// The folder of the file at `path`, from / on, where it is not there.
fn missing_folder(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    let folder = whole.parent()?;
    (!folder.exists()).then(|| folder.to_owned())
}

/// The file, locked for one process that changes it; others wait.
pub struct Locked {
    /// Where it is, behind every symbolic link, so that a link stays one.
    path: PathBuf,
    folder: PathBuf,
    name: String,
    exists: bool,
    lock: Lock,
}

impl Locked {
    /// Waits for whoever else changes the file.
    ///
    /// The lock is flock(2) on a file of its own beside the file, because the file is another
    /// one after each change. It stays there once something has been changed. Temporary files
    /// that a crash left behind are removed.
    ///
    /// # Errors
    ///
    /// If the path leads to no file that can be replaced, or the system denies the lock.
    pub fn wait(path: &Path) -> Result<Self, ReplaceError> {
        let path = resolve(path).map_err(ReplaceError::system(path, "found"))?;
        Self::at(path, |lock| {
            say(&format!(
                "waiting for another process that has locked {}",
                lock.display()
            ));
        })
    }

    /// Like [`Locked::wait`], and refuses a symbolic link at the end of `path`: for files that
    /// no operator makes, in folders where others may put something.
    ///
    /// # Errors
    ///
    /// As those of [`Locked::wait`], and if it is a symbolic link.
    pub fn wait_unfollowed(path: &Path) -> Result<Self, ReplaceError> {
        let path = in_folder(path).map_err(ReplaceError::system(path, "found"))?;
        Self::at(path, |_| {})
    }

    /// `tell` hears the path of the lock where another process has held it for a while.
    fn at(path: PathBuf, tell: impl FnOnce(&Path)) -> Result<Self, ReplaceError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ReplaceError::NoFile(path));
        };
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        };
        let name = name
            .to_str()
            .ok_or_else(|| ReplaceError::NotUtf8(path.clone()))?
            .to_owned();
        // No link is followed any more: whoever put one there since is refused.
        let metadata = || match fs::symlink_metadata(&path) {
            Ok(metadata) => match kind(&metadata) {
                None => Ok(Some(metadata)),
                Some(kind) => Err(ReplaceError::NotRegular(path.clone(), kind)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReplaceError::system(&path, "read")(error)),
        };
        let beside = folder.join(format!("{name}.lock"));
        let lock = Lock::wait(&beside, metadata, tell)?;
        // This is asked again, because the process that held the lock may have made it.
        let metadata = metadata()?;
        if let Some(names) = metadata.as_ref().map(Metadata::nlink)
            && names > 1
        {
            return Err(ReplaceError::HardLinks(path, names));
        }
        let locked = Self {
            path,
            folder,
            name,
            exists: metadata.is_some(),
            lock,
        };
        locked
            .remove_litter()
            .map_err(ReplaceError::system(&locked.folder, "tidied up"))?;
        Ok(locked)
    }

    /// Where the file is, behind every symbolic link.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// A new file beside it, to take its place, with the permissions of the `old` one.
    /// Where there is none its mode is 0600.
    ///
    /// # Errors
    ///
    /// If the system denies the file or its permissions.
    pub fn temp_file(&self, old: Option<&File>) -> Result<TempFile<'_>, ReplaceError> {
        let temp = self
            .create_temp()
            .map_err(ReplaceError::system(&self.path, "replaced"))?;
        if let Some(old) = old {
            permissions::take_over(old, temp.to.get_ref())
                .map_err(|error| ReplaceError::Permissions(self.path.clone(), error))?;
        }
        Ok(temp)
    }

    fn create_temp(&self) -> io::Result<TempFile<'_>> {
        let mut random = [0; RANDOM];
        crate::random::fill(&mut random)?;
        let name = format!(".{}.{}{TEMPORARY}", self.name, HEXLOWER.encode(&random));
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
            // What else has such a name is not ours.
            if random.is_some_and(|random| random.len() == SYMBOLS) && entry.file_type()?.is_file()
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A file that is being written. It is removed unless it replaces the locked one.
pub struct TempFile<'a> {
    of: &'a Locked,
    path: PathBuf,
    /// Where to write. What its buffer held is not wiped: a secret goes past it.
    pub to: BufWriter<File>,
    is_in_place: bool,
}

impl TempFile<'_> {
    /// Replaces the locked file. Once this has returned, the new file is there even after
    /// a crash of the machine. If the process dies earlier, the old file is there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn replace(mut self) -> io::Result<()> {
        io::Write::flush(&mut self.to)?;
        self.to.get_ref().sync_all()?;
        fs::rename(&self.path, &self.of.path)?;
        self.is_in_place = true;
        self.of.lock.stays.set(true);
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
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => in_folder(path),
        resolved => resolved,
    }
}

/// The file's path with a folder without symbolic links; what is at its end is not followed.
fn in_folder(path: &Path) -> io::Result<PathBuf> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
    let name = path.file_name().ok_or(ErrorKind::NotFound)?;
    Ok(folder.join(name))
}

/// What is at a path, where it is no regular file.
fn kind(metadata: &Metadata) -> Option<&'static str> {
    if metadata.is_symlink() {
        return Some("a symbolic link");
    }
    super::other_kind(metadata.file_type())
}

/// The file that is locked.
struct Lock {
    file: File,
    path: PathBuf,
    /// Whether it stays: it was there before, or something has been changed.
    stays: Cell<bool>,
}

impl Lock {
    /// Waits for the lock at `path`; `other` is what is known of the file that it is for.
    fn wait(
        path: &Path,
        other: impl Fn() -> Result<Option<Metadata>, ReplaceError>,
        tell: impl FnOnce(&Path),
    ) -> Result<Self, ReplaceError> {
        let system = |error| ReplaceError::system(path, "locked")(error);
        let mut tell = Some(tell);
        // However often it is another one: who may write to the folder can go on with that.
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let opened = open_lock(path, other()?.as_ref()).map_err(system)?;
            let Some((file, is_new)) = opened else {
                continue;
            };
            let lock = Self {
                file,
                path: path.to_owned(),
                stays: Cell::new(true),
            };
            wait_for(&lock.file, path, since, &mut tell)?;
            // Whoever held it may have removed it, and then it keeps nobody out.
            if lock.is_in_place().map_err(system)? {
                lock.stays.set(!is_new);
                return Ok(lock);
            }
        }
        Err(ReplaceError::Busy(path.to_owned()))
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok(identity(&found) == identity(&self.file.metadata()?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It is held still, and whoever waits for it sees that it is gone.
        if !self.stays.get() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file of a lock, and whether it has just been made. `None` where it has just been
/// removed.
fn open_lock(beside: &Path, beside_what: Option<&Metadata>) -> io::Result<Option<(File, bool)>> {
    let mut options = OpenOptions::new();
    // Opening a FIFO for writing waits for a reader, and a link may lead anywhere.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    options
        .write(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed());
    let made = options.clone().create_new(true).open(beside);
    let is_new = made.is_ok();
    let file = match made {
        Ok(file) => {
            // Made by root, it must not shut out the owner of the other one.
            if let Some(other) = beside_what {
                permissions::take_owner(&file, other)?;
            }
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match options.open(beside) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(_) if beside.is_symlink() => {
                return Err(io::Error::other("it is a symbolic link; remove it"));
            }
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file; remove it"));
    }
    Ok(Some((file, is_new)))
}

/// Waits for the lock on `file`, which is at `path`, and not for ever.
fn wait_for(
    file: &File,
    path: &Path,
    since: Instant,
    tell: &mut Option<impl FnOnce(&Path)>,
) -> Result<(), ReplaceError> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if since.elapsed() >= PATIENCE => {
                return Err(ReplaceError::Busy(path.to_owned()));
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(ReplaceError::system(path, "locked")(error));
            }
        }
        if since.elapsed() >= UNTOLD
            && let Some(tell) = tell.take()
        {
            tell(path);
        }
        std::thread::sleep(AGAIN);
    }
}
