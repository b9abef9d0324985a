//! What a granted request is forwarded by.

pub mod limits;
pub mod rewrite;
pub mod upstream;
