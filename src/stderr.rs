//! Lines for a person, on standard error.

use std::io::{self, Write as _};

use crate::printable::printable;

/// Says `line`, which is one line whatever it holds.
///
/// It is written at once: standard error has no buffer, and what other processes write there
/// would come between its letters. Who cannot be told reads the exit status, which is that
/// of what was done (`eprintln!` would end the process instead).
pub fn say(line: &str) {
    let line = printable(line) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}
