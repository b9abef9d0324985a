//! What systemd hands to the process and hears from it: `sd_listen_fds(3)`, `sd_notify(3)`.
//!
//! Without systemd nothing is there to take and nobody to tell, and all of this does
//! nothing.

pub mod watchdog;

use std::io;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::net::Inherited;

/// A socket of a socket unit.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Its `FileDescriptorName=`.
    pub name: String,
    /// The socket.
    pub socket: Inherited,
}

/// Takes the sockets that a socket unit passes, each with its `FileDescriptorName=`.
/// Only once, and before any other thread runs: it takes their variables out of the
/// environment.
///
/// # Errors
///
/// Which of them is no listening TCP or Unix socket.
pub fn inherited_sockets() -> Result<Vec<InheritedSocket>, String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .zip(names.split(':').chain(std::iter::repeat("")))
        .filter_map(|(index, name)| {
            let socket = inherited_socket(&mut passed, index).transpose()?;
            let name = name.to_owned();
            Some(socket.map(|socket| InheritedSocket { name, socket }))
        })
        .collect::<io::Result<_>>()
        .map_err(|error| format!("to take a socket of the socket unit: {error}"))
}

fn inherited_socket(passed: &mut ListenFd, index: usize) -> io::Result<Option<Inherited>> {
    if let Ok(Some(listener)) = passed.take_unix_listener(index) {
        return Ok(Some(Inherited::Unix(listener)));
    }
    Ok(passed.take_tcp_listener(index)?.map(Inherited::Tcp))
}

/// `READY=1`: it listens, or has reloaded.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// `RELOADING=1`, with the time that `Type=notify-reload` asks for.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// `STOPPING=1`: it drains.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Whether somebody hears what is told.
#[must_use]
pub fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How often `WATCHDOG=1` must come at the least; `None` where nobody waits for it.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// `WATCHDOG=1`, with a line for `systemctl status`.
pub fn alive(status: &str) {
    tell(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("notify_failed error=\"{error}\"");
    }
}
