//! Changing a file of secrets: a fresh one comes first, previous ones go. Comments stay.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use std::os::unix::fs::MetadataExt as _;

use zeroize::Zeroizing;

use super::secret_source::{CREDENTIAL, Error, Loaded, read_text, secret_lines};
use super::secrets::Digest;
use crate::private_file::replace::{Locked, ReplaceError};
use crate::private_file::{self, OpenError, PrivateFile};
use crate::shell;
use crate::shown_path::ShownPath;

/// The text of a file of secrets, which is as it must be.
pub struct SecretFile {
    path: PathBuf,
    /// What was read: it is never opened a second time, because whoever can write the folder
    /// may have put another file there since.
    file: File,
    text: Zeroizing<Vec<u8>>,
    /// How many secrets it holds.
    pub secrets: usize,
    /// What is legal and likely a mistake.
    pub warnings: Vec<String>,
    /// When it was changed last, by the system's clock.
    pub changed: SystemTime,
    /// The user whose file it is, who can change it anyway.
    pub owner: u32,
}

/// Why a file of secrets is not read or changed. Displays as the message for the operator,
/// which never shows any content.
#[derive(Debug)]
pub enum SecretFileError {
    /// It cannot be opened.
    Open(OpenError),
    /// Reading it failed.
    Read(PathBuf, io::Error),
    /// It is faulty, or would be.
    Faulty(Error),
    /// It cannot be replaced.
    Replace(ReplaceError),
}

impl SecretFileError {
    /// The exit status of a command, after sysexits(3).
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Open(error) if error.is_from_the_system() => 1,
            Self::Open(_) | Self::Faulty(_) => 78,
            Self::Read(..) => 1,
            Self::Replace(error) => error.status(),
        }
    }
}

impl fmt::Display for SecretFileError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) if error.is_not_found() => write!(
                to,
                "{error}; make it by: (umask 077; origin-guard keygen > {})",
                shell::word(&error.path().to_string_lossy())
            ),
            Self::Open(error) if error.is_from_the_system() => {
                write!(to, "{error}; {}", error.remedy())
            }
            Self::Open(error) => error.fmt(to),
            Self::Read(path, error) => write!(to, "{} cannot be read: {error}", ShownPath(path)),
            Self::Faulty(error) => error.fmt(to),
            Self::Replace(error) => error.fmt(to),
        }
    }
}

impl std::error::Error for SecretFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Read(_, error) => Some(error),
            Self::Faulty(error) => Some(error),
            Self::Replace(error) => Some(error),
        }
    }
}

/// The file that `path` means: a folder stands for the file in it that systemd's
/// credential is taken from.
#[must_use]
pub fn file_of(path: PathBuf) -> PathBuf {
    if path.is_dir() {
        path.join(CREDENTIAL)
    } else {
        path
    }
}

/// Whether a file needs the change that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is to be changed.
    Change,
    /// It is already as it should be.
    Nothing,
}

impl SecretFile {
    /// Which of its secrets `secret` is, and on which line: 0 is the current one.
    #[must_use]
    pub fn place_of(&self, secret: &[u8]) -> Option<(usize, usize)> {
        let wanted = Digest::of(secret);
        let mut lines = secret_lines(&self.text).enumerate();
        let found = lines.find(|(_, line)| Digest::of(line.secret).equals(&wanted));
        found.map(|(place, line)| (place, line.number))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is faulty.
    pub fn read(path: &Path) -> Result<Self, SecretFileError> {
        let PrivateFile { file, warning, .. } =
            private_file::open(path).map_err(SecretFileError::Open)?;
        let unread = |error| SecretFileError::Read(path.to_owned(), error);
        let metadata = file.metadata().map_err(unread)?;
        // A clock before 1970 is as good as none.
        let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
        let nanoseconds = u64::try_from(metadata.ctime_nsec()).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH
            + Duration::from_secs(seconds)
            + Duration::from_nanos(nanoseconds);
        let text = read_text(&file).map_err(unread)?;
        let loaded = check(path, &text)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            secrets: loaded.digests.len(),
            warnings: warning.into_iter().chain(loaded.warnings).collect(),
            text,
            changed,
            owner: metadata.uid(),
        })
    }

    /// The text with `fresh` before the first secret.
    fn with_first(&self, fresh: &[u8]) -> Zeroizing<Vec<u8>> {
        let first = secret_lines(&self.text).next();
        let at = first.map_or(self.text.len(), |line| line.place.start);
        let (before, behind) = self.text.split_at(at);
        // All at once, because growing leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(self.text.len() + fresh.len() + 1));
        for part in [before, fresh, b"\n", behind] {
            text.extend_from_slice(part);
        }
        text
    }

    /// The text without all secrets but the first.
    fn without_previous(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.text.len()));
        let mut at = 0;
        for line in secret_lines(&self.text).skip(1) {
            text.extend_from_slice(&self.text[at..line.place.start]);
            at = line.place.end;
        }
        text.extend_from_slice(&self.text[at..]);
        text
    }
}

