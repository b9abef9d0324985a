//! Whether the limits of files and of memory leave room for the connections.

use std::fs;
use std::path::Path;

use super::surroundings::Surroundings;
use crate::app;
use crate::config::Config;
use crate::finding::{Finding, Level};
use crate::server::file_limit::{self, Demand};

const VARIABLE: &str = "MAX_CONNECTIONS";
const MIB: u64 = 1024 * 1024;

pub(super) fn look(config: &Config, surroundings: &Surroundings, findings: &mut Vec<Finding>) {
    let forwards = config.forwards();
    let listeners = app::listener_count(config, &surroundings.roles(), surroundings.sockets.len());
    let wanted = config.limits.max_connections;
    let demand = Demand::new(wanted, forwards, config.workers, listeners);
    let most = file_limit::most_open_files();
    let fitting = demand.fitting(most);
    if fitting < wanted && !config.max_connections_is_set {
        findings.push(Finding::note(
            VARIABLE,
            format_args!(
                "the default is {wanted}, and {fitting} connections are served at once, under the \
                 limit of {most} open files; for {wanted} {}",
                demand.remedy()
            ),
        ));
    } else if fitting < wanted {
        findings.push(Finding::new(
            Level::Warning,
            VARIABLE,
            format_args!(
                "{wanted} connections take {} open files, and the limit is {most}, so that \
                 {fitting} are served at once",
                demand.files()
            ),
            format_args!("{}; or set {VARIABLE}={fitting}", demand.remedy()),
        ));
    }
    let own = most_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    let Some(most) = own.into_iter().chain(surroundings.memory).min() else {
        return;
    };
    let needed = config.limits.memory(fitting, forwards);
    if needed > most {
        let fits = config.limits.connections_within(most, forwards);
        let raise = format!("MemoryMax={}M", needed.div_ceil(MIB));
        let remedy = match fits {
            0 => format!("set {raise} in its unit (now {}M)", most / MIB),
            fits => format!(
                "set {raise} in its unit (now {}M), or {VARIABLE}={fits}",
                most / MIB
            ),
        };
        findings.push(Finding::new(
            Level::Warning,
            VARIABLE,
            format_args!(
                "{fitting} connections may take {} MiB, and past {} MiB (MemoryMax=) the kernel \
                 ends the process",
                needed.div_ceil(MIB),
                most / MIB
            ),
            remedy,
        ));
    }
}

/// The least limit of memory of this process's control group and those above it, in bytes
/// (`memory.max`, control group v2); `None` where there is none.
fn most_memory(own: &str, root: &str) -> Option<u64> {
    let groups = fs::read_to_string(own).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let group = Path::new(root).join(path.trim_start_matches('/'));
    let limits = group
        .ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| fs::read_to_string(group.join("memory.max")).ok());
    limits.filter_map(|limit| limit.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_the_groups_above_holds() {
        let root = std::env::temp_dir().join(format!("guard-groups-{}", std::process::id()));
        let group = root.join("system.slice/a.service");
        fs::create_dir_all(&group).expect("made");
        let own = root.join("cgroup");
        fs::write(&own, "1:name=systemd:/x\n0::/system.slice/a.service\n").expect("written");
        let (own, shown) = (own.to_str().expect("UTF-8"), root.to_str().expect("UTF-8"));
        assert_eq!(most_memory(own, shown), None);
        fs::write(group.join("memory.max"), "max\n").expect("written");
        assert_eq!(most_memory(own, shown), None);
        fs::write(root.join("system.slice/memory.max"), "67108864\n").expect("written");
        assert_eq!(most_memory(own, shown), Some(64 * MIB));
        fs::write(group.join("memory.max"), "1048576\n").expect("written");
        assert_eq!(most_memory(own, shown), Some(MIB));
        fs::remove_dir_all(root).expect("removed");
    }
}
