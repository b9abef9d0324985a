//! The file that says when each key was last used, and how often.
//!
//! ```text
//! origin-guard-key-uses 1 since 2026-11-25T12:00:00Z
//! q3x5w7zzab 2026-11-25T12:34:00Z 1234
//! ```
//!
//! The first line says since when uses are counted. Each other line is a key's id, the
//! minute of its last use and the number of its uses; ids are in order, each once. So it is
//! copied line by line, however many there are, and several guards add to the same file.
//!
//! Nothing in it is trusted: its size is bounded, a line that is not as it must be is left
//! out, and nothing of it is shown.

use std::fmt::{self, Display};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use super::Id;
use super::time::Time;
use super::use_counts::KeyUse;
use crate::decimal::decimal;
use crate::private_file::{self, OpenError};
use crate::shown_path::ShownPath;

/// The variable by which systemd names the folder that it makes for `StateDirectory=`
/// (systemd.exec(5)).
pub const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

const HEAD: &str = "origin-guard-key-uses 1 since ";
/// Bytes of the longest line that this program writes.
const LONGEST_LINE: usize = 10 + 1 + 20 + 1 + 20;
/// Bytes of the largest file that is read: six million keys.
const LARGEST: u64 = 256 << 20;
/// Where the uses of the keys in the file at `keys` are written: in the first folder of
/// `state_directory`, else beside that file.
#[must_use]
pub fn path(keys: &Path, state_directory: Option<&str>) -> PathBuf {
    let first = state_directory.and_then(|list| list.split(':').next());
    let first = first.filter(|folder| !folder.is_empty()).map(Path::new);
    let mut name = keys.file_name().unwrap_or_default().to_owned();
    name.push(".uses");
    match first {
        Some(folder) => folder.join(name),
        None => keys.with_file_name(name),
    }
}

/// Why a file of uses is not read.
#[derive(Debug)]
pub enum UseFileError {
    /// It cannot be opened.
    Open(OpenError),
    /// It cannot be read.
    Read(PathBuf, io::Error),
    /// It is larger than a file of uses can be.
    TooLarge(PathBuf),
    /// It does not begin as it must.
    NotOne(PathBuf),
}

impl UseFileError {
    /// Whether another file can take its place.
    pub(super) fn is_faulty(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::NotOne(_))
    }
}

impl Display for UseFileError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) if error.is_from_the_system() => write!(
                to,
                "{error}; run this as root, as the user that the guard runs as, or as one who \
                 may read the file of keys"
            ),
            Self::Open(error) => error.fmt(to),
            Self::Read(path, error) => write!(to, "{} cannot be read: {error}", ShownPath(path)),
            Self::TooLarge(path) => write!(
                to,
                "{} has more than {LARGEST} bytes; remove it, and uses are counted anew",
                ShownPath(path)
            ),
            Self::NotOne(path) => write!(
                to,
                "{} is not a file of uses: its first line is not \"{HEAD}TIME\"; remove it, and \
                 uses are counted anew",
                ShownPath(path)
            ),
        }
    }
}

impl std::error::Error for UseFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Read(_, error) => Some(error),
            Self::TooLarge(_) | Self::NotOne(_) => None,
        }
    }
}

/// Why a line is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineError {
    TooLong,
    NotAUse,
    Order,
}

impl Display for LineError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(to, "it has more than {LONGEST_LINE} bytes"),
            Self::NotAUse => to.write_str("it is not an id, a time in UTC and a count"),
            Self::Order => to.write_str("its id does not come after the one before"),
        }
    }
}

impl std::error::Error for LineError {}

/// The lines that were left out. Displays what is wrong with the first one.
#[derive(Clone, Debug, Default)]
pub struct SkippedLines {
    count: usize,
    /// Its number, from 1.
    first: Option<(usize, LineError)>,
}

impl SkippedLines {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, line: usize, error: LineError) {
        self.count += 1;
        self.first.get_or_insert((line, error));
    }
}

impl Display for SkippedLines {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first {
            None => to.write_str("no line is left out"),
            Some((line, error)) => {
                write!(to, "line {line} is left out: {error}")?;
                match self.count - 1 {
                    0 => Ok(()),
                    more => write!(to, "; so are {more} more lines"),
                }
            }
        }
    }
}

/// A file of uses that is read line by line.
pub(super) struct UseFile<R> {
    path: PathBuf,
    from: R,
    /// The number of the line that was read last, from 1.
    line: usize,
    pub(super) since: Time,
    last_id: Option<Id>,
    pub(super) skipped: SkippedLines,
}

/// Opens the file at `path` and reads its first line; `None` where there is none.
pub(super) fn open(path: &Path) -> Result<Option<UseFile<impl BufRead>>, UseFileError> {
    let file = match private_file::open_unfollowed(path) {
        Ok(opened) => opened.file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(UseFileError::Open(error)),
    };
    let unread = |error| UseFileError::Read(path.to_owned(), error);
    if file.metadata().map_err(unread)?.len() > LARGEST {
        return Err(UseFileError::TooLarge(path.to_owned()));
    }
    let mut from = BufReader::with_capacity(1 << 16, file.take(LARGEST));
    let since = match next_line(&mut from).map_err(unread)? {
        Some(Ok(line)) => line.strip_prefix(HEAD).and_then(Time::parse),
        _ => None,
    };
    let since = since.ok_or_else(|| UseFileError::NotOne(path.to_owned()))?;
    Ok(Some(UseFile {
        path: path.to_owned(),
        from,
        line: 1,
        since,
        last_id: None,
        skipped: SkippedLines::default(),
    }))
}

