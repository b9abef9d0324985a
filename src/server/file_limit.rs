//! How many connections the limit on open files allows (getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections: the standard streams, epoll and event descriptors,
/// and what the libraries open for a moment.
const OTHER_FILES: u64 = 32;

/// Raises the limit on open files as far as it goes, and returns how many connections
/// fit under it, at most `wanted`. Each takes `files`, and `headroom` more are open for a
/// moment while evicted ones are being closed.
pub(super) fn fit(
    wanted: usize,
    files: usize,
    headroom: usize,
    workers: usize,
    listeners: usize,
) -> usize {
    let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
    let others = OTHER_FILES + 2 * count(workers + listeners);
    let headroom = count(headroom);
    let enough = count(wanted)
        .saturating_mul(count(files))
        .saturating_add(others + headroom);
    // No limit is `None`.
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let raised = soft.max(now.maximum.unwrap_or(u64::MAX).min(enough));
    let limit = Rlimit {
        current: Some(raised),
        maximum: now.maximum,
    };
    let open_files = if raised > soft && setrlimit(Resource::Nofile, limit).is_ok() {
        raised
    } else {
        soft
    };
    // Where the limit is tight, running into it and evicting is what keeps it.
    let room = open_files.saturating_sub(others);
    let room = room.saturating_sub(headroom.min(room / 4)) / count(files);
    let fitting = usize::try_from(room.max(1))
        .unwrap_or(usize::MAX)
        .min(wanted);
    if fitting < wanted {
        log::warn!(
            "max_connections_lowered from={wanted} to={fitting} open_files={open_files} \
             remedy=\"raise the limit on open files (ulimit -n, LimitNOFILE=)\""
        );
    }
    fitting
}
