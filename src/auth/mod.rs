//! The shared secret: where it comes from, how it is held, and the verdict on a request.

pub mod keygen;
pub(crate) mod redaction;
pub mod secret_file;
mod secret_forms;
pub mod secret_source;
pub mod secrets;
pub mod shared_secret;
pub mod usage;
