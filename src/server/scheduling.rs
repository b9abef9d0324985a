//! How the kernel schedules the workers.

use rustix::process::getpriority_process;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Schedules the calling thread by `SCHED_BATCH` (sched(7)): when it is woken it waits until
/// whoever has the core rests, or has had its share of time.
///
/// Mostly that is a proxy, or another client on this machine, that has just sent a request
/// and is about to send more. To take the core from it for each of them would cost two
/// switches a request, and would answer nobody sooner.
///
/// Where the system denies it the thread is scheduled like any other.
pub(super) fn be_batch() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    // The call sets the nice value too, and this one is what it is already.
    let nice = getpriority_process(None).unwrap_or_default();
    let unchanged = (0..=*ThreadPriorityValue::MAX)
        .filter_map(|value| value.try_into().ok().map(ThreadPriority::Crossplatform))
        .find(|priority| priority.to_posix(policy).is_ok_and(|found| found == nice));
    if let Some(priority) = unchanged {
        let _ = set_thread_priority_and_policy(thread_native_id(), priority, policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_scheduled_as_batch() {
        let stat = std::thread::spawn(|| {
            be_batch();
            std::fs::read_to_string("/proc/thread-self/stat").expect("proc(5)")
        });
        let stat = stat.join().expect("the thread");
        // proc_pid_stat(5): the name in field 2 may hold spaces; the policy is field 41.
        let (_, after_name) = stat.rsplit_once(") ").expect("a name");
        let policy = after_name.split(' ').nth(41 - 3).expect("field 41");
        assert_eq!(policy, "3", "SCHED_BATCH (sched.h)");
    }
}
