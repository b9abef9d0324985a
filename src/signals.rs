//! Signals: as bytes on a socket, or survived.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// Has a write past a file-size limit (setrlimit(2)) fail with EFBIG; by default it ends
/// the process with SIGXFSZ.
///
/// # Errors
///
/// If the system denies the handler.
pub fn survive_file_size_limits() -> io::Result<()> {
    // A handler that nobody asks is the safe way to say "ignore".
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(())
}

/// A socket on which a byte arrives with each SIGTERM and SIGINT.
///
/// # Errors
///
/// If the system denies the sockets or the handlers.
pub fn stop_requests() -> io::Result<UnixStream> {
    let (requests, handler) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        let handler = std::os::fd::AsFd::as_fd(&handler).try_clone_to_owned()?;
        signal_hook::low_level::pipe::register(signal, handler)?;
    }
    Ok(requests)
}

/// A socket on which a byte arrives with each SIGHUP; reading from it blocks.
///
/// # Errors
///
/// If the system denies the sockets or the handler.
pub fn reload_requests() -> io::Result<std::os::unix::net::UnixStream> {
    let (requests, handler) = std::os::unix::net::UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGHUP, handler)?;
    Ok(requests)
}
