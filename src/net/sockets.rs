//! Which sockets of this machine listen, and who holds them (`proc_net(5)`, `proc_pid_fd(5)`).

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use mio::net::UnixStream;
use rustix::net::sockopt::socket_peercred;

use super::address::Address;
use crate::printable::Printable;

/// Where this process sees them.
pub(crate) const OWN: &str = "/proc/self/net";

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) address: Address,
    pub(crate) inode: u64,
    /// Who has opened it; not known of a Unix socket.
    pub(crate) user: Option<u32>,
}

/// `LISTEN` in the column `st`.
const LISTEN: &str = "0A";
/// `__SO_ACCEPTCON` in the column `Flags`: it listens.
const ACCEPTS: u32 = 0x1_0000;

/// All that listen in the network whose tables are in the folder `net`. What cannot be read
/// tells of none.
pub(crate) fn listening(net: &str) -> Vec<Listening> {
    let table = |name: &str| fs::read_to_string(Path::new(net).join(name)).unwrap_or_default();
    let mut found = Vec::new();
    for name in ["tcp", "tcp6"] {
        found.extend(table(name).lines().skip(1).filter_map(tcp));
    }
    found.extend(table("unix").lines().skip(1).filter_map(unix));
    found
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode`
fn tcp(line: &str) -> Option<Listening> {
    let mut columns = line.split_whitespace();
    let local = columns.nth(1)?;
    let state = columns.nth(1)?;
    let user = columns.nth(3)?.parse().ok();
    let inode = columns.nth(1)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = Address::Tcp(SocketAddr::new(address(ip)?, port));
    (state == LISTEN).then_some(Listening {
        address,
        inode,
        user,
    })
}

/// Words of 32 bits, each in the machine's own order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// `Num RefCount Protocol Flags Type St Inode Path`
fn unix(line: &str) -> Option<Listening> {
    let mut columns = line.splitn(8, ' ').filter(|column| !column.is_empty());
    let flags = u32::from_str_radix(columns.nth(3)?, 16).ok()?;
    let rest = columns.nth(2)?;
    // The inode is padded, so the path may be in the same column.
    let (inode, path) = match columns.next() {
        Some(path) => (rest, path),
        None => rest.trim_start().split_once(' ')?,
    };
    let is_path = path.starts_with('/') && flags & ACCEPTS != 0;
    is_path.then_some(Listening {
        address: Address::Unix(path.into()),
        inode: inode.trim().parse().ok()?,
        user: None,
    })
}

/// Where a connection to `wanted` arrives: at the socket that is bound to just that, else
/// at a wildcard.
pub(crate) fn receiver(listening: &[Listening], wanted: SocketAddr) -> Option<&Listening> {
    // The kernel delivers what is sent to ::ffff:127.0.0.1 as IPv4.
    let ip = wanted.ip().to_canonical();
    let bound = |ip: IpAddr| {
        let is_it = |own: SocketAddr| own.ip().to_canonical() == ip && own.port() == wanted.port();
        let mut sockets = listening.iter();
        sockets.find(|socket| socket.address.socket_addr().is_some_and(is_it))
    };
    let v4 = || ip.is_ipv4().then(|| bound(Ipv4Addr::UNSPECIFIED.into()))?;
    // It takes IPv4 too, unless it is made not to; then nothing answers there.
    bound(ip)
        .or_else(v4)
        .or_else(|| bound(Ipv6Addr::UNSPECIFIED.into()))
}

/// The sockets that the process `pid` holds, by inode. Another user's are not seen.
pub(crate) fn held_by(pid: u32) -> HashSet<u64> {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return HashSet::new();
    };
    let inode = |file: fs::DirEntry| {
        let target = fs::read_link(file.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?;
        inode.strip_suffix(']')?.parse().ok()
    };
    files.filter_map(Result::ok).filter_map(inode).collect()
}

/// A process. Displays as its name and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Its name, as `ps` shows it.
    pub(crate) name: String,
}

impl Holder {
    /// As whom it runs (`proc_pid_status(5)`): its effective user.
    pub(crate) fn user(&self) -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        users.split_whitespace().nth(1)?.parse().ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever starts a process chooses its name.
        write!(to, "{} (process {})", Printable(&self.name), self.pid)
    }
}

/// What listens where it keeps `address` from being bound.
pub(crate) fn meeting(address: &Address) -> Vec<Listening> {
    let mut found = listening(OWN);
    found.retain(|other| address.meets(&other.address));
    found
}

/// Who keeps `address` from being bound; `None` where that is another user's process.
pub(crate) fn holder_of(address: &Address) -> Option<Holder> {
    let mut others = meeting(address).into_iter();
    if let Address::Unix(path) = address {
        // Strangers name their sockets, and a name with a line break in it looks like two.
        let own = held_by(listener_at(path)?);
        let other = others.find(|other| own.contains(&other.inode))?;
        return holder(other.inode);
    }
    others.find_map(|other| holder(other.inode))
}

/// Whether another one than the process `pid` holds a part of the port of `address`, as one
/// that listens at 127.0.0.2 does of all addresses.
pub(crate) fn is_shared(address: &Address, pid: u32) -> bool {
    let own = held_by(pid);
    let is_another = |other: &Listening| !own.contains(&other.inode);
    address.socket_addr().is_some() && meeting(address).iter().any(is_another)
}

/// The process that has begun to listen at the socket `path` (`SO_PEERCRED`, unix(7)); `None`
/// where that is not seen from here, or its backlog is full.
fn listener_at(path: &Path) -> Option<u32> {
    let stream = UnixStream::connect(path).ok()?;
    let peer = socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// All processes that can be seen, in the order of their numbers.
fn processes() -> Vec<Holder> {
    let Ok(folders) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let named = |folder: fs::DirEntry| {
        let pid = folder.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let name = name.trim().to_owned();
        Some(Holder { pid, name })
    };
    let mut found: Vec<_> = folders.filter_map(Result::ok).filter_map(named).collect();
    found.sort_unstable_by_key(|process| process.pid);
    found
}

/// Whether the process runs this very program, as far as that can be seen, or one that is
/// called `name`, with a version or without. Whoever starts a process chooses its name.
pub(crate) fn is_like_this(process: &Holder, name: &str) -> bool {
    let identity = |program: String| {
        let found = fs::metadata(program).ok()?;
        Some((found.dev(), found.ino()))
    };
    let is_this = || {
        let own = identity("/proc/self/exe".to_owned());
        own.is_some() && own == identity(format!("/proc/{}/exe", process.pid))
    };
    let is_called_alike = || {
        let own = fs::read_to_string("/proc/self/comm");
        own.is_ok_and(|own| own.trim() == process.name)
    };
    let is_version = |more: &str| {
        let version = more.strip_prefix('-');
        version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    };
    let more = process.name.strip_prefix(name);
    more.is_some_and(|more| more.is_empty() || is_version(more)) || is_called_alike() || is_this()
}

/// The processes like this one of the user `user` whose open files this one may not see, in
/// the order of their numbers.
pub(crate) fn hidden(name: &str, user: u32) -> Vec<u32> {
    let found = processes().into_iter();
    let found = found.filter(|process| {
        is_like_this(process, name)
            && process.user() == Some(user)
            && fs::read_dir(format!("/proc/{}/fd", process.pid)).is_err()
    });
    found.map(|process| process.pid).collect()
}

/// Whether the network of the process `pid` is the one in which something listens at `address`
/// for this process. Both may be read of every process.
pub(crate) fn is_in_network_of(pid: u32, address: &Address) -> bool {
    let at = |net: &str| {
        let mut listening = listening(net).into_iter();
        let found = listening.find(|other| address.meets(&other.address));
        found.map(|found| found.inode)
    };
    let own = at(OWN);
    own.is_some() && own == at(&format!("/proc/{pid}/net"))
}

/// Who holds a socket; `None` where that is another user's process. Of a server with several
/// processes it is the first one, which is to be stopped.
pub(crate) fn holder(inode: u64) -> Option<Holder> {
    let holders = processes();
    let holders = holders
        .into_iter()
        .filter(|process| held_by(process.pid).contains(&inode));
    let holders: Vec<_> = holders.collect();
    // systemd holds what it has passed to a service, which is who answers.
    let service = holders.iter().find(|holder| holder.name != "systemd");
    service.or(holders.first()).cloned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn finds_its_own_sockets_and_itself() {
        let path = std::env::temp_dir().join(format!("origin guard {}", std::process::id()));
        let _ = fs::remove_file(&path);
        let unix = UnixListener::bind(&path).expect("bound");
        let v4 = TcpListener::bind("127.0.0.1:0").expect("bound");
        let v6 = TcpListener::bind("[::1]:0").expect("bound");
        let found = listening(OWN);
        let mut wanted = vec![Address::Unix(path.clone())];
        for socket in [&v4, &v6] {
            wanted.push(Address::Tcp(socket.local_addr().expect("an address")));
        }
        for address in wanted {
            let socket = found.iter().find(|socket| socket.address == address);
            let socket = socket.unwrap_or_else(|| panic!("{address} is not in {found:?}"));
            let holder = holder(socket.inode).expect("this process");
            assert_eq!(holder.pid, std::process::id());
            let is_tcp = address.socket_addr().is_some();
            let user = rustix::process::geteuid().as_raw();
            assert_eq!(socket.user, is_tcp.then_some(user));
        }
        drop(unix);
        fs::remove_file(path).expect("removed");
    }

    #[test]
    fn the_most_specific_socket_answers() {
        let socket = |address: &str| Listening {
            address: Address::Tcp(address.parse().expect("an address")),
            inode: 0,
            user: None,
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
        // Both ways to write an address of IPv4 are one, and a zone is no part of it.
        for (bound, wanted) in [
            ("127.0.0.1:3000", "[::ffff:127.0.0.1]:3000"),
            ("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000"),
            ("0.0.0.0:3000", "[::ffff:127.0.0.1]:3000"),
            ("[fe80::1]:3000", "[fe80::1%2]:3000"),
        ] {
            let list = [socket("[::]:3000"), socket(bound)];
            let found = receiver(&list, wanted.parse().expect("an address"));
            assert_eq!(found, Some(&list[1]), "{wanted}");
        }
    }
}
