//! Files that hold secrets or keys: opened without waiting, refused where others can
//! change them, told apart from what they were, and replaced as a whole.

mod access;
pub(crate) mod permissions;
pub mod replace;

use std::fmt;
use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::shown_path::ShownPath;
use access::{Access, Denied, Holds, replaceable};

/// Modes of a file that holds secrets, keys of the API or a certificate's key, and what is made
/// of each, for help, the man page and docs/configuration.md. `Access` goes by them.
pub const MODES: &[(&str, &str)] = &[
    (
        "0600, 0400",
        "its owner alone reads it, who is root or runs the guard: the best",
    ),
    (
        "0640, 0440",
        "and a group: for a guard that reads it as a member of that group",
    ),
    ("0644", "a warning: everyone on the machine reads it"),
    ("0660", "a warning: whoever is in its group can change it"),
    (
        "0666, 0602",
        "refused: everyone can change it, and so who is let in",
    ),
];

/// What tells one state of a file from another: a rename changes the inode, writing in
/// place changes the times, and deleting changes the number of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// The state of the file at `path` now, behind every symbolic link; `None` where there
    /// is not a file.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A regular file that is open for reading.
#[derive(Debug)]
pub struct PrivateFile {
    /// The file.
    pub file: File,
    /// What is legal and likely a mistake: who else can read or change it.
    pub warning: Option<String>,
    /// The same of who else can change it alone, for what is no secret.
    pub changeable: Option<String>,
}

/// Why a file was not opened, with the remedy. Displays as the message for the operator.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    System(io::Error),
    /// The system says that it is not for this user.
    Denied(io::Error, Box<Denied>),
    NotRegular(&'static str),
    OthersCanWrite(Access, Holds),
    Deleted,
    SymbolicLink,
}

impl OpenError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is not there at all.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(&self.cause, Cause::System(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the file is as it should be, but that everyone can change it.
    #[must_use]
    pub fn is_writable_by_others(&self) -> bool {
        matches!(self.cause, Cause::OthersCanWrite(..))
    }

    /// Whether the system refused, which is not a fault of what the file is.
    #[must_use]
    pub fn is_from_the_system(&self) -> bool {
        matches!(self.cause, Cause::System(_) | Cause::Denied(..))
    }

    /// What to do where the system refused; it is not part of what this displays.
    #[must_use]
    pub fn remedy(&self) -> String {
        let mend = "mend its path or mode";
        match &self.cause {
            Cause::Denied(_, denied) => denied
                .remedy()
                .map_or(mend.to_owned(), |command| format!("{mend}: {command}")),
            _ => mend.to_owned(),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = ShownPath(&self.path);
        match &self.cause {
            Cause::System(error) => write!(to, "{path} cannot be read: {error}"),
            Cause::Denied(error, denied) => write!(to, "{path} cannot be read: {error}{denied}"),
            Cause::NotRegular(kind) => {
                write!(
                    to,
                    "{path} is {kind}; name a regular file, nothing else is read"
                )
            }
            Cause::OthersCanWrite(access, holds) => write!(
                to,
                "{path} can be written by everyone on this machine ({access}); check what it \
                 holds, then run: {}",
                access.command_for(&self.path, *holds)
            ),
            Cause::SymbolicLink => write!(
                to,
                "{path} is a symbolic link, which is not followed here; remove it"
            ),
            Cause::Deleted => write!(
                to,
                "{path} shows a file that was deleted or replaced, as a bind mount of a single \
                 file does; mount the folder that holds the file"
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::System(error) | Cause::Denied(error, _) => Some(error),
            _ => None,
        }
    }
}

/// Opens the regular file at `path` for reading, and never waits for a writer or a device.
///
/// # Errors
///
/// If the system denies it, if it is not a regular file, if everyone can write to it, or if
/// it has no name any more.
pub fn open(path: &Path) -> Result<PrivateFile, OpenError> {
    open_holding(path, Holds::Secrets)
}

/// Like [`open`], for what is no secret: whatever is wrong with the mode of the file, the
/// remedy lets everyone read it who could before.
///
/// # Errors
///
/// As those of [`open`].
pub fn open_public(path: &Path) -> Result<PrivateFile, OpenError> {
    open_holding(path, Holds::NoSecret)
}

fn open_holding(path: &Path, holds: Holds) -> Result<PrivateFile, OpenError> {
    open_regular(path, OFlags::empty(), holds).map_err(|cause| failed(path, cause, holds))
}

/// Like [`open`], and refuses a symbolic link at the end of `path`: for files that no
/// operator makes, in folders where others may put something.
///
/// # Errors
///
/// As those of [`open`], and if it is a symbolic link.
pub fn open_unfollowed(path: &Path) -> Result<PrivateFile, OpenError> {
    let holds = Holds::Secrets;
    open_regular(path, OFlags::NOFOLLOW, holds).map_err(|cause| failed(path, cause, holds))
}

fn failed(path: &Path, cause: Cause, holds: Holds) -> OpenError {
    let cause = match cause {
        Cause::System(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Cause::Denied(error, Box::new(Denied::look(path, holds)))
        }
        cause => cause,
    };
    OpenError {
        path: path.to_owned(),
        cause,
    }
}

fn open_regular(path: &Path, more: OFlags, holds: Holds) -> Result<PrivateFile, Cause> {
    // Looked at before it is opened: opening a device can have effects.
    let metadata = if more.contains(OFlags::NOFOLLOW) {
        fs::symlink_metadata(path)
    } else {
        fs::metadata(path)
    };
    check(&metadata.map_err(Cause::System)?, holds)?;
    // NONBLOCK: another process may have put a FIFO there since, and opening one waits for
    // who writes into it (fifo(7)). It has no effect on a regular file.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags | more, Mode::empty()))
        .map_err(|error| Cause::System(error.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(Cause::System)?;
    check(&metadata, holds)?;
    let access = Access::of(&metadata);
    Ok(PrivateFile {
        file,
        warning: access.warning(path).or_else(|| replaceable(path)),
        changeable: access.changeable(path).or_else(|| replaceable(path)),
    })
}

fn check(metadata: &Metadata, holds: Holds) -> Result<(), Cause> {
    if metadata.is_symlink() {
        return Err(Cause::SymbolicLink);
    }
    if let Some(kind) = other_kind(metadata.file_type()) {
        return Err(Cause::NotRegular(kind));
    }
    let access = Access::of(metadata);
    if access.others_can_write() {
        return Err(Cause::OthersCanWrite(access, holds));
    }
    if metadata.nlink() == 0 {
        return Err(Cause::Deleted);
    }
    Ok(())
}

/// What a file is that is not regular (inode(7)).
fn other_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}
