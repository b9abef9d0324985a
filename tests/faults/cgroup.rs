//! The memory of a guard in a cgroup of its own: the resident set, and what the kernel
//! holds in the buffers of its sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::peers::resident_own_kib;
use crate::support;

/// A memory cgroup of a test's own, removed when dropped.
pub(crate) struct Cgroup {
    pub(crate) path: PathBuf,
    /// In bytes.
    pub(crate) limit: u64,
}

impl Cgroup {
    /// With a limit as the unit writes it, such as `64M`. `None`, with a visible line,
    /// where none can be made.
    pub(crate) fn new(limit: &str) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        if !support::installed("ss", "apt-get install iproute2") {
            return None;
        }
        let hierarchy = Path::new("/sys/fs/cgroup/memory");
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = hierarchy.join(format!("origin-guard-{}-{number}", std::process::id()));
        if let Err(error) = fs::create_dir(&path) {
            support::skip(&format!(
                "needs a memory cgroup of version 1 ({}: {error}); be root, and boot with \
                 systemd.unified_cgroup_hierarchy=0",
                path.display()
            ));
            return None;
        }
        let mebibytes: u64 = limit.trim_end_matches('M').parse().expect("mebibytes");
        let cgroup = Self {
            path,
            limit: mebibytes << 20,
        };
        fs::write(cgroup.path.join("memory.limit_in_bytes"), limit).expect("written");
        Some(cgroup)
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// The process's resident set, without pages of files: those of a binary that is built
    /// for debugging are many.
    pub(crate) resident: u64,
    /// What the kernel holds in the buffers of its sockets.
    pub(crate) buffers: u64,
}

impl Usage {
    /// Of the guard with `pid` at this moment. `filters` are those of ss(8) that select
    /// its TCP sockets, those of no process any more among them.
    pub(crate) fn of(pid: u32, filters: &[[&str; 2]]) -> Self {
        let own = format!("pid={pid},");
        let mut buffers = skmem(&["-OHxmnp"], |line| line.contains(&own));
        for [end, address] in filters {
            buffers += skmem(&["-OHtanm", end, address], |_| true);
        }
        let resident = resident_own_kib(pid) << 10;
        Self { resident, buffers }
    }

    pub(crate) fn sum(self) -> u64 {
        self.resident + self.buffers
    }

    /// The larger of two by their sums.
    pub(crate) fn max(self, other: Self) -> Self {
        if self.sum() < other.sum() {
            other
        } else {
            self
        }
    }
}

/// What ss(8) says of the buffers of those sockets whose lines are `wanted`.
fn skmem(arguments: &[&str], wanted: impl Fn(&str) -> bool) -> u64 {
    let output = Command::new("ss").args(arguments).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| wanted(line)).map(held).sum()
}

/// Of `skmem:(r<received>,rb..,t<sent>,tb..,f<ahead>,w<queued>,..)`: what is received and
/// unread, what is sent and not taken, and what the socket has been given ahead.
fn held(line: &str) -> u64 {
    let Some((_, numbers)) = line.split_once("skmem:(") else {
        return 0;
    };
    let number = |name: &str| {
        let value = numbers
            .split([',', ')'])
            .find_map(|part| part.strip_prefix(name)?.parse::<u64>().ok());
        value.unwrap_or_default()
    };
    number("r") + number("f") + number("w").max(number("t"))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}
