//! Whether a backend of this machine can be reached around the guard.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::sockets::{self, Listening, OWN};
use crate::finding::{Finding, Level};
use crate::net::Address;

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
    let socket = receiver(&listening, wanted)?;
    if socket.address.is_local() {
        return None;
    }
    let holder = sockets::holder(socket.inode);
    let holder = holder.map_or("what answers there".to_owned(), |holder| {
        format!("{} (process {})", holder.name, holder.pid)
    });
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

/// Where a connection to `wanted` arrives: at the socket that is bound to just that, else
/// at a wildcard.
fn receiver(listening: &[Listening], wanted: SocketAddr) -> Option<&Listening> {
    let bound = |address: SocketAddr| {
        let exact = Address::Tcp(address);
        listening.iter().find(|socket| socket.address == exact)
    };
    let port = wanted.port();
    let v4 = || wanted.is_ipv4().then(|| bound(([0; 4], port).into()))?;
    // It takes IPv4 too, unless it is made not to; then nothing answers there.
    bound(wanted)
        .or_else(v4)
        .or_else(|| bound(([0u16; 8], port).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_socket_answers() {
        let socket = |address: &str| Listening {
            address: Address::Tcp(address.parse().expect("an address")),
            inode: 0,
        };
        let wanted = "127.0.0.1:3000".parse().expect("an address");
        let at = |list: &[Listening]| receiver(list, wanted).map(|at| at.address.to_string());
        let v6 = [socket("[::]:3000"), socket("0.0.0.0:3001")];
        assert_eq!(at(&v6).as_deref(), Some("[::]:3000"));
        let all = [
            v6[0].clone(),
            socket("0.0.0.0:3000"),
            socket("127.0.0.1:3000"),
        ];
        assert_eq!(at(&all).as_deref(), Some("127.0.0.1:3000"));
        assert_eq!(at(&all[..2]).as_deref(), Some("0.0.0.0:3000"));
        assert_eq!(at(&[]), None);
    }
}
