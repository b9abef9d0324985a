//! What goes wrong around the guard: files run out, peers stall, reset and crowd,
//! the process is told to stop. It answers whom it can, and ends when it should.

mod support;

#[path = "faults/accepting.rs"]
mod accepting;
#[path = "faults/backlog.rs"]
mod backlog;
#[path = "faults/budget.rs"]
mod budget;
#[path = "faults/cgroup.rs"]
mod cgroup;
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/crowds.rs"]
mod crowds;
#[path = "faults/draining.rs"]
mod draining;
#[path = "faults/early_answers.rs"]
mod early_answers;
#[path = "faults/evictions.rs"]
mod evictions;
#[path = "faults/exceeded.rs"]
mod exceeded;
#[path = "faults/fairness.rs"]
mod fairness;
#[path = "faults/file_table.rs"]
mod file_table;
#[path = "faults/memory.rs"]
mod memory;
#[path = "faults/orphans.rs"]
mod orphans;
#[path = "faults/peers.rs"]
mod peers;
#[path = "faults/resets.rs"]
mod resets;
#[path = "faults/stalls.rs"]
mod stalls;
