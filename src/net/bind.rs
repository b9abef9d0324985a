//! Binding an address: to listen there, or to see whether that can be had.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use mio::net::{TcpListener, UnixListener};
use rustix::fs::{Access, Mode};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with, sockopt,
};

use super::address::Address;
use super::sockets::{self, Holder};
use crate::user::User;

/// Who may connect to a Unix socket that we bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// The mode of its file.
    pub mode: u32,
    /// The group of its file, where it is not this process's.
    pub group: Option<u32>,
}

impl Default for SocketAccess {
    fn default() -> Self {
        Self {
            mode: 0o660,
            group: None,
        }
    }
}

/// Why an address cannot be listened at. Displays as cause and remedy, without the address.
#[derive(Debug)]
pub struct BindError {
    address: Address,
    cause: Cause,
    /// Who listens there, where that can be seen.
    holder: Option<Holder>,
    /// Whose program does, where no more can be seen.
    user: Option<User>,
}

#[derive(Debug)]
enum Cause {
    System(io::Error),
    /// A file that is not a socket has the path.
    NotASocket,
    /// The group cannot be given to the socket.
    Group(io::Error),
}

impl BindError {
    fn new(address: &Address, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let is_in_use = error.kind() == ErrorKind::AddrInUse;
        let holder = is_in_use.then(|| sockets::holder_of(address)).flatten();
        let is_hidden = is_in_use && holder.is_none();
        let user = || sockets::meeting(address).into_iter().find_map(|at| at.user);
        Self {
            address: address.clone(),
            cause: Cause::System(error),
            holder,
            user: is_hidden.then(user).flatten().map(User),
        }
    }

    fn of_file(address: &Address, cause: Cause) -> Self {
        Self {
            address: address.clone(),
            cause,
            holder: None,
            user: None,
        }
    }

    /// Who listens there, where somebody does and that can be seen.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Whether somebody listens there.
    pub(crate) fn is_in_use(&self) -> bool {
        self.kind() == ErrorKind::AddrInUse
    }

    fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::System(error) | Cause::Group(error) => error.kind(),
            Cause::NotASocket => ErrorKind::AlreadyExists,
        }
    }

    /// How to find out who listens there, where this does not tell.
    fn hint(&self, how: &'static str) -> &'static str {
        if self.holder.is_some() { "" } else { how }
    }

    /// What to do where the system denies a port.
    fn tcp_remedy(&self, address: SocketAddr, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.address {
            Address::Tls(_) => "tls",
            Address::Redirect(_) => "redirect",
            _ => "plain",
        };
        match self.kind() {
            ErrorKind::AddrInUse => {
                let hint = self.hint(" (ss -ltnp names it)");
                write!(to, "stop what listens there{hint}, or choose another port")
            }
            ErrorKind::AddrNotAvailable => write!(
                to,
                "this machine has no such address, so write one that `ip address` shows, or {}",
                if address.is_ipv4() { "0.0.0.0" } else { "[::]" }
            ),
            ErrorKind::PermissionDenied if address.port() < 1024 => write!(
                to,
                "a port below 1024 takes a privilege that a service should not have, so let \
                 systemd open it: origin-guard print socket --role {role}"
            ),
            _ if address.is_ipv6() => {
                to.write_str("write an IPv4 address, where this machine or unit has no IPv6")
            }
            _ => write!(
                to,
                "choose another address, or let systemd open it: origin-guard print socket \
                 --role {role}"
            ),
        }
    }

    fn unix_remedy(&self, path: &Path, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = path.parent().unwrap_or(path).display();
        match (self.kind(), &self.cause) {
            (_, Cause::Group(_)) => to.write_str(
                "run it as a member of that group, or let a socket unit make the socket \
                 (SocketGroup=)",
            ),
            (_, Cause::NotASocket) => to.write_str("remove it, or choose another path"),
            (ErrorKind::AddrInUse, _) => {
                let hint = self.hint(" (ss -lxp names it)");
                write!(to, "stop what listens there{hint}, or choose another path")
            }
            (ErrorKind::NotFound | ErrorKind::NotADirectory, _) => write!(
                to,
                "make the folder {folder}, or choose a path in one that is there (a service has \
                 one by RuntimeDirectory=)"
            ),
            _ => write!(
                to,
                "let the user that runs origin-guard write to {folder}, or let a socket unit \
                 make the socket: origin-guard print socket"
            ),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::System(error) => {
                write!(to, "{error}")?;
                if let Some(holder) = &self.holder {
                    write!(to, ", by {holder}")?;
                } else if let Some(user) = self.user {
                    write!(to, ", by a program of user {user}")?;
                }
                to.write_str("; ")?;
            }
            Cause::Group(error) => {
                write!(to, "SOCKET_GROUP cannot be given to it: {error}; ")?;
            }
            Cause::NotASocket => to.write_str("a file that is not a socket is there; ")?,
        }
        match &self.address {
            Address::Unix(path) => self.unix_remedy(path, to),
            Address::Tcp(address) | Address::Tls(address) | Address::Redirect(address) => {
                self.tcp_remedy(*address, to)
            }
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::System(error) | Cause::Group(error) => Some(error),
            Cause::NotASocket => None,
        }
    }
}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Connections that may wait to be accepted: as many as the kernel allows, which lowers
/// this to net.core.somaxconn (listen(2)).
pub(super) const BACKLOG: i32 = i32::MAX;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Whether `address` can be listened at, without listening there. What is made is gone
/// again when this returns.
///
/// # Errors
///
/// Why it cannot be had.
pub fn try_bind(address: &Address, access: SocketAccess, v6_only: bool) -> Result<(), BindError> {
    match address {
        Address::Tcp(at) | Address::Tls(at) | Address::Redirect(at) => bind_tcp(*at, v6_only)
            .map(drop)
            .map_err(|error| BindError::new(address, error)),
        Address::Unix(path) => try_unix(address, path, access),
    }
}

