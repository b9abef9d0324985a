//! Where the secrets come from: the environment, a file, a systemd credential.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::secret_forms::{self, Form};
use super::secrets::{Digest, SHORT, Text};
use crate::private_file::{self, Fingerprint, OpenError, PrivateFile};
use crate::shell;
use crate::shown_path::ShownPath;

/// The variables that this module reads.
const SECRET: &str = "SHARED_SECRET";
const PREVIOUS: &str = "SHARED_SECRET_PREVIOUS";
const FILE: &str = "SHARED_SECRET_FILE";
/// systemd.exec(5): where `LoadCredential=` puts files.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
pub(super) const CREDENTIAL: &str = "shared-secret";
const SHOWN_CREDENTIAL: &str = "the credential shared-secret";

/// Largest file of secrets, in bytes.
const LARGEST: u64 = 65536;
const CAPACITY: usize = 65537;
/// Most secrets at once; each costs a comparison on every request.
const MOST: usize = 16;
/// A line that begins with this byte is a comment.
const COMMENT: u8 = b'#';
/// What some editors put at the start of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where the secrets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: none is configured.
    Unset,
    /// `SHARED_SECRET` and `SHARED_SECRET_PREVIOUS`.
    Environment,
    /// `SHARED_SECRET_FILE`.
    File(PathBuf),
    /// `$CREDENTIALS_DIRECTORY/shared-secret`.
    Credential(PathBuf),
}

/// Secrets as they were loaded.
#[derive(Default)]
pub struct Loaded {
    /// The current one first.
    pub digests: Vec<Digest>,
    /// The text of the current one.
    pub current: Option<Text>,
    /// The texts of the previous ones.
    pub previous: Vec<Text>,
    /// What is legal and likely a mistake.
    pub warnings: Vec<String>,
    /// The state of the file that they were read from.
    pub seen: Option<Fingerprint>,
}

