//! What systemd hands to the process and hears from it: `sd_listen_fds(3)`, `sd_notify(3)`.
//!
//! Without systemd nothing is there to take and nobody to tell, and all of this does
//! nothing.

use std::io;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::server::Inherited;

/// Takes the sockets that a socket unit passes. Only once, and before any other thread
/// runs: it takes their variables out of the environment.
///
/// # Errors
///
/// Which of them is no listening TCP or Unix socket.
pub fn inherited_sockets() -> Result<Vec<Inherited>, String> {
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .filter_map(|index| inherited_socket(&mut passed, index).transpose())
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

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("notify_failed error=\"{error}\"");
    }
}
