//! What systemd hands to the process and hears from it: `sd_listen_fds(3)`, `sd_notify(3)`.
//!
//! Without systemd nothing is there to take and nobody to tell, and all of this does
//! nothing.

pub(crate) mod programs;
pub mod watchdog;

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::fs::fstat;
use rustix::net::sockopt::socket_acceptconn;
use sd_notify::NotifyState;

use crate::finding::{Finding, Level};
use crate::net::Inherited;

/// A socket of a socket unit.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Its `FileDescriptorName=`.
    pub name: String,
    /// The socket.
    pub socket: Inherited,
}

impl InheritedSocket {
    /// What is wrong with who may connect, where something is. systemd's default for
    /// `SocketMode=` is 0666.
    #[must_use]
    pub fn warning(&self) -> Option<Finding> {
        let Inherited::Unix(listener) = &self.socket else {
            return None;
        };
        let address = listener.local_addr().ok()?;
        let path = address.as_pathname()?;
        let mode = std::fs::metadata(path).ok()?.mode();
        (mode & 0o002 != 0).then(|| {
            Finding::new(
                Level::Warning,
                "socket unit",
                format_args!("everyone on this machine may connect to {}", path.display()),
                "set SocketMode=0660 and SocketGroup= to the group of your proxy in it",
            )
        })
    }
}

/// Why a socket of a socket unit is not taken.
#[derive(Debug)]
pub struct InheritError {
    /// Its number among those that were passed, from 1.
    number: usize,
    /// Its `FileDescriptorName=`.
    name: String,
    error: io::Error,
}

impl fmt::Display for InheritError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            name,
            error,
        } = self;
        write!(
            to,
            "socket {number} of the socket unit ({name:?}) cannot be taken: {error}; "
        )?;
        to.write_str(
            "it must be a listening TCP or Unix stream socket (ListenStream=, and Accept=no; \
             no -a with systemd-socket-activate)",
        )
    }
}

impl Error for InheritError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Takes the sockets that a socket unit passes, each with its `FileDescriptorName=`.
/// Only once, and before any other thread runs: it takes their variables out of the
/// environment.
///
/// # Errors
///
/// Which of them is not a listening TCP or Unix socket.
pub fn inherited_sockets() -> Result<Vec<InheritedSocket>, InheritError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .zip(names.split(':').chain(std::iter::repeat("")))
        .filter_map(|(index, name)| {
            let name = name.to_owned();
            match inherited_socket(&mut passed, index) {
                Ok(socket) => Some(Ok(InheritedSocket {
                    name,
                    socket: socket?,
                })),
                Err(error) => Some(Err(InheritError {
                    number: index + 1,
                    name,
                    error,
                })),
            }
        })
        .collect()
}

fn inherited_socket(passed: &mut ListenFd, index: usize) -> io::Result<Option<Inherited>> {
    let socket = match passed.take_unix_listener(index) {
        Ok(socket) => socket.map(Inherited::Unix),
        Err(_) => passed.take_tcp_listener(index)?.map(Inherited::Tcp),
    };
    let listens = match &socket {
        Some(Inherited::Unix(socket)) => socket_acceptconn(socket)?,
        Some(Inherited::Tcp(socket) | Inherited::Tls(socket) | Inherited::Redirect(socket)) => {
            socket_acceptconn(socket)?
        }
        None => true,
    };
    if listens {
        Ok(socket)
    } else {
        Err(io::Error::other("it does not listen"))
    }
}

/// Whether stderr is the journal: `JOURNAL_STREAM` holds its device and inode
/// (systemd.exec(5)). A child whose stderr goes elsewhere inherits the variable too.
#[must_use]
pub fn stderr_is_journal() -> bool {
    is_journal(io::stderr())
}

/// Whether stdout is the journal.
#[must_use]
pub fn stdout_is_journal() -> bool {
    is_journal(io::stdout())
}

fn is_journal(file: impl AsFd) -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Ok(found) = fstat(file.as_fd()) else {
        return false;
    };
    stream == format!("{}:{}", found.st_dev, found.st_ino)
}

/// Whether systemd has started this very process (`SYSTEMD_EXEC_PID`, systemd.exec(5)).
#[must_use]
pub fn is_started_by_systemd() -> bool {
    let pid = std::env::var("SYSTEMD_EXEC_PID").unwrap_or_default();
    pid == std::process::id().to_string()
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
