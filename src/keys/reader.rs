//! The file's bytes -> [`Record`]s, one after the other, so that a million of them need no
//! more memory than one.

use std::fmt;
use std::io::{self, Read};

use serde_core::de::{DeserializeSeed, Deserializer, Error as DeError, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::ReadError;
use super::fields;
use super::id::Ids;
use super::json_stream::JsonStream;
use super::record::{Record, Unknown, VERSION};

/// What the file holds beside its keys.
#[derive(Default)]
pub(super) struct Rest {
    /// The ids of all of them.
    pub(super) ids: Ids,
    /// Fields beside `version` and `keys`.
    pub(super) unknown: Vec<Unknown>,
}

/// Hands every key to `each`, in the file's order.
pub(super) fn read(
    from: impl Read,
    each: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<Rest, ReadError> {
    let mut json = JsonStream::new(from);
    let mut reading = Reading {
        each,
        number: 0,
        failed: None,
        rest: Rest::default(),
    };
    match reading.file(&mut json) {
        Ok(()) => Ok(reading.rest),
        Err(error) => Err(reading.failed.map_or(error, ReadError::Writing)),
    }
}

struct Reading<'a> {
    each: &'a mut dyn FnMut(Record) -> io::Result<()>,
    /// The number of the key that is being read, from 1.
    number: usize,
    failed: Option<io::Error>,
    rest: Rest,
}

/// The methods of a visitor that takes no string. The messages of serde would show the
/// string, and it may be a key that someone put into the wrong place.
macro_rules! anything_but_a_string {
    ($what:literal) => {
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str($what)
        }

        fn visit_str<E: DeError>(self, _: &str) -> Result<Self::Value, E> {
            Err(E::custom(concat!("a string where ", $what, " must be")))
        }
    };
}

impl Reading<'_> {
    fn file(&mut self, json: &mut JsonStream<impl Read>) -> Result<(), ReadError> {
        json.expect(b'{', "an object with version and keys must be here")?;
        let (mut version, mut keys) = (false, false);
        let mut first = true;
        while !json.take(b'}')? {
            if !std::mem::take(&mut first) {
                json.expect(b',', "a comma or the end of the object must be here")?;
            }
            if json.peek()? != Some(b'"') {
                return Err(json.unexpected("the name of a field must be here"));
            }
            let name: String = json.value(|text| serde_json::from_str(text))?;
            json.expect(b':', "a colon must be here")?;
            let seen = match name.as_str() {
                "version" => &mut version,
                "keys" => &mut keys,
                _ => {
                    let value = json.value(|text| RawValue::from_string(text.into()))?;
                    self.rest.unknown.push(Unknown { name, value });
                    continue;
                }
            };
            if std::mem::replace(seen, true) {
                return Err(json.fault(&format!("{name} is there twice")));
            }
            if name == "keys" {
                self.keys(json)?;
            } else {
                json.seed(Version)?;
            }
        }
        if !version {
            return Err(json.fault(&format!("the file has no version; it is {VERSION}")));
        }
        if !keys {
            return Err(json.fault("the file has no keys, not even an empty array"));
        }
        match json.peek()? {
            None => Ok(()),
            Some(_) => Err(json.fault("something comes behind the end")),
        }
    }

    fn keys(&mut self, json: &mut JsonStream<impl Read>) -> Result<(), ReadError> {
        json.expect(b'[', "an array of keys must be here")?;
        let mut first = true;
        while !json.take(b']')? {
            if !std::mem::take(&mut first) {
                json.expect(b',', "a comma or the end of the array must be here")?;
            }
            json.seed(Key(self))?;
        }
        Ok(())
    }
}

struct Version;

impl<'de> DeserializeSeed<'de> for Version {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Version {
    type Value = ();

    anything_but_a_string!("the number 1");

    fn visit_u64<E: DeError>(self, version: u64) -> Result<(), E> {
        if version == VERSION {
            return Ok(());
        }
        Err(E::custom(format!(
            "version {version} of the file is not known to this program, which reads \
             version {VERSION}; use the program that wrote it"
        )))
    }
}

/// One key.
struct Key<'a, 'r>(&'a mut Reading<'r>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0.number += 1;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = ();

    anything_but_a_string!("an object, one key,");

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let Self(reading) = self;
        let record = fields::read(reading.number, &mut from)?;
        if !reading.rest.ids.insert(record.id()) {
            let fault = format!("key {} is there twice; remove one of the two", record.id());
            return Err(A::Error::custom(fault));
        }
        (reading.each)(record).map_err(|error| {
            reading.failed = Some(error);
            A::Error::custom("stopped")
        })
    }
}