fn try_unix(address: &Address, path: &Path, access: SocketAccess) -> Result<(), BindError> {
    let failed = |error: io::Error| BindError::new(address, error);
    if is_stale(address, path)? {
        // It is replaced when the guard starts, which takes the right to write to the folder.
        let folder = path.parent().unwrap_or(path);
        let allowed = rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK);
        return allowed.map_err(|error| failed(error.into()));
    }
    let bound = bind_unix(path, access);
    if bound.is_ok() {
        fs::remove_file(path).map_err(failed)?;
    }
    bound.map(drop)
}

pub(super) fn listen_tcp(
    address: &Address,
    at: SocketAddr,
    v6_only: bool,
) -> Result<TcpListener, BindError> {
    let failed = |error: io::Error| BindError::new(address, error);
    let socket = bind_tcp(at, v6_only).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_tcp(address: SocketAddr, v6_only: bool) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
    // What is left of earlier connections does not keep the port (ip(7)).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if v6_only {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

/// In place of a socket file that nothing listens on.
pub(super) fn listen_unix(path: &Path, access: SocketAccess) -> Result<UnixListener, BindError> {
    let address = Address::Unix(path.to_owned());
    if is_stale(&address, path)? {
        fs::remove_file(path).map_err(|error| BindError::new(&address, error))?;
    }
    let socket = bind_unix(path, access)?;
    rustix::net::listen(&socket, BACKLOG).map_err(|error| BindError::new(&address, error))?;
    Ok(UnixListener::from_std(socket.into()))
}

/// Binds with no access for anyone, and then grants `access`. The umask(2) is that of the
/// whole process; sockets are bound before other threads make files.
fn bind_unix(path: &Path, access: SocketAccess) -> Result<OwnedFd, BindError> {
    let address = Address::Unix(path.to_owned());
    let failed = |error: io::Error| BindError::new(&address, error);
    let umask = rustix::process::umask(Mode::from_raw_mode(0o777));
    let socket = bind_path(path);
    rustix::process::umask(umask);
    let socket = socket.map_err(failed)?;
    let granted = grant(path, access);
    if granted.is_err() {
        let _ = fs::remove_file(path);
    }
    granted.map_err(|cause| BindError::of_file(&address, cause))?;
    Ok(socket)
}

fn bind_path(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn grant(path: &Path, access: SocketAccess) -> Result<(), Cause> {
    if access.group.is_some() {
        std::os::unix::fs::chown(path, None, access.group).map_err(Cause::Group)?;
    }
    let mode = fs::Permissions::from_mode(access.mode);
    fs::set_permissions(path, mode).map_err(Cause::System)
}

/// Device and inode of the socket file at `path`.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether a socket file is there that nothing listens on.
fn is_stale(address: &Address, path: &Path) -> Result<bool, BindError> {
    let failed = |error: io::Error| BindError::new(address, error);
    match fs::symlink_metadata(path) {
        // Where the folder is missing, binding says so.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::of_file(address, Cause::NotASocket));
        }
        Ok(_) => {}
    }
    // Without waiting: a full backlog (`EAGAIN`) is a sign of life, too.
    match mio::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(failed(error)),
        _ => Err(failed(ErrorKind::AddrInUse.into())),
    }
}
