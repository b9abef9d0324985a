//! Writes down when API keys were last used, and how often: at most once a minute, on a
//! thread of its own, so that no request waits for a disk.
//!
//! What could not be written is kept and tried again. A process that is killed loses what
//! it has counted since it wrote last, a minute at most.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::keys::add_uses::{self, Added};
use crate::keys::time::Time;
use crate::keys::{Error, KeyUse, Keys};
use crate::metrics::{Family, declare_counters};

static WRITES: Family = Family {
    name: "origin_guard_key_uses_writes_total",
    help: "How often it was written down which keys were used, by the result.",
};

declare_counters! {
    pub(crate) TABLE:
    WRITTEN = WRITES r#"result="success""#;
    NOT_WRITTEN = WRITES r#"result="failure""#;
}

/// How often it is asked whether any key was used.
const LOOK: Duration = Duration::from_secs(1);
/// Shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often lines of keys that are gone are looked for.
const TIDY: Duration = Duration::from_secs(86_400);
/// How long the end of the program waits for the last write.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread that writes.
pub struct Recorder {
    end: Sender<()>,
    ended: Receiver<()>,
}

impl Recorder {
    /// Writes from now on what is used of `keys` to the file at `path`.
    ///
    /// # Errors
    ///
    /// If the system denies the thread.
    pub fn start(keys: Arc<Keys>, path: PathBuf) -> io::Result<Self> {
        let (end, told) = channel();
        let (tell, ended) = channel();
        let mut writer = Writer {
            keys,
            path,
            unwritten: Vec::new(),
            written: None,
            tidied: None,
            has_failed: false,
        };
        std::thread::Builder::new()
            .name("key-uses".into())
            .spawn(move || {
                // Counting begins now, and whoever asks can know it.
                writer.begin();
                while told.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if writer.is_due() {
                        writer.write();
                    }
                }
                writer.write();
                // Nobody may wait any more.
                let _ = tell.send(());
            })?;
        Ok(Self { end, ended })
    }

    /// Writes what is left, once no more requests come. Gives up on a disk that hangs.
    pub fn finish(self) {
        drop(self.end);
        if self.ended.recv_timeout(PATIENCE).is_err() {
            log::warn!("key_uses_unwritten reason=\"the disk takes too long\"");
        }
    }
}

struct Writer {
    keys: Arc<Keys>,
    path: PathBuf,
    /// What could not be written, in the order of ids.
    unwritten: Vec<KeyUse>,
    /// When it was written last, or tried.
    written: Option<Instant>,
    tidied: Option<Instant>,
    has_failed: bool,
}

impl Writer {
    /// Makes the file where there is none.
    fn begin(&mut self) {
        if !self.path.exists() {
            let added = add_uses::add(&self.path, self.keys.path(), &[], None, Time::now());
            self.note(added);
        }
    }

    fn is_due(&self) -> bool {
        self.written.is_none_or(|last| last.elapsed() >= INTERVAL)
    }

    /// Writes what was used since the last time, if anything was.
    fn write(&mut self) {
        let fresh = self.keys.take_uses();
        add_uses::combine(&mut self.unwritten, fresh);
        if self.unwritten.is_empty() {
            return;
        }
        self.written = Some(Instant::now());
        let is_tidy = self.tidied.is_some_and(|last| last.elapsed() < TIDY);
        let ids = (!is_tidy).then(|| self.keys.ids());
        let keys = self.keys.path();
        let uses = &self.unwritten;
        let added = add_uses::add(&self.path, keys, uses, ids.as_deref(), Time::now());
        if self.note(added) {
            self.unwritten = Vec::new();
            if !is_tidy {
                self.tidied = Some(Instant::now());
            }
        }
    }

    /// Says how it went, a failure once; whether it went well.
    fn note(&mut self, added: Result<Added, Error>) -> bool {
        let path = self.path.display();
        match added {
            Ok(Added { skipped, put_aside }) => {
                WRITTEN.increment();
                if let Some((fault, aside)) = put_aside {
                    log::warn!("key_uses_put_aside file={} {fault}", aside.display());
                }
                if skipped.count() > 0 {
                    log::warn!("key_uses_skipped file={path} {skipped}");
                }
                if std::mem::take(&mut self.has_failed) {
                    log::info!("key_uses_written file={path}");
                }
                true
            }
            Err(error) => {
                NOT_WRITTEN.increment();
                if !std::mem::replace(&mut self.has_failed, true) {
                    let remedy = remedy(&self.path);
                    log::warn!(
                        "key_uses_unwritten kept={} {error}{remedy}",
                        self.unwritten.len()
                    );
                }
                false
            }
        }
    }
}

/// What helps where the folder cannot be written.
fn remedy(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path);
    format!(
        "; when keys were last used is kept in {}: let the guard's user write there, or set \
         StateDirectory= in its unit",
        folder.display()
    )
}
