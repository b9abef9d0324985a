//! Which peers of TCP may connect, for listeners that are not for everybody.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::http1::forwarded::TrustedProxies;
use crate::http1::network::NetworkError;
use crate::net::{Peer, UNIX_PEER};
use crate::private_file::{self, Fingerprint, OpenError, PrivateFile};
use crate::shown_path::ShownPath;

/// Largest file of networks, in bytes. All of Azure's service tags are 4 MB of JSON.
const LARGEST: u64 = 1024 * 1024;

/// The networks of a list, and the file that they come from, where there is one. It is read
/// again while it serves.
pub struct AllowList {
    file: Option<PathBuf>,
    held: RwLock<Arc<Held>>,
    /// The state of the file when it was last read, faulty or not.
    seen: Mutex<Option<Fingerprint>>,
}

struct Held {
    /// With commas between, by which two lists are compared.
    text: String,
    networks: TrustedProxies,
    count: usize,
    /// Who else can change the file, where somebody can.
    warning: Option<String>,
}

/// Why a list is not taken.
#[derive(Debug)]
pub enum AllowListError {
    /// The file cannot be opened.
    Open(OpenError),
    /// The file is open, and reading it failed.
    Read(PathBuf, io::Error),
    /// The file is larger than such a file can be.
    TooLarge(PathBuf),
    /// A line is not UTF-8.
    NotUtf8(PathBuf, usize),
    /// A line holds something else than networks.
    Line(PathBuf, usize, NetworkError),
    /// The file names nobody.
    EmptyFile(PathBuf),
    /// A member of a list is not a network.
    Member(NetworkError),
    /// The list names nobody.
    Empty,
}

impl fmt::Display for AllowListError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NOBODY: &str = "names nobody, and nobody could connect; write addresses or networks";
        match self {
            Self::Open(error) if error.is_from_the_system() => {
                write!(to, "{error}; {}", error.remedy())
            }
            Self::Open(error) => error.fmt(to),
            Self::Read(path, error) => write!(
                to,
                "{} cannot be read: {error}; write it anew",
                ShownPath(path)
            ),
            Self::TooLarge(path) => write!(
                to,
                "{} is larger than {LARGEST} bytes; write a network a line, and nothing else",
                ShownPath(path)
            ),
            Self::NotUtf8(path, line) => write!(
                to,
                "{}, line {line}: it is not UTF-8; write it in ASCII",
                ShownPath(path)
            ),
            Self::Line(path, line, error) => {
                write!(to, "{}, line {line}: {error}", ShownPath(path))
            }
            Self::EmptyFile(path) => write!(to, "{} {NOBODY}, one a line", ShownPath(path)),
            Self::Member(error) => error.fmt(to),
            Self::Empty => write!(to, "it {NOBODY}, with commas"),
        }
    }
}

impl std::error::Error for AllowListError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Read(_, error) => Some(error),
            Self::Line(_, _, error) | Self::Member(error) => Some(error),
            _ => None,
        }
    }
}

impl AllowList {
    /// The members of `list`, with commas.
    ///
    /// # Errors
    ///
    /// If a member is not a network, or there is none.
    pub fn parse(list: &str) -> Result<Self, AllowListError> {
        let members: Vec<_> = members(list).map(str::to_owned).collect();
        let held = Held::new(&members).map_err(AllowListError::Member)?;
        Ok(Self::new(None, held.ok_or(AllowListError::Empty)?, None))
    }

    /// What the file at `path` holds: a network a line, or more with commas; what follows a
    /// `#` is a comment.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and in which line; a file without any network is faulty.
    pub fn open(path: PathBuf) -> Result<Self, AllowListError> {
        // This comes before the file is opened, so that a later change is seen.
        let seen = Fingerprint::at(&path);
        let held = Held::read(&path)?;
        Ok(Self::new(Some(path), held, seen))
    }

    fn new(file: Option<PathBuf>, held: Held, seen: Option<Fingerprint>) -> Self {
        Self {
            file,
            held: RwLock::new(Arc::new(held)),
            seen: Mutex::new(seen),
        }
    }

    /// Reads the file again, and tells whether it holds something else now.
    ///
    /// # Errors
    ///
    /// As [`Self::open`] has them. What there was stays.
    pub fn reload(&self) -> Result<bool, AllowListError> {
        let Some(path) = &self.file else {
            return Ok(false);
        };
        let seen = Fingerprint::at(path);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let fresh = Held::read(path)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let changed = held.text != fresh.text;
        *held = Arc::new(fresh);
        Ok(changed)
    }

    /// The file, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The state of the file when it was last read.
    #[must_use]
    pub fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many networks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.held().count
    }

    /// What is legal and likely a mistake: networks that are far too wide, and who else can
    /// change the file.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let held = self.held();
        let wide = held.networks.wide().map(|network| {
            if network.holds_all() {
                format!(
                    "{network}, so that everyone may connect; write the networks that are meant"
                )
            } else {
                format!("{network}, which may all connect; write the network that is meant")
            }
        });
        wide.chain(held.warning.clone()).collect()
    }

    /// Whether `peer` may connect. Who comes over a Unix socket may: its file says who can.
    #[must_use]
    pub fn allows(&self, peer: Peer) -> bool {
        peer == UNIX_PEER || self.held().networks.trusts(TrustedProxies::peer(peer))
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// `None` where there are no members.
    fn new(members: &[String]) -> Result<Option<Self>, NetworkError> {
        let text = members.join(",");
        let networks = TrustedProxies::parse(&text)?;
        Ok((!members.is_empty()).then_some(Self {
            text,
            networks,
            count: members.len(),
            warning: None,
        }))
    }

    fn read(path: &Path) -> Result<Self, AllowListError> {
        let PrivateFile {
            file, changeable, ..
        } = private_file::open_public(path).map_err(AllowListError::Open)?;
        let mut text = Vec::new();
        let read = file.take(LARGEST + 1).read_to_end(&mut text);
        read.map_err(|error| AllowListError::Read(path.to_owned(), error))?;
        if text.len() as u64 > LARGEST {
            return Err(AllowListError::TooLarge(path.to_owned()));
        }
        let mut all = Vec::new();
        for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
            let line = std::str::from_utf8(line)
                .map_err(|_| AllowListError::NotUtf8(path.to_owned(), number))?;
            let line = line.split('#').next().unwrap_or_default();
            TrustedProxies::parse(line)
                .map_err(|error| AllowListError::Line(path.to_owned(), number, error))?;
            all.extend(members(line).map(str::to_owned));
        }
        let held = Self::new(&all).map_err(AllowListError::Member)?;
        let held = held.ok_or_else(|| AllowListError::EmptyFile(path.to_owned()))?;
        Ok(Self {
            warning: changeable,
            ..held
        })
    }
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    let members = list.split(',').map(str::trim);
    members.filter(|member| !member.is_empty())
}