/// The next line without its end; `None` at the file's end.
fn next_line(from: &mut impl BufRead) -> io::Result<Option<Result<String, LineError>>> {
    let mut line = Vec::with_capacity(LONGEST_LINE + 1);
    let most = LONGEST_LINE.max(HEAD.len() + 20) + 1;
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    if from.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() == most {
        from.skip_until(b'\n')?;
        return Ok(Some(Err(LineError::TooLong)));
    }
    Ok(Some(
        String::from_utf8(line).map_err(|_| LineError::NotAUse),
    ))
}

/// Writes the first line, which always has the same length.
pub(super) fn write_head(to: &mut impl Write, since: Time) -> io::Result<()> {
    writeln!(to, "{HEAD}{since}")
}

/// Writes the line of a key.
pub(super) fn write_use(to: &mut impl Write, used: KeyUse) -> io::Result<()> {
    let KeyUse { id, last, count } = used;
    writeln!(to, "{id} {last} {count}")
}

/// Reads `ID TIME COUNT`.
fn parse(line: &str) -> Option<KeyUse> {
    let mut words = line.split(' ');
    let id = Id::parse(words.next()?)?;
    let last = Time::parse(words.next()?)?;
    let count = decimal(words.next()?)?;
    words.next().is_none().then_some(KeyUse { id, last, count })
}

impl<R: BufRead> UseFile<R> {
    /// The next key's uses; `None` at the file's end.
    pub(super) fn next(&mut self) -> Result<Option<KeyUse>, UseFileError> {
        loop {
            let line = next_line(&mut self.from)
                .map_err(|error| UseFileError::Read(self.path.clone(), error))?;
            let Some(line) = line else { return Ok(None) };
            self.line += 1;
            let read = line.and_then(|line| parse(&line).ok_or(LineError::NotAUse));
            match read {
                Ok(used) if self.last_id.is_none_or(|last| last < used.id) => {
                    self.last_id = Some(used.id);
                    return Ok(Some(used));
                }
                Ok(_) => self.skipped.add(self.line, LineError::Order),
                Err(error) => self.skipped.add(self.line, error),
            }
        }
    }
}

/// The uses that a file tells of.
#[derive(Debug)]
pub(super) struct Uses {
    /// Since when all uses are counted.
    pub(super) since: Time,
    pub(super) skipped: SkippedLines,
    /// In the order of their ids.
    all: Vec<KeyUse>,
}

impl Uses {
    /// Reads the file at `path`; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, UseFileError> {
        let Some(mut file) = open(path)? else {
            return Ok(None);
        };
        let mut all = Vec::new();
        while let Some(used) = file.next()? {
            all.push(used);
        }
        Ok(Some(Self {
            since: file.since,
            skipped: file.skipped,
            all,
        }))
    }

    pub(super) fn of(&self, id: Id) -> Option<KeyUse> {
        let place = self.all.binary_search_by_key(&id, |used| used.id).ok()?;
        Some(self.all[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_is_written_and_no_other() {
        let line = "q3x5w7zzab 2026-11-25T12:34:00Z 1234";
        let mut written = Vec::new();
        write_use(&mut written, parse(line).expect("a use")).expect("written");
        assert_eq!(written, format!("{line}\n").into_bytes());
        assert!(line.len() < LONGEST_LINE);
        for bad in [
            "",
            "q3x5w7zzab",
            "q3x5w7zzab 2026-11-25T12:34:00Z",
            "q3x5w7zzab 2026-11-25T12:34:00Z ",
            "q3x5w7zzab 2026-11-25T12:34:00Z +1",
            "q3x5w7zzab 2026-11-25T12:34:00Z -1",
            "q3x5w7zzab 2026-11-25T12:34:00Z 1 ",
            "q3x5w7zzab  2026-11-25T12:34:00Z 1",
            "q3x5w7zzab 2026-11-25 1",
            "q3x5w7zza 2026-11-25T12:34:00Z 1",
            "q3x5w7zzab 2026-11-25T12:34:00Z 18446744073709551616",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn is_named_after_the_file_of_keys() {
        let keys = Path::new("/etc/origin-guard/keys.json");
        for (folder, wanted) in [
            (None, "/etc/origin-guard/keys.json.uses"),
            (Some(""), "/etc/origin-guard/keys.json.uses"),
            (Some("/var/lib/a"), "/var/lib/a/keys.json.uses"),
            (Some("/var/lib/a:/var/lib/b"), "/var/lib/a/keys.json.uses"),
        ] {
            assert_eq!(path(keys, folder), Path::new(wanted));
        }
        assert_eq!(
            path(Path::new("keys.json"), None),
            Path::new("keys.json.uses")
        );
    }
}
