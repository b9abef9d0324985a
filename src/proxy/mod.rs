//! What a granted request is forwarded by.

pub mod attempt;
mod body_pipe;
pub mod client_end;
pub mod counters;
pub mod exchange;
pub mod failure;
pub mod limits;
pub mod pool;
mod refused_requests;
pub mod relay;
pub mod report;
pub mod rewrite;
pub mod upstream;
