//! How many connections the limit on open files allows (getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections: the standard streams, epoll and event descriptors,
/// and what the libraries open for a moment.
const OTHER_FILES: u64 = 32;
/// Connections over the limit while those that make room for them are being closed.
pub(super) const EVICTION_HEADROOM: usize = 64;

/// What is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    wanted: usize,
    /// Of each connection.
    each: u64,
    others: u64,
}

impl Demand {
    /// Of `wanted` connections, each with a second one where the server `forwards`.
    #[must_use]
    pub fn new(wanted: usize, forwards: bool, workers: usize, listeners: usize) -> Self {
        Self {
            wanted,
            each: if forwards { 2 } else { 1 },
            others: OTHER_FILES + 2 * count(workers + listeners),
        }
    }

    /// All files that it takes.
    #[must_use]
    pub fn files(&self) -> u64 {
        count(self.wanted)
            .saturating_mul(self.each)
            .saturating_add(self.others + count(EVICTION_HEADROOM))
    }

    /// What an operator sets, so that the wanted connections fit.
    #[must_use]
    pub fn remedy(&self) -> String {
        let files = self.files();
        let system = most_of_system().filter(|&most| most < files);
        let system = system.map(|_| format!("run sysctl -w fs.nr_open={files}, then "));
        format!(
            "{}set LimitNOFILE={files} in its unit, or run ulimit -n {files} as root before it is \
             started by hand",
            system.unwrap_or_default()
        )
    }

    /// How many connections fit into `open_files`, at most those that are wanted.
    #[must_use]
    pub fn fitting(&self, open_files: u64) -> usize {
        // Where the limit is tight, running into it and evicting is what keeps it.
        let room = open_files.saturating_sub(self.others);
        let room = room.saturating_sub(count(EVICTION_HEADROOM).min(room / 4)) / self.each;
        usize::try_from(room.max(1))
            .unwrap_or(usize::MAX)
            .min(self.wanted)
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// How far the limit on open files can be raised.
#[must_use]
pub fn most_open_files() -> u64 {
    // No limit is `None`.
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// How far root can raise that limit (`proc_sys_fs(5)`).
fn most_of_system() -> Option<u64> {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?;
    most.trim().parse().ok()
}

/// Raises the limit on open files as far as it goes, and returns how many connections
/// fit under it.
pub(super) fn fit(demand: &Demand) -> usize {
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let raised = soft.max(most_open_files().min(demand.files()));
    let limit = Rlimit {
        current: Some(raised),
        maximum: now.maximum,
    };
    let open_files = if raised > soft && setrlimit(Resource::Nofile, limit).is_ok() {
        raised
    } else {
        soft
    };
    let (wanted, fitting) = (demand.wanted, demand.fitting(open_files));
    if fitting < wanted {
        log::warn!(
            "max_connections_lowered from={wanted} to={fitting} open_files={open_files} \
             remedy=\"{}; or set MAX_CONNECTIONS={fitting}\"",
            demand.remedy()
        );
    }
    fitting
}
