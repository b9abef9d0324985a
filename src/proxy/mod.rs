//! What a granted request is forwarded by.

pub mod limits;
pub mod upstream;
