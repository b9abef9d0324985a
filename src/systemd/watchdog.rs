//! Tells systemd that the program is alive, once it has asked itself: `WATCHDOG=1` and
//! `STATUS=` (`sd_notify(3)`, `WatchdogSec=` in `systemd.service(5)`).

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::SelfCheckSocket;
use crate::systemd;

/// Longest time between two looks.
const LONGEST: Duration = Duration::from_secs(10);
const QUESTION: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// What the answer to it begins with.
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// Asks each of the `workers` over `socket` from now on, on a thread of its own, twice in
/// the time that systemd allows, and tells systemd `status`; nothing where systemd does not listen.
///
/// # Errors
///
/// If the system denies the thread.
pub fn start(
    socket: Arc<SelfCheckSocket>,
    workers: usize,
    status: impl Fn() -> String + Send + 'static,
) -> io::Result<()> {
    if !systemd::listens() {
        return Ok(());
    }
    let period = systemd::watchdog().map_or(LONGEST, |allowed| LONGEST.min(allowed / 2));
    std::thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || {
            loop {
                let until = Instant::now() + period;
                match (0..workers).try_for_each(|_| ask(&socket, until)) {
                    Ok(()) => systemd::alive(&status()),
                    Err(error) => log::error!("watchdog_unanswered error=\"{error}\""),
                }
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
        })?;
    Ok(())
}

/// One question on a connection of its own; each goes to the next worker.
fn ask(socket: &SelfCheckSocket, until: Instant) -> io::Result<()> {
    let mut stream = socket.connect()?;
    let left = until.saturating_duration_since(Instant::now());
    // A timeout of zero would be none.
    let left = Some(left.max(Duration::from_millis(1)));
    stream.set_write_timeout(left)?;
    stream.set_read_timeout(left)?;
    stream.write_all(QUESTION)?;
    let mut start = [0; GOOD.len()];
    stream.read_exact(&mut start)?;
    if start != GOOD {
        return Err(io::Error::other("the answer is not 200"));
    }
    Ok(())
}
