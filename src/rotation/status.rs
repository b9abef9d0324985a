//! `secret status`: what the running guards say of the secrets of a file.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::guard::{self, GuardStatus, NotRead, Used, requests};
use super::{BOTH_THE_SAME, SecretError};
use crate::auth::secret_file::SecretFile;
use crate::net::Address;
use crate::printable::printable;
use crate::status::words::{ago, span};

/// Prints how the guards at `guards` use the secrets of the file at `path`.
pub(super) fn status(path: &Path, guards: &[Address]) -> Result<(), SecretError> {
    let file = SecretFile::read(path)?;
    super::warn(&file.warnings);
    let mut text = format!("{}: {}\n", path.display(), secrets(file.secrets));
    let mut unasked = Vec::new();
    for address in guards {
        match guard::ask(address) {
            Ok(status) => match status.has_not_read(&file) {
                // What it knows is of the secrets of that file.
                Some(other @ NotRead::OtherFile { .. }) => {
                    unasked.push(format!("the guard at {address} {other}"));
                }
                not_read => text += &told(address, &status, &file, not_read.as_ref()),
            },
            Err(error) => unasked.push(format!("the guard at {address} {error}")),
        }
    }
    let printed = io::stdout().write_all(text.as_bytes());
    printed.map_err(SecretError::Print)?;
    if unasked.is_empty() {
        Ok(())
    } else {
        Err(SecretError::Unasked(unasked))
    }
}

fn secrets(count: usize) -> String {
    match count {
        1 => "one secret".to_owned(),
        count => format!("{count} secrets, the current one first"),
    }
}

fn told(
    address: &Address,
    status: &GuardStatus,
    file: &SecretFile,
    not_read: Option<&NotRead>,
) -> String {
    let uptime = span(status.uptime);
    let mut text = format!("{address}: running for {uptime}\n");
    // Writing to a string cannot fail.
    if let Some(doubt) = status.doubt(file) {
        let _ = writeln!(text, "  it {doubt}");
    }
    if let Some(reason) = not_read {
        let _ = writeln!(text, "  it {reason}");
    }
    for refused in status.refused_by() {
        let _ = writeln!(text, "  its origin {refused}; {BOTH_THE_SAME}");
    }
    if !status.checks {
        text += "  it is a gateway, which sends the current secret and checks none\n";
        return text;
    }
    for (at, used) in status.secrets.iter().enumerate() {
        text += &line(at, used);
    }
    text
}

fn line(at: usize, used: &Used) -> String {
    let name = if at == 0 { "current" } else { "previous" };
    let requests = requests(used.requests);
    let counted = match used.last {
        // The count begins anew with each reading of the file, and the time does not.
        Some(_) if used.requests == 0 => {
            format!(
                "no request since the file was read, the last before that {}",
                ago(used.last)
            )
        }
        None => format!("{requests}, never used"),
        last => format!("{requests}, last {}", ago(last)),
    };
    let mut text = format!("  {} {name}: {counted}\n", at + 1);
    for (client, count, last) in &used.clients {
        text += &by(&printable(client), *count, *last);
    }
    if used.by_others > 0 {
        text += &by("others", used.by_others, None);
    }
    text
}

fn by(client: &str, count: u64, last: Option<Duration>) -> String {
    let last = last.map_or_else(String::new, |last| format!(", last {}", ago(Some(last))));
    format!("      by {client}: {}{last}\n", requests(count))
}