/// Why there are no secrets to be had, and the remedy. Displays as the message for the
/// operator, which names variable, file, line or byte, and never shows any content.
#[derive(Debug)]
pub enum Error {
    /// Two sources are set; both are named.
    TwoSources(&'static str, &'static str),
    /// A previous secret is set, and the current one is not beside it: it is nowhere, or in
    /// the file that this variable names.
    PreviousAlone(Option<(&'static str, PathBuf)>),
    /// The file that this variable names cannot be opened.
    Open(&'static str, OpenError),
    /// The file at this place is open, and reading it failed.
    Read(String, io::Error),
    /// The file at this place is larger than a file of secrets can be.
    TooLarge(String),
    /// The file at this place has comments and empty lines alone.
    Empty(String),
    /// What stands at this place, a variable or a line, is not a secret.
    Value {
        /// The variable, or the file and the line.
        place: String,
        /// What is wrong there.
        fault: Fault,
    },
}

/// Why a value is not taken for a secret.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It begins or ends with a space.
    SpaceAtEnd,
    /// The byte with this number, from 1, is not printable ASCII.
    Byte(usize),
    /// The byte with this number, from 1, ends a line.
    LineBreak(usize),
    /// The file begins with a byte order mark.
    ByteOrderMark,
    /// It looks like something else.
    Form(Form),
    /// It is the same as the secret on this line.
    Repeats(usize),
    /// There are 16 secrets already.
    TooMany,
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoSources(first, second) => write!(
                to,
                "{first}: the secret is also in {second}; keep one of the two"
            ),
            Self::PreviousAlone(None) => write!(
                to,
                "{PREVIOUS}: it is set and {SECRET} is not; set {SECRET} to the current secret"
            ),
            Self::PreviousAlone(Some((name, path))) => write!(
                to,
                "{PREVIOUS}: it does not go with {name}, whose file holds the previous secrets, \
                 too; write it on a line of its own below the current one in {}, and leave \
                 {PREVIOUS} out",
                ShownPath(path)
            ),
            Self::Open(name, error) if error.is_from_the_system() => {
                write!(to, "{name}: {error}; {}", error.remedy())
            }
            Self::Open(name, error) => write!(to, "{name}: {error}"),
            Self::Read(place, error) => write!(
                to,
                "{place} cannot be read: {error}; look at the disk that it is on"
            ),
            Self::TooLarge(place) => write!(
                to,
                "{place} is larger than {LARGEST} bytes; write a secret a line, and nothing else"
            ),
            Self::Empty(place) => {
                write!(to, "{place} holds no secret; write one on its first line")
            }
            Self::Value { place, fault } => write!(to, "{place}: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpaceAtEnd => to.write_str(
                "it begins or ends with a space, which HTTP takes off a header; remove it",
            ),
            Self::Byte(at) => write!(
                to,
                "byte {at} is not printable ASCII, so no gateway can send it; \
                 use letters, digits and signs"
            ),
            Self::LineBreak(at) => write!(
                to,
                "byte {at} is a line break, which no gateway can send; leave it \
                 out (one at the end of a file is a common cause)"
            ),
            Self::ByteOrderMark => {
                to.write_str("it begins with a byte order mark; save the file as UTF-8 without one")
            }
            Self::Form(form) => form.fmt(to),
            Self::Repeats(line) => {
                write!(
                    to,
                    "it repeats the secret of line {line}; remove one of the two"
                )
            }
            Self::TooMany => write!(to, "more than {MOST} secrets; remove old ones"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(_, error) => Some(error),
            Self::Read(_, error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => to.write_str("none"),
            Self::Environment => to.write_str("environment"),
            Self::File(path) => write!(to, "{FILE}:{}", path.display()),
            Self::Credential(path) => write!(to, "credential:{}", path.display()),
        }
    }
}

impl Source {
    /// Finds the one source that `variable` tells of.
    ///
    /// # Errors
    ///
    /// If there are two, which names both, or a previous secret without a current one.
    pub fn find(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let credential = set(CREDENTIALS).map(|folder| Path::new(&folder).join(CREDENTIAL));
        let mut sources = Vec::new();
        if set(SECRET).is_some() {
            sources.push((SECRET, Self::Environment));
        }
        if let Some(path) = set(FILE) {
            sources.push((FILE, Self::File(path.into())));
        }
        if let Some(path) = credential.filter(|path| path.try_exists().unwrap_or(true)) {
            sources.push((SHOWN_CREDENTIAL, Self::Credential(path)));
        }
        if set(PREVIOUS).is_some() && set(SECRET).is_none() {
            let file = sources.first();
            let file = file.and_then(|(name, source)| Some((*name, source.path()?.to_owned())));
            return Err(Error::PreviousAlone(file));
        }
        match sources.as_slice() {
            [] => Ok(Self::Unset),
            [(_, source)] => Ok(source.clone()),
            [(first, _), (second, _), ..] => Err(Error::TwoSources(first, second)),
        }
    }

    /// The same, with the path from / on: whoever asks a guard for it may be in another folder.
    #[must_use]
    pub fn absolute(&self) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match self {
            Self::Unset | Self::Environment => self.clone(),
            Self::File(path) => Self::File(absolute(path)),
            Self::Credential(path) => Self::Credential(absolute(path)),
        }
    }

    /// The file that the secrets are read from, if they are in one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unset | Self::Environment => None,
            Self::File(path) | Self::Credential(path) => Some(path),
        }
    }

    /// Loads the secrets.
    ///
    /// # Errors
    ///
    /// What is wrong with the variable, file, line or byte, and what to do.
    pub fn load(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Loaded, Error> {
        let mut loaded = Loaded::default();
        match self {
            Self::File(path) => return Loaded::from_file(FILE, path),
            Self::Credential(path) => return Loaded::from_file(SHOWN_CREDENTIAL, path),
            Self::Unset => {}
            Self::Environment => {
                for name in [SECRET, PREVIOUS] {
                    let value = variable(name).map(OsString::into_encoded_bytes);
                    if let Some(value) = value.filter(|value| !value.is_empty()) {
                        loaded.take_variable(name, &Zeroizing::new(value))?;
                    }
                }
            }
        }
        Ok(loaded)
    }
}

impl Loaded {
    /// Reads the file at `path`; `name` tells the operator what names it.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, line or byte, and what to do.
    pub fn from_file(name: &'static str, path: &Path) -> Result<Self, Error> {
        let mut loaded = Self::default();
        loaded.read(name, path)?;
        Ok(loaded)
    }

    /// `name` tells the operator which variable names the file.
    fn read(&mut self, name: &'static str, path: &Path) -> Result<(), Error> {
        // This comes before the file is opened, so that a later change is seen.
        self.seen = Fingerprint::at(path);
        let PrivateFile { file, warning, .. } =
            private_file::open(path).map_err(|error| Error::Open(name, error))?;
        self.warnings
            .extend(warning.map(|warning| format!("{name}: {warning}")));
        let shown = format!("{name}: {}", ShownPath(path));
        let text = read_text(&file).map_err(|error| Error::Read(shown.clone(), error))?;
        self.take_text(&text, &shown, path)
    }

