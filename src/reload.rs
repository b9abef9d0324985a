//! What is read again while the guard serves: secrets and keys, at SIGHUP and when their
//! file changes. A faulty file leaves what there was.
//!
//! Each file has a thread of its own. So a file whose storage hangs does not keep the
//! other file from being read, and a key that was revoked stops being good.

use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::secret_source::Source;
use crate::auth::secrets::Secrets;
use crate::keys::{Keys, Opened};
use crate::metrics::{Family, Series, Value, declare_counters};
use crate::private_file::Fingerprint;
use crate::{signals, systemd};

static RELOADS: Family = Family {
    name: "origin_guard_reloads_total",
    help: "Reloads of what SIGHUP reads again, by their result.",
};
static LAST_RELOADS: Family = Family {
    name: "origin_guard_last_reload_successful",
    help: "1 where a file is in use as it was last read, 0 where it is faulty or unreadable now.",
};

declare_counters! {
    COUNTERS:
    RELOAD_SUCCEEDED = RELOADS r#"result="success""#;
    RELOAD_FAILED = RELOADS r#"result="failure""#;
    RELOAD_IGNORED = RELOADS r#"result="ignored""#;
}

/// How the last reload of each file ended; not set where there is no such file.
static LAST_SECRETS: Value = Value::new();
static LAST_KEYS: Value = Value::new();

/// What is counted here.
pub(crate) static TABLES: [&[Series]; 2] = [
    COUNTERS,
    &[
        LAST_SECRETS.series(&LAST_RELOADS, r#"file="secrets""#),
        LAST_KEYS.series(&LAST_RELOADS, r#"file="keys""#),
    ],
];

/// The files whose last reload failed.
pub(crate) fn failed_files() -> impl Iterator<Item = &'static str> {
    let files = [("secrets", &LAST_SECRETS), ("keys", &LAST_KEYS)];
    let failed = |last: &Value| last.get().is_some_and(|last| last < 1.0);
    files
        .into_iter()
        .filter(move |(_, last)| failed(last))
        .map(|(file, _)| file)
}

/// How often a file is looked at. inotify(7) tells of a change at once, but not of a file
/// behind a symbolic link that is turned, on a network file system or in a folder that
/// another mount covers. A stat(2) works everywhere and costs a microsecond.
const LOOK: Duration = Duration::from_millis(300);
/// Looks after which a file that never comes to rest is read all the same.
const LOOKS_AT_MOST: u32 = 4;
/// How often a file is read again that could not be read: the cause may be one that the
/// file's state does not show.
const RETRY: Duration = Duration::from_secs(60);

/// A file that is read again.
trait Watched: Send + 'static {
    fn last_reload(&self) -> &'static Value;

    /// Where it is; `None` where there is nothing to look at.
    fn path(&self) -> Option<&Path>;
    /// Its state when it was last read, faulty or not.
    fn seen(&self) -> Option<Fingerprint>;
    /// Reads it again, and tells whether that succeeded. `number` counts the signals; it
    /// is `None` where the file has changed.
    fn reload(&mut self, number: Option<u64>) -> bool;
}

/// A signal, for the thread of one file.
#[derive(Clone)]
struct Request {
    number: u64,
    /// Dropped when the file has been read.
    _pending: Arc<Pending>,
}

/// A reload that systemd has been told of. The last one to end says `READY=1`.
struct Pending {
    all: Arc<Mutex<usize>>,
}

impl Pending {
    fn begin(all: &Arc<Mutex<usize>>) -> Arc<Self> {
        // Locked while systemd is told, so that it hears both in their order.
        let mut count = all.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        systemd::reloading();
        Arc::new(Self {
            all: Arc::clone(all),
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut count = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            systemd::ready();
        }
    }
}

/// Reloads from now on. `seen` is the state of the secret file when it was read.
///
/// # Errors
///
/// If the system denies the signal handler or a thread.
pub fn start(
    source: Source,
    seen: Option<Fingerprint>,
    secrets: Arc<Secrets>,
    keys: Option<Arc<Keys>>,
) -> io::Result<()> {
    let mut signals = signals::reload_requests()?;
    let secrets = SecretFile {
        source,
        seen,
        secrets,
    };
    let mut threads = vec![spawn("secrets", secrets)?];
    if let Some(keys) = keys {
        threads.push(spawn("keys", keys)?);
    }
    std::thread::Builder::new()
        .name("reload".into())
        .spawn(move || {
            let all = Arc::default();
            let mut number = 0;
            loop {
                match signals.read(&mut [0; 256]) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    _ => return,
                }
                number += 1;
                let request = Request {
                    number,
                    _pending: Pending::begin(&all),
                };
                for thread in &threads {
                    // A thread that has panicked takes none, and has logged it.
                    let _ = thread.send(request.clone());
                }
            }
        })?;
    Ok(())
}