/// Puts `fresh` before the secrets of the file at `path`, where `may` lets it, which is
/// asked under the lock. Where `may` says that there is no need, the file is as it was.
///
/// # Errors
///
/// What is wrong with the file, or would be; then it is as it was.
pub fn put_first<E: From<SecretFileError>>(
    path: &Path,
    fresh: &[u8],
    may: impl FnOnce(&SecretFile) -> Result<Need, E>,
) -> Result<Need, E> {
    change(path, may, |file| file.with_first(fresh))
}

/// Removes all secrets but the first from the file at `path`, where `may` lets it.
///
/// # Errors
///
/// What is wrong with the file; then it is as it was.
pub fn remove_previous<E: From<SecretFileError>>(
    path: &Path,
    may: impl FnOnce(&SecretFile) -> Result<(), E>,
) -> Result<(), E> {
    let may = |file: &SecretFile| may(file).map(|()| Need::Change);
    change(path, may, SecretFile::without_previous).map(drop)
}

fn change<E: From<SecretFileError>>(
    path: &Path,
    may: impl FnOnce(&SecretFile) -> Result<Need, E>,
    make: impl FnOnce(&SecretFile) -> Zeroizing<Vec<u8>>,
) -> Result<Need, E> {
    let locked = Locked::wait(path).map_err(SecretFileError::Replace)?;
    let file = SecretFile::read(locked.path())?;
    if may(&file)? == Need::Nothing {
        return Ok(Need::Nothing);
    }
    let text = make(&file);
    check(&file.path, &text)?;
    write(&locked, &file.file, &text)?;
    Ok(Need::Change)
}

/// `old` is the file that was read, whose permissions the new one takes over.
fn write(locked: &Locked, old: &File, text: &[u8]) -> Result<(), SecretFileError> {
    let unwritten = |error| {
        let path = locked.path().to_owned();
        SecretFileError::Replace(ReplaceError::System(path, "replaced", error))
    };
    let mut temp = locked
        .temp_file(Some(old))
        .map_err(SecretFileError::Replace)?;
    // Past the buffer, which nobody wipes.
    temp.to.get_mut().write_all(text).map_err(unwritten)?;
    temp.replace().map_err(unwritten)
}

fn check(path: &Path, text: &[u8]) -> Result<Loaded, SecretFileError> {
    let mut loaded = Loaded::default();
    let taken = loaded.take_text(text, &ShownPath(path).to_string(), path);
    taken.map_err(SecretFileError::Faulty)?;
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str) -> SecretFile {
        SecretFile {
            path: PathBuf::new(),
            file: File::open("/dev/null").expect("there"),
            text: Zeroizing::new(text.as_bytes().to_vec()),
            secrets: 0,
            warnings: Vec::new(),
            owner: 0,
            changed: SystemTime::now(),
        }
    }

    #[test]
    fn the_fresh_one_comes_first_and_comments_stay() {
        for (text, wanted) in [
            ("old", "fresh\nold"),
            ("old\n", "fresh\nold\n"),
            ("# mine\n\nold\nolder\n", "# mine\n\nfresh\nold\nolder\n"),
            ("# mine\r\nold\r\n", "# mine\r\nfresh\nold\r\n"),
        ] {
            let made = file(text).with_first(b"fresh");
            assert_eq!(String::from_utf8_lossy(&made), wanted);
        }
    }

    #[test]
    fn all_but_the_first_go_and_comments_stay() {
        for (text, wanted) in [
            ("new\nold", "new\n"),
            ("new", "new"),
            ("# a\nnew\n# b\nold\n\nolder\n# c", "# a\nnew\n# b\n\n# c"),
            ("new\r\nold\r\n", "new\r\n"),
        ] {
            let made = file(text).without_previous();
            assert_eq!(String::from_utf8_lossy(&made), wanted);
        }
    }

    #[test]
    fn a_file_that_takes_its_place_meanwhile_gives_it_no_permissions() {
        let folder = std::env::temp_dir().join(format!("og-swapped-{}", std::process::id()));
        fs::create_dir(&folder).expect("made");
        let [path, other] = ["secrets", "other"].map(|name| folder.join(name));
        for (path, mode) in [(&path, 0o600), (&other, 0o640)] {
            fs::write(path, "a-secret-0123456789abcdef\n").expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        }
        put_first(&path, b"fresh-secret-0123456789abcdef", |_| {
            fs::rename(&other, &path).expect("swapped");
            Ok::<_, SecretFileError>(Need::Change)
        })
        .expect("replaced");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(mode, 0o600);
    }
}
