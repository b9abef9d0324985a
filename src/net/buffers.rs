//! What the kernel may hold for a connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::sockopt;
use socket2::SockRef;

/// What the kernel may hold of answers that a peer does not take, and of requests that
/// are not read, in bytes and for each connection. Grown by itself it would be megabytes.
const SMALL: usize = 8 * 1024;
/// What a Unix socket may hold where whole files pass through it.
const UNIX_LARGE: usize = 64 * 1024;
/// What may wait in the kernel without being on its way, in bytes: enough for the next
/// round, and all that is lost when a peer stops reading (tcp(7), `TCP_NOTSENT_LOWAT`).
const NOT_SENT: u32 = 128 * 1024;

/// What a send buffer is set to when memory is short. The kernel doubles it.
const FIXED: usize = 48 * 1024;
/// Sizes at which a send buffer is tried, to find out what is in it.
const TRIED: [usize; 5] = [192 * 1024, 144 * 1024, 96 * 1024, 48 * 1024, 24 * 1024];
/// A send buffer is counted as no more than this, until memory is short: what waits is
/// bounded by [`NOT_SENT`], and what is under way is acknowledged soon.
const COUNTED: usize = 2 * NOT_SENT as usize;

/// How the kernel's buffers of connections are sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketBuffers {
    /// Small ones, for answers and requests that are small.
    Small,
    /// As the path needs them. A size that were set would fix the window scale, and with
    /// it the throughput over a long path, for good.
    Autotuned,
}

impl SocketBuffers {
    /// Settles a TCP listener, from which connections have these settings (tcp(7),
    /// socket(7)), or a connection. Peers that take nothing for `patience` are given up
    /// by the kernel too.
    pub(super) fn settle_tcp(self, socket: impl AsFd, patience: Duration) -> io::Result<()> {
        match self {
            Self::Small => {
                sockopt::set_socket_send_buffer_size(&socket, SMALL)?;
                sockopt::set_socket_recv_buffer_size(&socket, SMALL)?;
            }
            Self::Autotuned => limit_not_sent(&socket)?,
        }
        let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&socket, milliseconds)?;
        Ok(())
    }

    /// Settles a connection over a Unix socket, which has no buffer size from its
    /// listener (unix(7)).
    pub(super) fn settle_unix(self, stream: impl AsFd) -> io::Result<()> {
        let size = match self {
            Self::Small => SMALL,
            Self::Autotuned => UNIX_LARGE,
        };
        Ok(sockopt::set_socket_send_buffer_size(stream, size)?)
    }
}

/// Has a TCP connection take no more than it can soon send.
///
/// # Errors
///
/// What setsockopt(2) says.
pub fn limit_not_sent(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_notsent_lowat(NOT_SENT)
}

/// What bytes that have come and are not read (`FIONREAD`, tcp(7)) cost: up to twice as
/// many for the kernel's own bookkeeping, and no more than `SO_RCVBUF`, by which it counts
/// them itself.
pub(super) fn unread(socket: impl AsFd) -> usize {
    let bytes = ioctl_fionread(&socket).unwrap_or_default();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes == 0 {
        return 0;
    }
    let most = sockopt::socket_recv_buffer_size(socket).unwrap_or(usize::MAX);
    bytes.saturating_mul(2).min(most)
}

/// Bytes that the kernel may hold of what has been written to a socket that takes no more
/// (`SO_SNDBUF`, socket(7)).
pub(super) fn untaken(socket: impl AsFd) -> usize {
    sockopt::socket_send_buffer_size(socket).map_or(COUNTED, |size| size.min(COUNTED))
}

/// Bounds for good what the kernel may hold of what is written to a socket, and returns
/// what it holds at present. It says so by whether more would have room (poll(2)): a TCP
/// socket is writable while no more than two thirds of its buffer are used.
pub(super) fn bound_untaken(socket: impl AsFd) -> usize {
    let before = sockopt::socket_send_buffer_size(&socket).unwrap_or(COUNTED);
    // A Unix socket has no such bound.
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(u32::MAX);
    let mut held = before;
    for size in TRIED {
        let _ = sockopt::set_socket_send_buffer_size(&socket, size);
        let size = sockopt::socket_send_buffer_size(&socket).unwrap_or(before);
        if !has_room(&socket) {
            break;
        }
        held = size / 3 * 2;
    }
    let _ = sockopt::set_socket_send_buffer_size(&socket, FIXED);
    let _ = limit_not_sent(&socket);
    held.min(before)
}

fn has_room(socket: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&socket, PollFlags::OUT)];
    let now = Timespec::default();
    poll(&mut asked, Some(&now)).is_ok() && asked[0].revents().contains(PollFlags::OUT)
}
