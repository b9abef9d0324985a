//! Who may read and change a file, and what mends it where those are too many or too few.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access as Wanted;
use rustix::process::{getegid, geteuid, getgroups};

use crate::shell;
use crate::shown_path::ShownPath;

/// Permissions of everyone but owner and group (inode(7)).
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const GROUP_READ: u32 = 0o040;
const PERMISSIONS: u32 = 0o7777;
const STICKY: u32 = 0o1000;
/// Whom a user namespace shows where it does not know the owner (`user_namespaces(7)`). Where
/// it has such a user, that one is shown so, too: `nobody`, as a rule.
const OVERFLOW: u32 = 65534;
const ROOT: u32 = 0;
/// The groups that systemd makes for a service while it runs, which nobody can name
/// (`DynamicUser=`; systemd's documentation of UIDs and GIDs).
const DYNAMIC: std::ops::RangeInclusive<u32> = 61184..=65519;

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Secrets, or keys: others may not read it.
    Secrets,
    /// Networks, certificates and the like: everyone may read it.
    NoSecret,
}

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    mode: u32,
    user: u32,
    group: u32,
}

impl Access {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode() & PERMISSIONS,
            user: metadata.uid(),
            group: metadata.gid(),
        }
    }

    pub(super) fn others_can_write(self) -> bool {
        self.mode & OTHERS_WRITE != 0
    }

    /// What is legal and likely a mistake: who else can read or change the file at `path`,
    /// and how it is mended.
    pub(super) fn warning(self, path: &Path) -> Option<String> {
        let readers = (self.mode & OTHERS_READ != 0)
            .then(|| "can be read by everyone on this machine".to_owned());
        let doubts: Vec<_> = readers.into_iter().chain(self.changers()).collect();
        self.told(path, &doubts, &self.command(path))
    }

    /// The same of who else can change it alone.
    pub(super) fn changeable(self, path: &Path) -> Option<String> {
        self.told(path, &self.changers(), &close_to_changes(path))
    }

    fn told(self, path: &Path, doubts: &[String], command: &str) -> Option<String> {
        let (path, shown) = (ShownPath(path), word(path));
        let owner = if self.has_strange_owner() {
            let own = geteuid().as_raw();
            format!(
                ", and make root or the user that runs origin-guard its owner: chown {own} {shown}"
            )
        } else {
            String::new()
        };
        (!doubts.is_empty()).then(|| {
            format!(
                "{path} {} ({self}); run: {command}{owner}",
                doubts.join(" and ")
            )
        })
    }

    fn has_strange_owner(self) -> bool {
        let is_own = [ROOT, geteuid().as_raw()].contains(&self.user);
        !is_own && (self.user != OVERFLOW || has_user(OVERFLOW))
    }

    /// Who else can change the file.
    fn changers(self) -> Vec<String> {
        let mut changers = Vec::new();
        if self.mode & GROUP_WRITE != 0 {
            changers.push("can be written by its group".to_owned());
        }
        if self.has_strange_owner() {
            changers.push(format!(
                "belongs to user {}, who can change it, where user {} runs this",
                self.user,
                geteuid().as_raw()
            ));
        }
        changers
    }

    /// What keeps everyone else from changing the file, and from reading it if it holds
    /// secrets.
    pub(super) fn command_for(self, path: &Path, holds: Holds) -> String {
        match holds {
            Holds::Secrets => self.command(path),
            Holds::NoSecret => close_to_changes(path),
        }
    }

    /// What takes everything from everyone else, and leaves the file to its owner, and to its
    /// group where a service that is not root's reads it as one of that.
    fn command(self, path: &Path) -> String {
        let (own, group) = (geteuid().as_raw(), getegid().as_raw());
        if own != self.user && own != ROOT {
            // This process reads it as everyone does, and must not lose it.
            return self.admission(path, Holds::Secrets);
        }
        let by_group = self.mode & GROUP_READ != 0 && ![ROOT, group].contains(&self.group);
        let mode = if by_group { "640" } else { "600" };
        format!("chmod {mode} {}", word(path))
    }

    /// What lets this process read the file.
    fn admission(self, path: &Path, holds: Holds) -> String {
        if holds == Holds::NoSecret {
            // Whoever reads it now is to read it still.
            return format!("chmod a+r {}", word(path));
        }
        let (own, group) = (geteuid().as_raw(), getegid().as_raw());
        let groups = getgroups().unwrap_or_default();
        let is_member = group == self.group || groups.iter().any(|one| one.as_raw() == self.group);
        let shown = word(path);
        if own == self.user {
            format!("chmod 600 {shown}")
        } else if is_member && self.group != ROOT {
            format!("chmod 640 {shown}")
        } else if DYNAMIC.contains(&group) {
            format!(
                "groupadd --system origin-guard-files; chgrp origin-guard-files {shown} && chmod \
                 640 {shown}, and SupplementaryGroups=origin-guard-files in the unit"
            )
        } else {
            format!("chgrp {group} {shown} && chmod 640 {shown}")
        }
    }
}

/// Whether the user namespace of this process has this user. Without proc(5) it is taken for
/// the first one, which has all.
fn has_user(user: u32) -> bool {
    fs::read_to_string("/proc/self/uid_map").map_or(true, |map| holds_user(&map, user))
}

