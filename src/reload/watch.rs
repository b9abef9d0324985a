//! A file that is watched by a thread of its own, and read again when it changes or when a
//! signal says so.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::faulty::{self, FaultyFile};
use super::pending::Pending;
use crate::metrics::Value;
use crate::private_file::Fingerprint;

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
pub(super) type State = Vec<Option<Fingerprint>>;

/// Files that are read again.
pub(super) trait Watched: Send + 'static {
    fn last_reload(&self) -> &'static Value;

    /// Where they are; nothing where there is nothing to look at.
    fn paths(&self) -> Vec<PathBuf>;
    /// Their state when they were last read, faulty or not.
    fn seen(&self) -> State;
    /// What the last reload found faulty, as the operator is told it.
    fn faulty(&self) -> Vec<FaultyFile>;
    /// Reads them again. `number` counts the signals; it is `None` where a file has
    /// changed. Only where it `may_wait` it may find that they have to settle.
    fn reload(&mut self, number: Option<u64>, may_wait: bool) -> Outcome;
}

/// How a reload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    /// The files do not go together; they may in a moment.
    Unsettled,
}

pub(super) fn state(paths: &[PathBuf]) -> State {
    paths.iter().map(|path| Fingerprint::at(path)).collect()
}

/// A signal, for the thread of one file.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) number: u64,
    /// Dropped when the file has been read.
    pub(super) _pending: Arc<Pending>,
}

pub(super) fn spawn<W: Watched>(name: &'static str, file: W) -> io::Result<Sender<Request>> {
    let (to, requests) = channel();
    if !file.paths().is_empty() {
        file.last_reload().set(1.0);
    }
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || watch(name, file, &requests))?;
    Ok(to)
}

fn watch<W: Watched>(name: &'static str, mut file: W, requests: &Receiver<Request>) {
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
        faulty::note(name, if succeeded { Vec::new() } else { file.faulty() });
        file.last_reload().set(if succeeded { 1.0 } else { 0.0 });
        failed = (!succeeded).then(Instant::now);
    }
}

/// `number=3 `, or nothing.
pub(super) fn shown(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| format!("number={number} "))
}
