//! Keys that are made and shown, once.

use std::io::{self, Write as _};

use zeroize::Zeroizing;

use super::id::Ids;
use super::record::Record;
use super::text::{self, Key};
use super::{Error, Id};

/// Makes a key with an id that is not among `taken`.
pub(super) fn fresh(taken: &Ids) -> Result<Key, Error> {
    loop {
        let key = Key::fresh()
            .map_err(|error| Error::System("the system gives no random bytes".into(), error))?;
        if !taken.contains(&Id::of(&key.digest())) {
            return Ok(key);
        }
    }
}

/// Shows a key, once, after it is safely in the file.
pub(super) fn show(key: &Key, record: &str) -> Result<(), Error> {
    let mut line = Zeroizing::new([b'\n'; text::LENGTH + 1]);
    line[..text::LENGTH].copy_from_slice(key.as_bytes());
    let mut stdout = io::stdout();
    stdout
        .write_all(&*line)
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            let id = Id::of(&key.digest());
            let what =
                format!("the key {id} was made; revoke it and make another: it cannot be shown");
            Error::System(what, error)
        })?;
    eprintln!("{record}");
    Ok(())
}

/// A key in words, for stderr.
pub(super) fn described(record: &Record) -> String {
    let mut text = format!("id={}", record.id());
    if let Some(expires) = record.expires {
        text.extend([" expires=", &expires.to_string()]);
    }
    text + " consumer=" + &record.consumer
}
