//! The keys of a running guard: read from their file, and read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use super::leaked::{Leaked, LeakedKey};
use super::time::Time;
use super::use_counts::KeyUse;
use super::{Error, Id, Index, Judgement, Limits};
use crate::private_file::{self, Fingerprint, PrivateFile};

/// The keys of one file.
pub struct Keys {
    path: PathBuf,
    /// Shared, so that who goes through all keys holds no lock meanwhile.
    index: RwLock<Arc<Index>>,
    limits: Limits,
    /// The state of the file that was read last, faulty or not.
    seen: Mutex<Option<Fingerprint>>,
    leaked: Leaked,
}

/// Keys that have been read.
pub struct Opened<T> {
    /// The keys, or their number.
    pub keys: T,
    /// What is legal and likely a mistake.
    pub warning: Option<String>,
}

impl Keys {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, with line and column.
    pub fn open(path: &Path) -> Result<Opened<Self>, Error> {
        Self::open_with(path, Limits::default())
    }

    /// The same with limits of consumers.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, with line and column.
    pub fn open_with(path: &Path, limits: Limits) -> Result<Opened<Self>, Error> {
        let seen = Fingerprint::at(path);
        let Opened { keys, warning } = read(path, limits)?;
        let keys = Self {
            path: path.to_owned(),
            index: RwLock::new(Arc::new(keys)),
            limits,
            seen: Mutex::new(seen),
            leaked: Leaked::default(),
        };
        Ok(Opened { keys, warning })
    }

    /// Where they are read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many there are, good or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index().len()
    }

    fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the uses of each key since this was last called, in the order of their ids.
    #[must_use]
    pub fn take_uses(&self) -> Vec<KeyUse> {
        self.index().take_uses()
    }

    /// The ids of all keys, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<Id> {
        self.index().ids()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are not good before a time that is still to come.
    #[must_use]
    pub fn made_later(&self) -> usize {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.made_after(Time::now())
    }

    /// Judges `presented` at the current time, and passes the judgement to `judged`.
    pub fn judge<T>(&self, presented: &[u8], judged: impl FnOnce(Judgement<'_>) -> T) -> T {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        judged(index.judge(presented, Time::now()))
    }

    /// Notes that `presented` came in the clear, where it is a key of the file, good or not.
    /// Returns its id.
    pub fn note_leak(&self, presented: &[u8]) -> Option<Id> {
        let digest = self.judge(presented, |judgement| judgement.known_digest().copied())?;
        self.leaked.note(&digest, SystemTime::now());
        Some(Id::of(&digest))
    }

    /// The keys that came in the clear and are still good, the first one first.
    #[must_use]
    pub fn leaked(&self) -> Vec<LeakedKey> {
        let (index, now) = (self.index(), Time::now());
        self.leaked.look(|digest| index.can_be_used(digest, now))
    }

    /// The state of the file when it was last read, faulty or not.
    #[must_use]
    pub fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again and puts its keys in place of those that were, all at once.
    /// Returns how many they are.
    ///
    /// # Errors
    ///
    /// What is wrong with the file; the keys are those that were.
    pub fn reload(&self) -> Result<Opened<usize>, Error> {
        // This comes before the file is opened, so that a later change is seen.
        let seen = Fingerprint::at(&self.path);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let Opened { mut keys, warning } = read(&self.path, self.limits)?;
        let count = keys.len();
        keys.go_on_from(&self.index());
        let keys = Arc::new(keys);
        let mut held = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *held, Arc::clone(&keys));
        drop(held);
        // Requests are judged under the lock, so that the old ones note nothing more.
        keys.take_over_uses(&old);
        // Freeing a million keys takes a while, and nobody waits for it here.
        drop(old);
        Ok(Opened {
            keys: count,
            warning,
        })
    }
}

fn read(path: &Path, limits: Limits) -> Result<Opened<Index>, Error> {
    let PrivateFile { file, warning, .. } = private_file::open(path)?;
    let keys = Index::read(path, file, limits)?;
    Ok(Opened { keys, warning })
}
