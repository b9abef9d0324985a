//! What the commands say, and where.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use origin_guard::stderr::say;

// sysexits(3)
/// The command line is faulty.
pub(crate) const EX_USAGE: u8 = 64;
/// The configuration is faulty.
pub(crate) const EX_CONFIG: u8 = 78;

/// Writes `text` to standard output.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    // What has not been flushed has not been written: a pipe or a full disk says so then.
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("cannot write to standard output: {error}")),
    }
}

/// Says what is at fault on standard error.
pub(crate) fn fail(status: u8, fault: &dyn Display) -> ExitCode {
    for line in fault.to_string().lines() {
        say(&format!("origin-guard: {line}"));
    }
    ExitCode::from(status)
}
