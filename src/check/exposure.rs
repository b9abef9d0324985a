//! Whether a backend of this machine can be reached around the guard.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::finding::{Finding, Level};
use crate::net::Address;
use crate::net::sockets::{self, OWN};

/// The finding where what answers at `address` lets others in than the guard.
pub(super) fn of(variable: &str, url: &str, address: &Address) -> Option<Finding> {
    if let Address::Unix(path) = address {
        return is_open(path).then(|| {
            Finding::new(
                Level::Warning,
                variable,
                format_args!("{url}: everyone on this machine may connect, without the secret"),
                format_args!(
                    "give it to the guard's group alone: chmod 660 {}",
                    path.display()
                ),
            )
        });
    }
    let wanted = address.socket_addr().filter(|at| is_own(at.ip()))?;
    let listening = sockets::listening(OWN);
    let socket = sockets::receiver(&listening, wanted)?;
    if socket.address.is_local() {
        return None;
    }
    let holder = sockets::holder(socket.inode);
    let holder = holder.map_or("what answers there".to_owned(), |holder| holder.to_string());
    let port = wanted.port();
    Some(Finding::new(
        Level::Warning,
        variable,
        format_args!(
            "{url}: {holder} listens at {}, where other machines reach it without the secret",
            socket.address
        ),
        format_args!(
            "have it listen at 127.0.0.1:{port} alone (in Node: listen({port}, \"127.0.0.1\")), \
             or at a Unix socket"
        ),
    ))
}

/// Whether everyone may write to the socket, and gets to it (unix(7)).
fn is_open(path: &Path) -> bool {
    let grants = |path: &Path, permission: u32| {
        fs::metadata(path).is_ok_and(|metadata| metadata.mode() & permission != 0)
    };
    let mut folders = path.ancestors().skip(1);
    grants(path, 0o002) && folders.all(|folder| grants(folder, 0o001))
}

/// Whether this machine has the address, which then can be bound to.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}
