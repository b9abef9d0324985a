//! Events on stderr, one line each, `EVENT key=value ...`.
//!
//! A thread of its own writes them: whoever reads stderr slowly, or not at all, or has
//! let its disk fill up, does not hold up an answer. What does not fit into the queue
//! is counted, and the count logged.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter};

/// Lines that wait for a slow stderr.
const QUEUE: usize = 1024;
/// Lines about refused requests in one second.
const REFUSALS_A_SECOND: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);
/// How long the end of the process waits for a slow stderr.
const FLUSH: Duration = Duration::from_secs(1);

static QUEUE_IN: OnceLock<SyncSender<Entry>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);
static WINDOW: Mutex<Window> = Mutex::new(Window {
    since: None,
    written: 0,
    left_out: 0,
});

enum Entry {
    Line(Vec<u8>),
    /// Lines are being left out; say how many in a second.
    Suppressing,
    Flush(std::sync::mpsc::Sender<()>),
}

/// The second that refusals are counted in.
struct Window {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

/// Starts the writing thread and has the `log` macros write to it.
///
/// With `journal` each line begins with its priority, `<4>` (sd-daemon(3)).
///
/// # Errors
///
/// If the system denies the thread.
pub fn start(journal: bool) -> std::io::Result<()> {
    let (queue, entries) = sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || write_entries(&entries, journal))?;
    // A second start keeps the first queue.
    let _ = QUEUE_IN.set(queue);
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .target(env_logger::Target::Pipe(Box::new(QueueWriter)))
        .write_style(env_logger::WriteStyle::Never)
        .format(move |to, record| {
            if journal {
                write!(to, "<{}>", priority(record.level()))?;
            }
            writeln!(to, "{}", record.args())
        })
        .init();
    Ok(())
}

/// Waits until what is logged so far is written, a second at the most.
pub fn flush() {
    let (done, written) = channel();
    if let Some(queue) = QUEUE_IN.get()
        && queue.try_send(Entry::Flush(done)).is_ok()
    {
        let _ = written.recv_timeout(FLUSH);
    }
}

/// Logs a refused request, unless there have been many in this second.
pub fn refusal(event: fmt::Arguments<'_>) {
    if may_log_refusal(Instant::now()) {
        log::warn!("{event}");
    }
}

fn may_log_refusal(now: Instant) -> bool {
    let mut window = WINDOW.lock().unwrap_or_else(PoisonError::into_inner);
    let current = window
        .since
        .is_some_and(|since| now.saturating_duration_since(since) < SECOND);
    if !current {
        window.since = Some(now);
        window.written = 0;
    }
    if window.written < REFUSALS_A_SECOND {
        window.written += 1;
        return true;
    }
    window.left_out += 1;
    if window.left_out == 1
        && let Some(queue) = QUEUE_IN.get()
        && queue.try_send(Entry::Suppressing).is_err()
    {
        // The queue is full; the next one asks again.
        window.left_out = 0;
        LOST.fetch_add(1, Relaxed);
    }
    false
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

struct QueueWriter;

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let entry = Entry::Line(line.to_vec());
        if QUEUE_IN
            .get()
            .is_none_or(|queue| queue.try_send(entry).is_err())
        {
            LOST.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_entries(entries: &Receiver<Entry>, journal: bool) {
    let prefix = if journal { "<4>" } else { "" };
    let mut report_at = None::<Instant>;
    loop {
        let wait = report_at.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        });
        let entry = entries.recv_timeout(wait);
        if report_at.is_some_and(|at| at <= Instant::now()) || matches!(entry, Ok(Entry::Flush(_)))
        {
            report_at = None;
            let mut window = WINDOW.lock().unwrap_or_else(PoisonError::into_inner);
            let left_out = std::mem::take(&mut window.left_out);
            drop(window);
            if left_out > 0 {
                write(format!("{prefix}refusals_left_out count={left_out}\n").as_bytes());
            }
        }
        match entry {
            Ok(Entry::Line(line)) => write(&line),
            Ok(Entry::Suppressing) => report_at = Some(Instant::now() + SECOND),
            Ok(Entry::Flush(done)) => drop(done.send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let lost = LOST.swap(0, Relaxed);
        if lost > 0 {
            write(format!("{prefix}log_lines_lost count={lost}\n").as_bytes());
        }
    }
}

fn write(line: &[u8]) {
    // A log that cannot be written is no reason to stop answering.
    let _ = std::io::stderr().write_all(line);
}
