//! What a granted request is forwarded by.

pub mod upstream;
