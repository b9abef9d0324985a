//! What is read again while the guard serves: secrets, keys and certificates, at SIGHUP and
//! when their files change. A faulty file leaves what there was.
//!
//! Each kind of file has a thread of its own. So a file whose storage hangs does not keep
//! the others from being read, and a key that was revoked stops being good.

use std::io::{self, ErrorKind, Read as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::auth::secret_source::Source;
use crate::auth::secrets::Secrets;
use crate::keys::{Keys, Opened};
use crate::metrics::{Family, Series, Value, declare_counters, labels};
use crate::net::tls::server::{Reloaded, TlsServer, TlsServerError};
use crate::private_file::Fingerprint;
use crate::server::AllowList;
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
static LAST_CERTIFICATES: Value = Value::new();
static LAST_ALLOW_FROM: Value = Value::new();

/// What is counted here.
pub(crate) static TABLES: [&[Series]; 2] = [
    COUNTERS,
    &[
        LAST_SECRETS.series(&LAST_RELOADS, r#"file="secrets""#),
        LAST_KEYS.series(&LAST_RELOADS, r#"file="keys""#),
        LAST_CERTIFICATES.series(&LAST_RELOADS, r#"file="certificates""#),
        LAST_ALLOW_FROM.series(&LAST_RELOADS, r#"file="allow_from""#),
    ],
];

/// The files whose last reload failed.
pub(crate) fn failed_files() -> impl Iterator<Item = &'static str> {
    let files = [
        ("secrets", &LAST_SECRETS),
        ("keys", &LAST_KEYS),
        ("certificates", &LAST_CERTIFICATES),
        ("allow_from", &LAST_ALLOW_FROM),
    ];
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

/// How long files that do not go together are read again before that is an error: who
/// renews a certificate puts it and its key in place one after the other.
const SETTLE: Duration = Duration::from_secs(10);

/// The state of each file.
type State = Vec<Option<Fingerprint>>;

/// Files that are read again.
trait Watched: Send + 'static {
    fn last_reload(&self) -> &'static Value;

    /// Where they are; nothing where there is nothing to look at.
    fn paths(&self) -> Vec<PathBuf>;
    /// Their state when they were last read, faulty or not.
    fn seen(&self) -> State;
    /// Reads them again. `number` counts the signals; it is `None` where a file has
    /// changed. Only where it `may_wait` it may find that they have to settle.
    fn reload(&mut self, number: Option<u64>, may_wait: bool) -> Outcome;
}

/// How a reload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Failed,
    /// The files do not go together; they may in a moment.
    Unsettled,
}

fn state(paths: &[PathBuf]) -> State {
    paths.iter().map(|path| Fingerprint::at(path)).collect()
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
    tls: Option<Arc<TlsServer>>,
    allow_from: Option<Arc<AllowList>>,
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
    if let Some(tls) = tls {
        threads.push(spawn("certificates", Certificates::new(tls))?);
    }
    if let Some(list) = allow_from.filter(|list| list.path().is_some()) {
        threads.push(spawn("allow_from", list)?);
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
    if !file.paths().is_empty() {
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
    let mut fresh: Option<(State, u32)> = None;
    let mut failed = None::<Instant>;
    let mut unsettled = None::<Instant>;
    let paths = file.paths();
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
                if paths.is_empty() {
                    continue;
                }
                let now = state(&paths);
                let is_due = failed.is_some_and(|since| since.elapsed() >= RETRY);
                if unsettled.is_some() {
                    // It is read at each look, whatever its state tells.
                } else if now != file.seen() {
                    // The file must stay the same between two looks: a writer in place
                    // needs a moment, and half a file may be valid, with half the secrets.
                    match fresh.take() {
                        Some((then, looks)) if then == now || looks == LOOKS_AT_MOST => {}
                        before => {
                            fresh = Some((now, before.map_or(1, |(_, looks)| looks + 1)));
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
        fresh = None;
        let may_wait = unsettled.is_none_or(|since| since.elapsed() < SETTLE);
        let outcome = file.reload(number, may_wait);
        if outcome == Outcome::Unsettled {
            unsettled.get_or_insert_with(Instant::now);
            continue;
        }
        unsettled = None;
        let succeeded = outcome == Outcome::Succeeded;
        file.last_reload().set(if succeeded { 1.0 } else { 0.0 });
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

    fn paths(&self) -> Vec<PathBuf> {
        self.source
            .path()
            .map(ToOwned::to_owned)
            .into_iter()
            .collect()
    }

    fn seen(&self) -> State {
        vec![self.seen]
    }

    fn reload(&mut self, number: Option<u64>, _: bool) -> Outcome {
        let source = &self.source;
        let Some(path) = source.path() else {
            RELOAD_IGNORED.increment();
            log::warn!(
                "reload_ignored source={source} reason=\"the environment of a process does not \
                 change; use SHARED_SECRET_FILE or restart\""
            );
            return Outcome::Succeeded;
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
                Outcome::Succeeded
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!("reload_failed {}kept=yes {error}", shown(number));
                Outcome::Failed
            }
        }
    }
}

impl Watched for Arc<Keys> {
    fn last_reload(&self) -> &'static Value {
        &LAST_KEYS
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![Keys::path(self).to_owned()]
    }

    fn seen(&self) -> State {
        vec![Keys::seen(self)]
    }

    fn reload(&mut self, _: Option<u64>, _: bool) -> Outcome {
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
                Outcome::Succeeded
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!(
                    "keys_reload_failed kept={} API_KEYS_FILE: {error}",
                    self.len()
                );
                Outcome::Failed
            }
        }
    }
}

impl Watched for Arc<AllowList> {
    fn last_reload(&self) -> &'static Value {
        &LAST_ALLOW_FROM
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.path().map(ToOwned::to_owned).into_iter().collect()
    }

    fn seen(&self) -> State {
        vec![AllowList::seen(self)]
    }

    fn reload(&mut self, number: Option<u64>, _: bool) -> Outcome {
        match AllowList::reload(self) {
            Ok(changed) => {
                RELOAD_SUCCEEDED.increment();
                log::info!(
                    "allow_from_reloaded {}networks={} changed={changed}",
                    shown(number),
                    self.count()
                );
                Outcome::Succeeded
            }
            Err(error) => {
                RELOAD_FAILED.increment();
                log::error!(
                    "allow_from_reload_failed {}kept={} ALLOW_FROM_FILE: {error}",
                    shown(number),
                    self.count()
                );
                Outcome::Failed
            }
        }
    }
}

static ENDS: Family = Family {
    name: "origin_guard_certificate_not_after_timestamp_seconds",
    help: "When a certificate that is in use ends, in seconds since 1970.",
};

/// The files of TLS.
struct Certificates {
    tls: Arc<TlsServer>,
    seen: State,
    /// When each certificate ends, in the order of the pairs.
    ends: Vec<&'static Value>,
}

impl Certificates {
    fn new(tls: Arc<TlsServer>) -> Self {
        let pairs = tls.pairs();
        let end = |path: &PathBuf| {
            Value::registered(&ENDS, labels(&[("certificate", &path.to_string_lossy())]))
        };
        let certificates = Self {
            ends: pairs.iter().map(|pair| end(&pair.path)).collect(),
            // They have just been read; what has changed since is seen at the next look.
            seen: state(&tls.files().map(ToOwned::to_owned).collect::<Vec<_>>()),
            tls,
        };
        certificates.note_ends();
        certificates
    }

    fn note_ends(&self) {
        for (pair, end) in self.tls.pairs().iter().zip(&self.ends) {
            let since = pair.facts.not_after.duration_since(SystemTime::UNIX_EPOCH);
            end.set(since.map_or(0.0, |since| since.as_secs_f64()));
        }
    }
}

impl Watched for Certificates {
    fn last_reload(&self) -> &'static Value {
        &LAST_CERTIFICATES
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.tls.files().map(ToOwned::to_owned).collect()
    }

    fn seen(&self) -> State {
        self.seen.clone()
    }

    fn reload(&mut self, number: Option<u64>, may_wait: bool) -> Outcome {
        // This comes before the files are opened, so that a later change is seen.
        self.seen = state(&self.paths());
        let Reloaded { changed, faults } = self.tls.reload();
        self.note_ends();
        if changed {
            for pair in self.tls.pairs() {
                log::info!("certificate {}", pair.facts);
            }
        }
        if faults.is_empty() {
            RELOAD_SUCCEEDED.increment();
            log::info!("certificates_reloaded {}changed={changed}", shown(number));
            return Outcome::Succeeded;
        }
        if may_wait && faults.iter().any(TlsServerError::may_settle) {
            return Outcome::Unsettled;
        }
        RELOAD_FAILED.increment();
        for fault in faults {
            log::error!(
                "certificates_reload_failed {}kept=yes {fault}",
                shown(number)
            );
        }
        Outcome::Failed
    }
}
