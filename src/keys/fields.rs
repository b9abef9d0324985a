//! The fields of one key -> [`Record`].

use std::fmt;

use data_encoding::HEXLOWER;
use serde_core::de::{
    DeserializeSeed, Deserializer, Error as DeError, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::Id;
use super::error::{FieldError, KeyLocation};
use super::metadata::Metadata;
use super::rate::Rate;
use super::record::{self, Record, Unknown};
use super::time::Time;

/// Reads all fields of the key that is the `number`th of its file, from 1.
pub(super) fn read<'de, A: MapAccess<'de>>(
    number: usize,
    from: &mut A,
) -> Result<Record, A::Error> {
    let mut fields = Fields::default();
    while let Some(name) = from.next_key_seed(Name)? {
        fields.read(name, number, from)?;
    }
    fields.record(number)
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
    rate: Option<Rate>,
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
            FieldName::Rate => key.text("rate", rate, &mut self.rate, from),
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
            rate: self.rate,
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

fn rate(text: &str) -> Result<Rate, FieldError> {
    Rate::parse(text).map_err(FieldError::Rate)
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
    Rate,
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
            "rate" => FieldName::Rate,
            "metadata" => FieldName::Metadata,
            _ => FieldName::Unknown(name.to_owned()),
        })
    }
}
