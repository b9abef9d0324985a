//! Who may read a file: owner, group, mode, access control list and security label, taken
//! over by the file that replaces it.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The extended attributes that decide who may read a file (xattr(7), acl(5)).
const ATTRIBUTES: [&str; 4] = [
    "system.posix_acl_access",
    "system.nfs4_acl",
    "security.selinux",
    "security.SMACK64",
];
/// Largest value of an extended attribute, in bytes (xattr(7)).
const LARGEST: usize = 65536;
const MODE: u32 = 0o7777;

/// Gives `fresh` the permissions of `old`, and checks that it has them.
///
/// # Errors
///
/// If the system denies one of them, or if `fresh` has others afterwards.
pub(super) fn take_over(old: &File, fresh: &File) -> io::Result<()> {
    let wanted = old.metadata()?;
    take_owner(fresh, &wanted)?;
    // Before the attributes: setting an access control list sets a part of the mode, and
    // setting the mode changes the list.
    fresh.set_permissions(Permissions::from_mode(wanted.mode() & MODE))?;
    for name in ATTRIBUTES {
        let (wanted, found) = (attribute(old, name)?, attribute(fresh, name)?);
        match wanted {
            wanted if wanted == found => {}
            Some(wanted) => fsetxattr(fresh, name, &wanted, XattrFlags::empty())?,
            // The folder's default list has come upon it (acl(5)).
            None => fremovexattr(fresh, name)?,
        }
    }
    let found = fresh.metadata()?;
    if identity(&found) != identity(&wanted) {
        return Err(io::Error::other(
            "the new file does not get the permissions of the old one",
        ));
    }
    Ok(())
}

/// Gives `file` the owner and group that `wanted` has.
pub(super) fn take_owner(file: &File, wanted: &fs::Metadata) -> io::Result<()> {
    let found = file.metadata()?;
    if (found.uid(), found.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    fchown(file, Some(wanted.uid()), Some(wanted.gid()))
}

/// Lets those read `file` who may read `keys`, everyone aside, as far as the system allows
/// that; its mode is 0600 where it does not.
pub(crate) fn share(file: &File, keys: &Metadata) {
    let shared = take_owner(file, keys).or_else(|_| fchown(file, None, Some(keys.gid())));
    if shared.is_ok() {
        // Where this fails, too, fewer may read it.
        let _ = file.set_permissions(Permissions::from_mode(0o600 | keys.mode() & 0o040));
    }
}

fn identity(metadata: &Metadata) -> (u32, u32, u32) {
    (metadata.uid(), metadata.gid(), metadata.mode() & MODE)
}

/// The value of an extended attribute; `None` where there is none, or where the file
/// system knows no such attribute.
fn attribute(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; LARGEST];
    match fgetxattr(file, name, value.as_mut_slice()) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