fn spawn<W: Watched>(name: &str, file: W) -> io::Result<Sender<Request>> {
    let (to, requests) = channel();
    if file.path().is_some() {
        file.last_reload().set(1.0);
    }
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || watch(file, &requests))?;
    Ok(to)
}

fn watch<W: Watched>(mut file: W, requests: &Receiver<Request>) {
    // The state at the last look where it is not the one that was read, and the number of
    // looks since it first was another one.
    let mut fresh: Option<(Option<Fingerprint>, u32)> = None;
    let mut failed = None::<Instant>;
    loop {
        // Held until the file has been read.
        let waiting: Vec<Request>;
        let number = match requests.recv_timeout(LOOK) {
            Ok(request) => {
                // Signals that came during a reload are one more, however many.
                waiting = [request].into_iter().chain(requests.try_iter()).collect();
                waiting.last().map(|request| request.number)
            }
            Err(RecvTimeoutError::Timeout) => {
                let Some(path) = file.path() else { continue };
                let now = Fingerprint::at(path);
                let is_due = failed.is_some_and(|since| since.elapsed() >= RETRY);
                if now != file.seen() {
                    // The file must stay the same between two looks: a writer in place
                    // needs a moment, and half a file may be valid, with half the secrets.
                    match fresh {
                        Some((then, looks)) if then == now || looks == LOOKS_AT_MOST => {}
                        _ => {
                            fresh = Some((now, fresh.map_or(1, |(_, looks)| looks + 1)));
                            continue;
                        }
                    }
                } else if !is_due {
                    fresh = None;
                    continue;
                }
                None
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let succeeded = file.reload(number);
        let last = if succeeded { 1.0 } else { 0.0 };
        file.last_reload().set(last);
        fresh = None;
        failed = (!succeeded).then(Instant::now);
    }
}

/// `number=3 `, or nothing.
fn shown(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| format!("number={number} "))
}

struct SecretFile {
    source: Source,
    seen: Option<Fingerprint>,
    secrets: Arc<Secrets>,
}

impl Watched for SecretFile {
    fn last_reload(&self) -> &'static Value {
        &LAST_SECRETS
    }

    fn path(&self) -> Option<&Path> {
        self.source.path()
    }

    fn seen(&self) -> Option<Fingerprint> {
        self.seen
    }

    fn reload(&mut self, number: Option<u64>) -> bool {
        let source = &self.source;
        let Some(path) = source.path() else {
            RELOAD_IGNORED.increment();
            log::warn!(
                "reload_ignored source={source} reason=\"the environment of a process does not \
                 change; use SHARED_SECRET_FILE or restart\""
            );
            return true;
        };
        // This comes before the file is opened, so that a later change is seen.
        self.seen = Fingerprint::at(path);
        match source.load(&|name| std::env::var_os(name)) {
            Ok(loaded) => {
                let number_of_them = loaded.digests.len();
                let changed = self.secrets.replace(loaded.digests, loaded.current);
                for warning in loaded.warnings {
                    log::warn!("warning {warning}");
                }
                RELOAD_SUCCEEDED.increment();
                log::info!(
                    "reloaded {}source={source} secrets={number_of_them} changed={changed}",
                    shown(number)
                );
                if number.is_some() && !changed && matches!(source, Source::Credential(_)) {
                    log::info!(
                        "credential_unchanged reason=\"systemd before version 260 reads a \
                         credential when it starts a service; restart it\""
                    );
                }
                true
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!("reload_failed {}kept=yes {error}", shown(number));
                false
            }
        }
    }
}

impl Watched for Arc<Keys> {
    fn last_reload(&self) -> &'static Value {
        &LAST_KEYS
    }

    fn path(&self) -> Option<&Path> {
        Some(Keys::path(self))
    }

    fn seen(&self) -> Option<Fingerprint> {
        Keys::seen(self)
    }

    fn reload(&mut self, _: Option<u64>) -> bool {
        match Keys::reload(self) {
            Ok(Opened {
                keys: number,
                warning,
            }) => {
                if let Some(warning) = warning {
                    log::warn!("warning API_KEYS_FILE: {warning}");
                }
                RELOAD_SUCCEEDED.increment();
                log::info!(
                    "keys_reloaded keys={number} file={}",
                    Keys::path(self).display()
                );
                true
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!(
                    "keys_reload_failed kept={} API_KEYS_FILE: {error}",
                    self.len()
                );
                false
            }
        }
    }
}
