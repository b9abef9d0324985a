//! Whose process answers at an operator's address.
//!
//! Every user of this machine may listen at a free port of loopback, and could tell lies
//! there while the guard is down.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use crate::net::sockets::{self, Listening, OWN};
use crate::systemd::programs;

/// The service that the printed unit makes.
const UNIT: &str = "origin-guard.service";
const ROOT: u32 = 0;
/// Permission of group and everyone to write (inode(7)).
const OTHERS_WRITE: u32 = 0o022;
/// Most links on the way to a folder; one that leads to itself has no end.
const LINKS: u32 = 8;

/// Whose process has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of this user, who has opened the socket that listens.
    User(u32),
    /// That of whoever may listen there: the folder of the socket is this user's, and root
    /// or the asking user has put it there.
    OwnerOfFolder,
    /// Another one listens now than before.
    Changed,
    /// None of this machine, as far as that can be seen.
    Elsewhere,
}

/// What listens at `address`, if something of this machine does.
pub(crate) fn listener(address: SocketAddr) -> Option<Listening> {
    let listening = sockets::listening(OWN);
    sockets::receiver(&listening, address).cloned()
}

impl Whose {
    /// From what listened before the question and after the answer.
    pub(crate) fn of_tcp(before: Option<Listening>, after: Option<Listening>) -> Self {
        match (before, after) {
            (Some(before), Some(after)) if before.inode == after.inode => {
                before.user.map_or(Self::Elsewhere, Self::User)
            }
            (None, None) => Self::Elsewhere,
            _ => Self::Changed,
        }
    }

    /// From the credentials of whoever listens (`SO_PEERCRED`, unix(7)), and from `path`.
    pub(crate) fn of_unix(stream: impl AsFd, path: &Path) -> Self {
        let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else {
            return Self::Elsewhere;
        };
        let user = peer.uid.as_raw();
        match owner_of_folder(path) {
            Some(owner) if owner == user => Self::OwnerOfFolder,
            _ => Self::User(user),
        }
    }

    /// Why it may not be a guard. It may be one that root, the asking user, the service
    /// origin-guard or one of `others` runs.
    #[must_use]
    pub fn doubt(self, others: &[u32]) -> Option<Doubt> {
        match self {
            Self::OwnerOfFolder => None,
            Self::User(user) => {
                let is_known = user == ROOT
                    || user == geteuid().as_raw()
                    || others.contains(&user)
                    || programs::user_of(UNIT) == Some(user);
                (!is_known).then_some(Doubt::User(user))
            }
            Self::Changed => Some(Doubt::Changed),
            Self::Elsewhere => Some(Doubt::Elsewhere),
        }
    }
}

/// The owner of the folder of `path`, if nobody but root and the asking user has decided
/// what lies in the folders above it, and where the links on the way lead.
fn owner_of_folder(path: &Path) -> Option<u32> {
    let mut folder = path.parent()?.to_owned();
    for links in 0..LINKS {
        let above = folder.parent();
        if !above.is_none_or(|above| is_safe(above, LINKS - links)) {
            return None;
        }
        match fs::read_link(&folder) {
            Ok(target) => folder = above?.join(target),
            Err(_) => return fs::metadata(folder).map(|folder| folder.uid()).ok(),
        }
    }
    None
}

/// Whether root or the asking user alone may write to `folder` and to all above it. A link
/// is as safe as the folder that it lies in and the one that it leads to.
fn is_safe(folder: &Path, links: u32) -> bool {
    let own = geteuid().as_raw();
    links > 0
        && folder
            .ancestors()
            .all(|folder| match (fs::read_link(folder), folder.parent()) {
                (Ok(target), Some(above)) => is_safe(&above.join(target), links - 1),
                _ => fs::metadata(folder).is_ok_and(|folder| {
                    [ROOT, own].contains(&folder.uid()) && folder.mode() & OTHERS_WRITE == 0
                }),
            })
}

/// Why it may not be a guard that has answered. Displays as what follows its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// This user listens there.
    User(u32),
    /// Who listens there has changed.
    Changed,
    /// Nobody of this machine listens there.
    Elsewhere,
}

impl Doubt {
    /// Who listens there instead, for one who was to be sent a secret.
    pub(crate) fn who(self) -> String {
        match self {
            Self::User(user) => format!(
                "user {user} listens there, who is neither root nor the user of this command or \
                 of {UNIT}"
            ),
            Self::Changed => "another one listens there than before".to_owned(),
            Self::Elsewhere => "this machine cannot see who listens there".to_owned(),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("may be somebody else's program: ")?;
        match self {
            Self::User(user) => write!(
                to,
                "user {user} listens there, and nothing shows that the guard runs as user {user} \
                 ({UNIT} does not); give the guard a Unix socket in a folder of its own \
                 (ADMIN_LISTEN=unix:/run/origin-guard/admin.sock)"
            ),
            Self::Changed => to.write_str("another one listens there than before; ask again"),
            Self::Elsewhere => to.write_str(
                "this machine cannot see who listens there; ask on the guard's machine, or \
                 through ssh -L 9100:127.0.0.1:9100",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Address;

    fn socket(inode: u64) -> Listening {
        Listening {
            address: Address::Tcp(([127, 0, 0, 1], 9100).into()),
            inode,
            user: Some(7),
        }
    }

    #[test]
    fn who_changes_meanwhile_is_doubted() {
        for (before, after, whose) in [
            (Some(socket(1)), Some(socket(1)), Whose::User(7)),
            (Some(socket(1)), Some(socket(2)), Whose::Changed),
            (None, Some(socket(1)), Whose::Changed),
            (Some(socket(1)), None, Whose::Changed),
            (None, None, Whose::Elsewhere),
        ] {
            assert_eq!(Whose::of_tcp(before, after), whose);
        }
    }

    #[test]
    fn root_oneself_and_the_owner_of_the_file_are_believed() {
        let own = geteuid().as_raw();
        let stranger = own.wrapping_add(4711);
        for user in [ROOT, own] {
            assert_eq!(Whose::User(user).doubt(&[]), None);
        }
        let whose = Whose::User(stranger);
        assert_eq!(whose.doubt(&[]), Some(Doubt::User(stranger)));
        assert_eq!(whose.doubt(&[stranger]), None);
        assert_eq!(Whose::Elsewhere.doubt(&[]), Some(Doubt::Elsewhere));
    }

    #[test]
    fn a_folder_in_one_that_everyone_may_write_to_is_nobody_s() {
        assert_eq!(owner_of_folder(Path::new("/tmp/a/socket")), None);
        assert_eq!(owner_of_folder(Path::new("/socket")), Some(ROOT));
    }
}
