//! Keys that are made and shown, once.

use std::borrow::Cow;
use std::io::{self, Write as _};

use zeroize::Zeroizing;

use super::id::Ids;
use super::record::{self, Record};
use super::text::{self, Key};
use super::{Error, Id};
use crate::stderr::say;

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
    say(record);
    Ok(())
}

/// A key in words, for stderr.
pub(super) fn described(record: &Record) -> String {
    let mut text = format!("id={}", record.id());
    if let Some(expires) = record.expires {
        text.extend([" expires=", &expires.to_string()]);
    }
    text + " consumer=" + &quoted(&record.consumer)
}

/// A value of `name=value` on stdout or stderr, in quotes where it would not end there.
pub(super) fn quoted(value: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    if value.bytes().all(is_plain) {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{value:?}"))
    }
}

/// Checks the name of a consumer that gets a key. A key is none: it would stand in the file
/// as it is. It is not shown.
pub(super) fn new_consumer(name: &str) -> Result<(), Error> {
    if text::check(name.as_bytes()).is_ok() {
        return Err(Error::Usage(
            "a key stands where the consumer's name must be; write the name of whom the key is \
             for, such as alice"
                .into(),
        ));
    }
    record::consumer(name).map_err(|error| Error::Usage(error.to_string()))
}
