//! A folder of a test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of this test's own, removed when dropped.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// Makes one; `name` tells it from those of other tests of the process.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("origin-guard-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self { path }
    }

    /// Writes a file by renaming, as an operator's tool should.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, fresh) = (self.path.join(name), self.path.join(format!(".{name}.new")));
        fs::write(&fresh, text).expect("written");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("private");
        fs::rename(&fresh, &path).expect("renamed");
        path
    }
}

/// Copies a program that is to be run. cp(1) does it: a file that this process writes may
/// be open for a moment in a process that another test starts, and so "busy" (execve(2)).
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let status = Command::new("cp")
        .arg(from.as_ref())
        .arg(to.as_ref())
        .status();
    assert!(status.expect("cp").success());
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
