//! A way in for this process alone: how it finds out whether it still answers.
//!
//! An abstract Unix socket (unix(7)) needs no file and no network, so that it is there
//! in every sandbox. Anyone on the machine may knock at one; whoever does not come from
//! the name that this process has just taken is sent away.

use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::{Mutex, PoisonError};

use mio::net::UnixListener;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with,
};

use crate::random;

/// The two ends' names, made of randomness.
pub struct SelfCheckSocket {
    listener: String,
    /// Who is let in; another one for each call.
    caller: Mutex<String>,
}

impl fmt::Debug for SelfCheckSocket {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("SelfCheckSocket").finish_non_exhaustive()
    }
}

impl SelfCheckSocket {
    /// Makes up a name; nothing listens yet.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            listener: random::name()?,
            caller: Mutex::default(),
        })
    }

    /// Connects. One caller at a time: the next one ends the welcome of the last.
    ///
    /// # Errors
    ///
    /// If nothing listens, or the system denies a socket.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let name = random::name()?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(
            &socket,
            &SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        )?;
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = name;
        let listener = SocketAddrUnix::new_abstract_name(self.listener.as_bytes())?;
        connect(&socket, &listener)?;
        Ok(socket.into())
    }

    pub(crate) fn bind(&self) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&self.listener)?)
    }

    pub(crate) fn admits(&self, peer: &SocketAddr) -> bool {
        let caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        !caller.is_empty() && peer.as_abstract_name() == Some(caller.as_bytes())
    }
}
