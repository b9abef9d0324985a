//! The commands that read the file alone: `keys list` and `keys verify`.

use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::ReadError;
use super::reader;
use super::record::Record;
use super::text::{self, Malformed};
use super::time::Time;
use super::{Error, KeyVerdict, Keys, Opened, file};
use crate::private_file::PrivateFile;

/// A key's state in one word.
fn state(record: &Record, now: Time) -> &'static str {
    if record.revoked.is_some() {
        "revoked"
    } else if now < record.created {
        "future"
    } else if record.expires.is_some_and(|expires| expires <= now) {
        "expired"
    } else if record.rotated.is_some() {
        "rotated"
    } else {
        "active"
    }
}

/// Prints every key with its state.
pub(super) fn list(path: &Path, json: bool) -> Result<(), Error> {
    let PrivateFile {
        file: source,
        warning,
    } = file::open(path)?;
    warn(warning);
    let now = Time::now();
    let mut to = BufWriter::new(io::stdout().lock());
    let mut first = true;
    let mut each = |record: Record| {
        let first = std::mem::replace(&mut first, false);
        if json {
            to.write_all(if first { b"[\n" } else { b",\n" })?;
            write_json(&record, now, &mut to)
        } else {
            if first {
                write_row(["ID", "STATE", "CREATED", "EXPIRES", "CONSUMER"], &mut to)?;
            }
            let expires = record.expires.map(|time| time.to_string());
            let row = [
                &record.id().to_string(),
                state(&record, now),
                &record.created.to_string(),
                expires.as_deref().unwrap_or("never"),
                &record.consumer,
            ];
            write_row(row, &mut to)
        }
    };
    let unprinted = |error: io::Error| Error::System("the list cannot be printed".into(), error);
    reader::read(source, &mut each).map_err(|error| match error {
        ReadError::Writing(error) => unprinted(error),
        other => other.at(path),
    })?;
    if json {
        let end = if first { "[]\n" } else { "\n]\n" };
        to.write_all(end.as_bytes()).map_err(unprinted)?;
    }
    to.flush().map_err(unprinted)
}

fn write_row(cells: [&str; 5], to: &mut impl Write) -> io::Result<()> {
    let [id, state, created, expires, consumer] = cells;
    writeln!(
        to,
        "{id:<10}  {state:<7}  {created:<20}  {expires:<20}  {consumer}"
    )
}

fn write_json(record: &Record, now: Time, to: &mut impl Write) -> io::Result<()> {
    let (id, state) = (record.id(), state(record, now));
    write!(to, "{{\"id\":\"{id}\",\"state\":\"{state}\",")?;
    record.write_fields(to)?;
    to.write_all(b"}")
}

fn warn(warning: Option<String>) {
    if let Some(warning) = warning {
        eprintln!("warning: {warning}");
    }
}

/// Judges the key on stdin as a running guard does.
pub(super) fn verify(path: &Path) -> Result<(), Error> {
    // It has its final capacity from the start, because growing leaves copies behind.
    let mut input = Zeroizing::new(Vec::with_capacity(4096));
    io::stdin()
        .take(4096)
        .read_to_end(&mut input)
        .map_err(|error| Error::System("stdin cannot be read".into(), error))?;
    let presented = input.trim_ascii();
    let malformed = text::check(presented).err();
    let read = match (Keys::open(path), malformed) {
        // What is malformed is so, whatever the file is.
        (Err(_), Some(error)) => return Err(no_key(error, presented)),
        (read, _) => read?,
    };
    let Opened { keys, warning } = read;
    warn(warning);
    let (verdict, found) = keys.judge(presented, |judgement| {
        let id = judgement.id.map(|id| id.to_string()).unwrap_or_default();
        let found = format!("id={id} consumer={}", judgement.consumer);
        (judgement.verdict, found)
    });
    if let (KeyVerdict::Malformed, Some(error)) = (verdict, malformed) {
        return Err(no_key(error, presented));
    }
    let fault = match verdict {
        KeyVerdict::Granted => {
            return writeln!(io::stdout(), "{found}")
                .map_err(|error| Error::System("the result cannot be printed".into(), error));
        }
        KeyVerdict::Revoked => "the key was revoked",
        KeyVerdict::Expired => "the key has expired",
        KeyVerdict::ClockBeforeCreated => {
            "the key was created later than now, so this machine's clock was set back; set it \
             right"
        }
        _ => "the key is well-formed, and none of the file's",
    };
    Err(Error::Key(format!(
        "{fault}: {}",
        found.trim_end_matches(" consumer=")
    )))
}

/// Why a text that is not imported is no key.
fn no_key(error: Malformed, presented: &[u8]) -> Error {
    let length = match error {
        Malformed::Length => format!(", and this has {} bytes", presented.len()),
        _ => String::new(),
    };
    Error::Key(format!("{error}{length}"))
}
