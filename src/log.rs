//! Events on stderr, one line each, `EVENT key=value ...`.
//!
//! A thread of its own writes them: whoever reads stderr slowly, or not at all, or has
//! let its disk fill up, does not hold up an answer. What does not fit into the queue
//! is counted, and the count logged.

mod access;
mod budget;

use std::fmt;
use std::hash::Hash;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::printable::Printable;
pub use access::AccessEntry;
pub(crate) use budget::network;
use budget::{Budget, PERIOD, Ruling};

/// Lines that wait for a slow stderr.
const QUEUE: usize = 1024;
/// How long the end of the process waits for a slow stderr.
const FLUSH: Duration = Duration::from_secs(1);

static LOGGER: OnceLock<Logger> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);
/// By the client's network, `None` where its address is not known.
static REFUSALS: Limited<Option<IpAddr>> = LazyLock::new(Mutex::default);
/// By the backend and the reason.
static FAILURES: Limited<(String, &'static str)> = LazyLock::new(Mutex::default);

type Limited<K> = LazyLock<Mutex<Budget<K>>>;

/// What a line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// The priority, `<4>` (sd-daemon(3)): journald notes the time by itself.
    Priority,
    /// The time in UTC (RFC 3339).
    Time,
}

enum Entry {
    Line(Vec<u8>),
    /// Lines are being left out; say how many in a second.
    Suppressing,
    Flush(Sender<()>),
}

/// Puts lines into the queue.
struct Logger {
    queue: SyncSender<Entry>,
    prefix: Prefix,
}

/// Starts the writing thread and has the `log` macros write to it.
///
/// # Errors
///
/// If the system denies the thread.
pub fn start(prefix: Prefix) -> std::io::Result<()> {
    let (queue, entries) = sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || write_entries(&entries, prefix))?;
    // A second start keeps the first queue.
    let logger = LOGGER.get_or_init(|| Logger { queue, prefix });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    Ok(())
}

/// Waits until what is logged so far is written, a second at the most.
pub fn flush() {
    let (done, written) = channel();
    if let Some(logger) = LOGGER.get()
        && logger.queue.try_send(Entry::Flush(done)).is_ok()
    {
        let _ = written.recv_timeout(FLUSH);
    }
}

/// Logs a refused request of `client`, whose address may not be known, unless there have
/// been many in this second.
pub fn refusal(client: Option<IpAddr>, event: fmt::Arguments<'_>) {
    limited(&REFUSALS, client.map(network), Level::Warn, event);
}

/// Logs a failure of `backend`, unless it has had many for this `reason` in this second.
pub fn backend_failure(backend: &str, reason: &'static str, event: fmt::Arguments<'_>) {
    let source = (backend.to_owned(), reason);
    limited(&FAILURES, source, Level::Warn, event);
}

/// Logs that `origin` refuses our secret, unless that has been logged often in this second.
pub fn secret_refused(origin: &str, event: fmt::Arguments<'_>) {
    let source = (origin.to_owned(), "secret_refused");
    limited(&FAILURES, source, Level::Error, event);
}

/// Logs that `client` sent a credential in the clear, unless it has done so often in this second.
pub fn leaked(client: &str, event: fmt::Arguments<'_>) {
    limited(
        &FAILURES,
        (client.to_owned(), "leaked"),
        Level::Error,
        event,
    );
}

/// Logs that the answer to a challenge cannot be read, unless that has been logged often in this
/// second: everybody may ask for one.
pub fn challenge_unreadable(event: fmt::Arguments<'_>) {
    let source = ("challenge".to_owned(), "unreadable");
    limited(&FAILURES, source, Level::Warn, event);
}

fn limited<K: Eq + Hash>(budget: &Limited<K>, source: K, level: Level, event: fmt::Arguments<'_>) {
    let ruling = lock(budget).rule(source, Instant::now());
    match ruling {
        Ruling::Write => log::log!(level, "{event}"),
        Ruling::LeaveOut => {}
        Ruling::LeaveOutFirst => {
            if let Some(logger) = LOGGER.get()
                && logger.queue.try_send(Entry::Suppressing).is_err()
            {
                // The queue is full. The next one that is left out asks again.
                let left_out = lock(budget).take_left_out();
                LOST.fetch_add(left_out, Relaxed);
            }
        }
    }
}

fn lock<K>(budget: &Limited<K>) -> MutexGuard<'_, Budget<K>> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(self.prefix, record.level(), record.args());
        if self.queue.try_send(Entry::Line(line)).is_err() {
            LOST.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {
        flush();
    }
}

/// The text of a line, with its end.
fn line(prefix: Prefix, level: Level, event: &fmt::Arguments<'_>) -> Vec<u8> {
    let mut line = match prefix {
        Prefix::Priority => format!("<{}>", priority(level)),
        Prefix::Time => {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            format!("{now} ")
        }
    };
    // Writing to memory cannot fail.
    let _ = fmt::write(&mut OneLine(&mut line), *event);
    line.push('\n');
    line.into_bytes()
}

/// Writes control characters as escapes, so that nothing which a file's name or an error
/// holds begins another line or reaches a terminal.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write!(self.0, "{}", Printable(text))
    }
}

/// sd-daemon(3), after syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn write_entries(entries: &Receiver<Entry>, prefix: Prefix) {
    let count = |event: &str, count: u64| {
        if count > 0 {
            let event = format_args!("{event} count={count}");
            write(&line(prefix, Level::Warn, &event));
        }
    };
    let mut report_at = None::<Instant>;
    loop {
        let wait = report_at.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        });
        let entry = entries.recv_timeout(wait);
        if report_at.is_some_and(|at| at <= Instant::now()) || matches!(entry, Ok(Entry::Flush(_)))
        {
            report_at = None;
            count("refusals_left_out", lock(&REFUSALS).take_left_out());
            count("failures_left_out", lock(&FAILURES).take_left_out());
        }
        match entry {
            Ok(Entry::Line(line)) => write(&line),
            Ok(Entry::Suppressing) => report_at = Some(Instant::now() + PERIOD),
            Ok(Entry::Flush(done)) => drop(done.send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        count("log_lines_lost", LOST.swap(0, Relaxed));
    }
}

fn write(line: &[u8]) {
    // A log that cannot be written is no reason to stop answering.
    let _ = std::io::stderr().write_all(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_on_one_line() {
        let event = "failed file=/a\nb\u{1b}[31m";
        let line = line(Prefix::Priority, Level::Error, &format_args!("{event}"));
        assert_eq!(line, b"<3>failed file=/a\\nb\\u{1b}[31m\n");
    }
}
