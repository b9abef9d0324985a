//! A key as the file has it.
//!
//! The file is a JSON object, with a key a line where this program wrote it:
//!
//! ```json
//! {"version":1,"keys":[
//! {"id":"q3x5w7zzab","digest":"...","consumer":"acme","created":"2026-11-24T07:00:00Z"}
//! ]}
//! ```
//!
//! | field | what it holds |
//! | --- | --- |
//! | `id` | the first 50 bits of the digest in base32, lower case: ten characters |
//! | `digest` | SHA-256 of the key's whole text: 64 hexadecimal digits, lower case |
//! | `consumer` | whose key it is: 1 to 255 printable ASCII characters |
//! | `created` | when it was made |
//! | `expires` | when it stops being good; absent or null: never |
//! | `rotated` | when another key took its place |
//! | `revoked` | when it was revoked; it is no longer good, whatever the time |
//! | `rate` | how many requests the consumer may send: `100/1m`, `100/1m burst=20` |
//! | `metadata` | a JSON object, at most 4096 bytes as a header holds it |
//!
//! The first four must be there. Times are UTC, `2026-11-24T07:00:00Z` (RFC 3339). Other
//! fields, of a key or beside `keys`, are left as they are.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use serde_json::value::RawValue;

use super::Id;
use super::error::{FieldError, LONGEST_CONSUMER};
use super::metadata::Metadata;
use super::rate::Rate;
use super::time::Time;

/// The version of the file's shape that this program reads and writes.
pub(super) const VERSION: u64 = 1;

/// One key of the file.
#[derive(Debug)]
pub struct Record {
    /// SHA-256 of the key's text.
    pub digest: [u8; 32],
    /// Whose key it is; checked by [`consumer`].
    pub consumer: String,
    /// When it was made.
    pub created: Time,
    /// When it stops being good.
    pub expires: Option<Time>,
    /// When another key took its place.
    pub rotated: Option<Time>,
    /// When it was revoked.
    pub revoked: Option<Time>,
    /// How many requests the consumer may send; the same for all its keys.
    pub rate: Option<Rate>,
    /// What the gateway sends along.
    pub metadata: Option<Metadata>,
    /// Fields that this program does not know.
    pub unknown: Vec<Unknown>,
}

/// A field that this program does not know, left as it is.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// Its value, byte for byte.
    pub value: Box<RawValue>,
}

/// Checks the name of a consumer. It is sent in a header, where a line break would end the
/// field, and where HTTP removes spaces at both ends (RFC 9110, section 5.5).
///
/// # Errors
///
/// What is wrong with it.
pub fn consumer(name: &str) -> Result<(), FieldError> {
    if name.is_empty() || name.len() > LONGEST_CONSUMER {
        return Err(FieldError::ConsumerLength(name.len()));
    }
    if let Some(at) = name.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
        return Err(FieldError::ConsumerByte(at + 1));
    }
    if name.starts_with(' ') || name.ends_with(' ') {
        return Err(FieldError::ConsumerSpace);
    }
    Ok(())
}

impl Record {
    /// The key's short id.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::of(&self.digest)
    }

    /// Writes the key on one line, in the form of the file.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        write!(
            to,
            "{{\"id\":\"{}\",\"digest\":\"{}\",",
            self.id(),
            HEXLOWER.encode(&self.digest)
        )?;
        self.write_fields(to)?;
        for Unknown { name, value } in &self.unknown {
            to.write_all(b",")?;
            serde_json::to_writer(&mut *to, name)?;
            write!(to, ":{value}")?;
        }
        to.write_all(b"}")
    }

    /// Writes `consumer` and the known fields that follow it.
    pub(super) fn write_fields(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(b"\"consumer\":")?;
        serde_json::to_writer(&mut *to, &self.consumer)?;
        write!(to, ",\"created\":\"{}\"", self.created)?;
        for (name, time) in [
            ("expires", self.expires),
            ("rotated", self.rotated),
            ("revoked", self.revoked),
        ] {
            if let Some(time) = time {
                write!(to, ",\"{name}\":\"{time}\"")?;
            }
        }
        if let Some(rate) = &self.rate {
            write!(to, ",\"rate\":\"{rate}\"")?;
        }
        if let Some(metadata) = &self.metadata {
            write!(to, ",\"metadata\":{}", metadata.as_str())?;
        }
        Ok(())
    }
}