    /// `shown` names the file.
    pub(super) fn take_text(&mut self, text: &[u8], shown: &str, path: &Path) -> Result<(), Error> {
        if text.len() >= CAPACITY {
            return Err(Error::TooLarge(shown.to_owned()));
        }
        if text.windows(2).any(|ends| ends == b"\r\n") {
            let whole = std::path::absolute(path);
            let path = whole.as_deref().unwrap_or(path).to_string_lossy();
            let path = shell::word(&path);
            self.warnings.push(format!(
                "{shown}: its lines end in CR LF, and the CR is left off; save it with LF alone: \
                 sed -i 's/\\r$//' {path}"
            ));
        }
        // The line of each secret that was taken.
        let mut lines = Vec::new();
        for Line { number, secret, .. } in secret_lines(text) {
            let place = format!("{shown}, line {number}");
            let taken = self.take_line(secret, &lines, &place);
            taken.map_err(|fault| Error::Value { place, fault })?;
            lines.push(number);
        }
        if self.digests.is_empty() {
            return Err(Error::Empty(shown.to_owned()));
        }
        Ok(())
    }

    /// `lines` are the lines of the secrets that were taken before.
    fn take_line(&mut self, line: &[u8], lines: &[usize], place: &str) -> Result<(), Fault> {
        let text = fit(line)?;
        let digest = Digest::of(line);
        if let Some(at) = self.digests.iter().position(|taken| taken.equals(&digest)) {
            return Err(Fault::Repeats(lines[at]));
        }
        self.add(text, digest, place)
    }

    /// A variable that looks like a mistake earns a warning and is not refused: what was
    /// good enough for the last start must not fail the next one.
    fn take_variable(&mut self, name: &'static str, value: &[u8]) -> Result<(), Error> {
        let at_variable = |fault| Error::Value {
            place: name.to_owned(),
            fault,
        };
        let text = presentable(value).map_err(at_variable)?;
        if let Some(form) = secret_forms::form(text) {
            self.warnings.push(format!("{name}: {form}"));
        }
        let digest = Digest::of(value);
        if self.digests.iter().any(|taken| taken.equals(&digest)) {
            self.warnings.push(format!(
                "{name}: it is the same as {SECRET}; unset it once the old secret is retired"
            ));
        }
        self.add(text, digest, name).map_err(at_variable)
    }

    fn add(&mut self, text: &str, digest: Digest, place: &str) -> Result<(), Fault> {
        if self.digests.len() == MOST {
            return Err(Fault::TooMany);
        }
        let remedy = "take one from `origin-guard keygen`";
        if text.len() < SHORT {
            self.warnings.push(format!(
                "{place}: it is shorter than {SHORT} bytes, so that it can be guessed; {remedy}"
            ));
        }
        if let Some(doubt) = secret_forms::doubt(text) {
            self.warnings.push(format!("{place}: {doubt}; {remedy}"));
        }
        let text = Text::new(text.to_owned());
        match self.current {
            None => self.current = Some(text),
            Some(_) => self.previous.push(text),
        }
        self.digests.push(digest);
        Ok(())
    }
}

/// `line` as text, if it can be a secret of a file.
///
/// # Errors
///
/// What is wrong with it.
pub fn fit(line: &[u8]) -> Result<&str, Fault> {
    if line.starts_with(BYTE_ORDER_MARK) {
        return Err(Fault::ByteOrderMark);
    }
    let text = presentable(line)?;
    match secret_forms::form(text) {
        Some(form) => Err(Fault::Form(form)),
        None => Ok(text),
    }
}

/// The text of a file of secrets; of one that is too large, a byte more than it may have.
pub(super) fn read_text(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    // It has its final capacity from the start, because growing leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(CAPACITY));
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// A line of a file that holds a secret.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// The bytes of the file that it takes, with its end.
    pub(super) place: Range<usize>,
    /// Without its end.
    pub(super) secret: &'a [u8],
}

/// The lines that hold a secret: all but comments and empty ones.
pub(super) fn secret_lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut at = 0;
    let lines = (1..).zip(text.split_inclusive(|&byte| byte == b'\n'));
    lines.filter_map(move |(number, whole)| {
        let place = at..at + whole.len();
        at = place.end;
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let secret = line.strip_suffix(b"\r").unwrap_or(line);
        let is_one = !secret.is_empty() && secret.first() != Some(&COMMENT);
        is_one.then_some(Line {
            number,
            place,
            secret,
        })
    })
}

/// `secret` as text, if a header can hold it (RFC 9110, section 5.5).
fn presentable(secret: &[u8]) -> Result<&str, Fault> {
    if secret.first() == Some(&b' ') || secret.last() == Some(&b' ') {
        return Err(Fault::SpaceAtEnd);
    }
    let not_printable = |byte: &u8| !matches!(byte, b' '..=b'~');
    match secret.iter().position(not_printable) {
        Some(at) if b"\r\n".contains(&secret[at]) => Err(Fault::LineBreak(at + 1)),
        Some(at) => Err(Fault::Byte(at + 1)),
        None => Ok(std::str::from_utf8(secret).expect("found to be ASCII")),
    }
}
