//! The file's bytes -> [`Record`]s, one after the other, so that a million of them need no
//! more memory than one.

use std::fmt;
use std::io::{self, Read};

use data_encoding::HEXLOWER;
use serde_core::de::{
    DeserializeSeed, Deserializer, Error as DeError, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::Id;
use super::error::{FieldError, KeyLocation, ReadError};
use super::id::Ids;
use super::json_stream::JsonStream;
use super::metadata::Metadata;
use super::record::{self, Record, Unknown, VERSION};
use super::time::Time;

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

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self(reading) = self;
        let mut found = Fields::default();
        while let Some(name) = fields.next_key_seed(Name)? {
            found.read(name, reading.number, &mut fields)?;
        }
        let record = found.record::<A::Error>(reading.number)?;
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

/// The fields of a key that have been read.
#[derive(Default)]
struct Fields {
    id: Option<Id>,
    digest: Option<[u8; 32]>,
    consumer: Option<String>,
    created: Option<Time>,
    expires: Option<Time>,
    rotated: Option<Time>,
    revoked: Option<Time>,
    metadata: Option<Metadata>,
    unknown: Vec<Unknown>,
}

impl Fields {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: FieldName,
        number: usize,
        from: &mut A,
    ) -> Result<(), A::Error> {
        let key = KeyLocation {
            number,
            id: self.id,
        };
        match name {
            FieldName::Id => key.text("id", id, &mut self.id, from),
            FieldName::Digest => key.text("digest", digest, &mut self.digest, from),
            FieldName::Consumer => key.text("consumer", consumer, &mut self.consumer, from),
            FieldName::Created => key.text("created", time, &mut self.created, from),
            FieldName::Expires => key.text("expires", time, &mut self.expires, from),
            FieldName::Rotated => key.text("rotated", time, &mut self.rotated, from),
            FieldName::Revoked => key.text("revoked", time, &mut self.revoked, from),
            FieldName::Metadata => {
                let json: Box<RawValue> = from.next_value()?;
                let metadata = match json.get() {
                    "null" => Ok(None),
                    json => Metadata::of_valid_json(json),
                };
                let metadata = metadata
                    .map_err(|fault| A::Error::custom(format!("{key}, metadata: {fault}")))?;
                key.once("metadata", metadata, &mut self.metadata)
            }
            FieldName::Unknown(name) => {
                let value = from.next_value()?;
                self.unknown.push(Unknown { name, value });
                Ok(())
            }
        }
    }

    fn record<E: DeError>(self, number: usize) -> Result<Record, E> {
        let key = KeyLocation {
            number,
            id: self.id,
        };
        let missing = |field: &str| E::custom(format!("{key} has no {field}"));
        let id = self.id.ok_or_else(|| missing("id"))?;
        let digest = self.digest.ok_or_else(|| missing("digest"))?;
        if Id::of(&digest) != id {
            return Err(E::custom(format!(
                "{key}: the digest belongs to the id {}; one of the two was changed",
                Id::of(&digest)
            )));
        }
        Ok(Record {
            digest,
            consumer: self.consumer.ok_or_else(|| missing("consumer"))?,
            created: self.created.ok_or_else(|| missing("created"))?,
            expires: self.expires,
            rotated: self.rotated,
            revoked: self.revoked,
            metadata: self.metadata,
            unknown: self.unknown,
        })
    }
}

fn id(text: &str) -> Result<Id, FieldError> {
    Id::parse(text).ok_or(FieldError::NotAnId)
}

fn digest(text: &str) -> Result<[u8; 32], FieldError> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() {
        return Err(FieldError::NotADigest);
    }
    match HEXLOWER.decode_mut(text.as_bytes(), &mut digest) {
        Ok(_) => Ok(digest),
        Err(_) => Err(FieldError::NotADigest),
    }
}

fn consumer(text: &str) -> Result<String, FieldError> {
    record::consumer(text).map(|()| text.to_owned())
}

fn time(text: &str) -> Result<Time, FieldError> {
    Time::parse(text).ok_or(FieldError::NotATime)
}

impl KeyLocation {
    /// Reads a string, or null, into `slot`.
    fn text<'de, T, A: MapAccess<'de>>(
        &self,
        field: &'static str,
        parse: fn(&str) -> Result<T, FieldError>,
        slot: &mut Option<T>,
        from: &mut A,
    ) -> Result<(), A::Error> {
        let value = from.next_value_seed(Text {
            key: self,
            field,
            parse,
        })?;
        self.once(field, value, slot)
    }

    fn once<T, E: DeError>(
        &self,
        field: &str,
        value: Option<T>,
        slot: &mut Option<T>,
    ) -> Result<(), E> {
        if slot.is_some() {
            return Err(E::custom(format!("{self}: {field} is there twice")));
        }
        *slot = value;
        Ok(())
    }
}

/// A string of a key, or null.
struct Text<'a, T> {
    key: &'a KeyLocation,
    field: &'static str,
    parse: fn(&str) -> Result<T, FieldError>,
}

impl<T> Text<'_, T> {
    fn fault<E: DeError>(&self, error: FieldError) -> E {
        E::custom(format!("{}, {}: {error}", self.key, self.field))
    }

    fn no_string<E: DeError>(&self) -> E {
        self.fault(FieldError::NotAString)
    }
}

impl<'de, T> DeserializeSeed<'de> for Text<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T> Visitor<'de> for Text<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a string")
    }

    fn visit_str<E: DeError>(self, text: &str) -> Result<Option<T>, E> {
        (self.parse)(text)
            .map(Some)
            .map_err(|error| self.fault(error))
    }

    fn visit_unit<E: DeError>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E: DeError>(self, _: bool) -> Result<Option<T>, E> {
        Err(self.no_string())
    }

    fn visit_i64<E: DeError>(self, _: i64) -> Result<Option<T>, E> {
        Err(self.no_string())
    }

    fn visit_u64<E: DeError>(self, _: u64) -> Result<Option<T>, E> {
        Err(self.no_string())
    }

    fn visit_f64<E: DeError>(self, _: f64) -> Result<Option<T>, E> {
        Err(self.no_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Option<T>, A::Error> {
        Err(self.no_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Option<T>, A::Error> {
        Err(self.no_string())
    }
}

/// The name of a key's field.
enum FieldName {
    Id,
    Digest,
    Consumer,
    Created,
    Expires,
    Rotated,
    Revoked,
    Metadata,
    Unknown(String),
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = FieldName;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<FieldName, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = FieldName;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the name of a field")
    }

    fn visit_str<E: DeError>(self, name: &str) -> Result<FieldName, E> {
        Ok(match name {
            "id" => FieldName::Id,
            "digest" => FieldName::Digest,
            "consumer" => FieldName::Consumer,
            "created" => FieldName::Created,
            "expires" => FieldName::Expires,
            "rotated" => FieldName::Rotated,
            "revoked" => FieldName::Revoked,
            "metadata" => FieldName::Metadata,
            _ => FieldName::Unknown(name.to_owned()),
        })
    }
}
