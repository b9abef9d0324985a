//! How the kernel schedules the workers.

use rustix::process::getpriority_process;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Has the calling thread wait, when it is woken, until whoever has the core rests or has
/// had its slice of time (`SCHED_BATCH`, sched(7)).
///
/// Who has the core mostly is a proxy, or another client on this machine, that has just
/// sent a request and is about to send more. To take the core from it for each of them
/// costs two switches a request, and it would answer nobody meanwhile.
///
/// Where the system denies it the thread is scheduled like any other.
pub(super) fn wake_politely() {
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
