//! Asks a running guard at its `ADMIN_LISTEN`.

mod status;
mod whose;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use crate::http1::response::{Asked, ResponseBody, ResponseOutcome, read_response};
use crate::http1::scan::Scan;
use crate::net::Address;

pub use status::{Status, StatusError, status};
pub(crate) use whose::listener;
pub use whose::{Doubt, Whose};

/// How long a guard may take for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest head and largest body of an answer, in bytes.
const HEAD: usize = 65536;
const BODY: u64 = 1 << 20;
/// The socket that the printed unit makes.
pub const OF_UNIT: &str = "/run/origin-guard/admin.sock";

/// What a guard answers.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Whose process has answered.
    whose: Whose,
    /// Which process it is, where the kernel says so.
    process: Option<u32>,
}

/// Why a guard is not asked. Displays as what follows its address, with what to do.
#[derive(Debug)]
pub enum AskError {
    /// TLS is spoken there.
    Tls,
    /// Nothing listens there.
    Connect(io::Error),
    /// It does not answer in time, or breaks off.
    Answer(io::Error),
    /// The answer is not HTTP, or too large.
    Malformed(&'static str),
}

impl fmt::Display for AskError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => to.write_str(
                "speaks TLS; add a Unix socket or a plain address of this machine to ADMIN_LISTEN",
            ),
            // The unit's socket is in a folder that only root may enter.
            Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(to, "cannot be reached: {error}; run this as root")
            }
            Self::Connect(error) => write!(
                to,
                "cannot be reached: {error}; look whether it runs (systemctl status origin-guard), \
                 and whether its ADMIN_LISTEN has this address"
            ),
            Self::Answer(error) if error.kind() == io::ErrorKind::WouldBlock => write!(
                to,
                "does not answer within {} s; look at its log (journalctl -u origin-guard), and \
                 restart it if it hangs",
                PATIENCE.as_secs()
            ),
            Self::Answer(error) => write!(
                to,
                "does not answer: {error}; look whether this is its ADMIN_LISTEN, and at its log"
            ),
            Self::Malformed(reason) => write!(
                to,
                "is not a guard: its answer is faulty ({}); name the ADMIN_LISTEN of a guard",
                reason.replace('_', " ")
            ),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Answer(error) => Some(error),
            Self::Tls | Self::Malformed(_) => None,
        }
    }
}

/// Asks for `path` at `address`.
///
/// # Errors
///
/// If nothing listens there, or what does is not a guard that answers in time.
fn get(address: &Address, path: &str) -> Result<Answer, AskError> {
    let until = Instant::now() + PATIENCE;
    let ((status, body), whose, process) = match address {
        Address::Tcp(address) => {
            let address = reachable(*address);
            let before = listener(address);
            let stream = TcpStream::connect_timeout(&address, PATIENCE);
            let stream = stream.map_err(AskError::Connect)?;
            let limit = |left| {
                stream.set_write_timeout(left)?;
                stream.set_read_timeout(left)
            };
            let said = ask(&stream, limit, path, until)?;
            (said, Whose::of_tcp(before, listener(address)), None)
        }
        Address::Unix(path_of_socket) => {
            let stream = connect_unix(path_of_socket)?;
            let limit = |left| {
                stream.set_write_timeout(left)?;
                stream.set_read_timeout(left)
            };
            let said = ask(&stream, limit, path, until)?;
            let peer = socket_peercred(&stream).ok();
            let whose = Whose::of_unix(&stream, path_of_socket);
            let process = peer.and_then(|peer| u32::try_from(peer.pid.as_raw_pid()).ok());
            (said, whose, process)
        }
        Address::Tls(_) | Address::Redirect(_) => return Err(AskError::Tls),
    };
    Ok(Answer {
        status,
        body,
        whose,
        process,
    })
}

/// Does not wait for ever where nobody accepts and the backlog is full.
fn connect_unix(path: &Path) -> Result<UnixStream, AskError> {
    let connected = || {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        rustix::net::connect(&socket, &address)?;
        Ok(UnixStream::from(socket))
    };
    connected().map_err(|error: io::Error| match error.kind() {
        // It listens, and takes no connection in this time.
        io::ErrorKind::WouldBlock => AskError::Answer(error),
        _ => AskError::Connect(error),
    })
}

/// Whoever listens at all addresses is asked at loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Status and body.
fn ask<S>(
    stream: &S,
    limit: impl Fn(Option<Duration>) -> io::Result<()>,
    path: &str,
    until: Instant,
) -> Result<(u16, Vec<u8>), AskError>
where
    for<'a> &'a S: Read + Write,
{
    let mut stream = stream;
    let wait = || {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // A timeout of zero would be none, and who sends byte by byte meets no other.
            return Err(AskError::Answer(io::ErrorKind::WouldBlock.into()));
        }
        limit(Some(left)).map_err(AskError::Answer)
    };
    wait()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes());
    sent.map_err(AskError::Answer)?;
    let (mut bytes, mut scan) = (Vec::new(), Scan::default());
    let (status, length, body) = loop {
        let head = read_response(&bytes, &mut scan, HEAD, Asked::default(), |head| {
            (head.status, head.length, head.body)
        });
        match head {
            ResponseOutcome::Complete(head) => break head,
            ResponseOutcome::Malformed(error) => return Err(AskError::Malformed(error.reason)),
            ResponseOutcome::Partial => {}
        }
        wait()?;
        read_more(stream, &mut bytes)?;
    };
    // A guard says how long its answers are.
    let wanted = match body {
        ResponseBody::None => 0,
        ResponseBody::Sized(wanted) if wanted <= BODY => wanted,
        _ => return Err(AskError::Malformed("length")),
    };
    let mut body = bytes.split_off(length);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    while body.len() < wanted {
        wait()?;
        read_more(stream, &mut body)?;
    }
    body.truncate(wanted);
    Ok((status, body))
}

fn read_more(mut stream: impl Read, to: &mut Vec<u8>) -> Result<(), AskError> {
    let mut part = [0; 4096];
    match stream.read(&mut part).map_err(AskError::Answer)? {
        0 => Err(AskError::Answer(io::ErrorKind::UnexpectedEof.into())),
        count => {
            to.extend_from_slice(&part[..count]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard that always has another byte.
    struct ByteByByte;

    impl Read for &ByteByByte {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[0] = b'H';
            Ok(1)
        }
    }

    impl Write for &ByteByByte {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_sends_byte_by_byte_has_no_more_time() {
        let until = Instant::now() + Duration::from_millis(1);
        let is_over = || Instant::now() >= until;
        // It has taken that long when the request is sent.
        let limit = |_| {
            while !is_over() {
                std::hint::spin_loop();
            }
            Ok(())
        };
        let Err(AskError::Answer(error)) = ask(&ByteByByte, limit, "/status", until) else {
            panic!("it waits for more");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