/// Whether a line of `map` holds `user`: its first user inside, the one outside, and how many
/// (`user_namespaces(7)`).
fn holds_user(map: &str, user: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&user.into()))
    })
}

/// What is likely a mistake in the folders above the file at `path`: that everyone can put
/// another one in its place. The sticky bit keeps them from it (inode(7)).
pub(super) fn replaceable(path: &Path) -> Option<String> {
    let written = std::path::absolute(path).ok();
    let real = fs::canonicalize(path).ok();
    let paths = written.iter().chain(&real);
    let mut folders = paths.flat_map(|path| path.ancestors().skip(1));
    let (folder, access) = folders.find_map(|folder| {
        let access = Access::of(&fs::metadata(folder).ok()?);
        (access.others_can_write() && access.mode & STICKY == 0).then_some((folder, access))
    })?;
    Some(format!(
        "{} can be replaced by everyone on this machine, who can write to the folder {} \
         ({access}); look whether the file is yours, then run: chmod o-w {}",
        ShownPath(path),
        folder.display(),
        word(folder)
    ))
}

/// What leaves the file at `path` to be read as it was, and lets its owner alone change it.
fn close_to_changes(path: &Path) -> String {
    format!("chmod go-w {}", word(path))
}

/// The whole path as a shell reads it, because it may be typed in another folder.
fn word(path: &Path) -> String {
    let whole = std::path::absolute(path);
    shell::word(&whole.as_deref().unwrap_or(path).to_string_lossy()).into_owned()
}

impl fmt::Display for Access {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, user, group } = self;
        write!(to, "mode {mode:04o}, user {user}, group {group}")
    }
}

/// Why this process may not read a file. Displays as what follows the system's word.
#[derive(Debug)]
pub(super) struct Denied {
    path: PathBuf,
    holds: Holds,
    /// The file's, or that of a folder above, which comes with it.
    found: Option<(Option<PathBuf>, Access)>,
}

impl Denied {
    /// Looks at the file at `path`, which cannot be read, and at the folders above.
    pub(super) fn look(path: &Path, holds: Holds) -> Self {
        let folders: Vec<_> = path.ancestors().skip(1).collect();
        let closed = folders.into_iter().rev().find(|folder| {
            !folder.as_os_str().is_empty() && rustix::fs::access(*folder, Wanted::EXEC_OK).is_err()
        });
        let at = closed.unwrap_or(path);
        let found = fs::metadata(at).ok();
        let found = found.map(|found| (closed.map(Path::to_owned), Access::of(&found)));
        Self {
            path: path.to_owned(),
            holds,
            found,
        }
    }

    /// The command that mends it.
    pub(super) fn remedy(&self) -> Option<String> {
        match &self.found {
            Some((None, access)) => Some(access.admission(&self.path, self.holds)),
            Some((Some(_), _)) => {
                Some("put the file into one that it may enter, such as /etc/origin-guard".into())
            }
            None => None,
        }
    }
}

/// Why this process may not change a file. Displays as what follows the system's word, with
/// what to do.
#[derive(Debug)]
pub struct Unchangeable(Option<(PathBuf, Access)>);

impl Unchangeable {
    /// Looks at the folders of the file at `path`, which is replaced as a whole, and at
    /// itself.
    pub(super) fn look(path: &Path) -> Self {
        let may = |folder: &Path, wanted| rustix::fs::access(folder, wanted).is_ok();
        let folder = path.parent().filter(|one| !one.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let closed = folder
            .ancestors()
            .filter(|folder| !folder.as_os_str().is_empty() && !may(folder, Wanted::EXEC_OK));
        let at = match closed.last() {
            Some(closed) => closed,
            None if !may(folder, Wanted::WRITE_OK) => folder,
            None => path,
        };
        let found = fs::metadata(at).ok();
        Self(found.map(|found| (at.to_owned(), Access::of(&found))))
    }
}

impl fmt::Display for Unchangeable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = geteuid().as_raw();
        let Some((at, access)) = &self.0 else {
            return Ok(());
        };
        write!(to, " to user {own}: {} has {access}", ShownPath(at))?;
        match access.user {
            user if user == own => write!(to, "; run: chmod u+rwX {}", word(at)),
            ROOT => to.write_str("; run the same command as root: sudo origin-guard ..."),
            user => write!(
                to,
                "; run the same command as user {user}: sudo -u '#{user}' origin-guard ..."
            ),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = geteuid().as_raw();
        match &self.found {
            Some((None, access)) => write!(to, " to user {own} ({access})"),
            Some((Some(folder), access)) => write!(
                to,
                ": user {own} may not enter the folder {} ({access})",
                folder.display()
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_tells_which_users_a_namespace_has() {
        for (map, has_nobody) in [
            ("         0          0 4294967295\n", true),
            ("         0       1000          1\n", false),
            ("0 100000 65534\n", false),
            ("0 100000 65536\n", true),
            ("0 1000 1\n65534 165534 1\n", true),
            ("", false),
        ] {
            assert_eq!(holds_user(map, OVERFLOW), has_nobody, "{map}");
        }
    }
}
