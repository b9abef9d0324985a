//! Random bytes from the kernel.
//!
//! The system call itself: a crate that looks for it with dlsym(3) finds nothing in a
//! static binary and opens /dev/urandom, which is not there in an empty root.

use std::io;

use data_encoding::HEXLOWER;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes`; waits for the kernel's generator where the machine has just started.
///
/// # Errors
///
/// What getrandom(2) says: a sandbox that forbids it, or a kernel before 3.17.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match getrandom(&mut *left, GetRandomFlags::empty()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(filled) => left = &mut left[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A name that nobody can guess: `origin-guard-` and 32 hexadecimal digits, a token
/// (RFC 9110, section 5.6.2).
///
/// # Errors
///
/// As [`fill`] has them.
pub fn name() -> io::Result<String> {
    let mut bits = [0; 16];
    fill(&mut bits)?;
    Ok(format!("origin-guard-{}", HEXLOWER.encode(&bits)))
}
