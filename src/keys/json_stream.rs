//! JSON values of a file, one after the other. No more of the file is in memory than the
//! value that is being read.

use std::io::{ErrorKind, Read};

use serde_core::de::DeserializeSeed;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{Fault, ReadError};

const STEP: usize = 1 << 18;
const EARLY_END: &str = "the file ends here, too early";

/// A file that is read value by value.
pub(super) struct JsonStream<R> {
    from: R,
    bytes: Vec<u8>,
    /// The place in `bytes` up to which everything has been read.
    at: usize,
    /// Whether the file ends with `bytes`.
    ended: bool,
    /// The place in the file where `bytes` begins, from 0.
    line: usize,
    column: usize,
}

impl<R: Read> JsonStream<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            bytes: Vec::with_capacity(2 * STEP),
            at: 0,
            ended: false,
            line: 0,
            column: 0,
        }
    }

    /// The next byte that is not white space; `None` at the file's end.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            let rest = self.bytes[self.at..].iter();
            match rest.copied().position(|byte| !b" \t\r\n".contains(&byte)) {
                Some(skipped) => {
                    self.at += skipped;
                    return Ok(Some(self.bytes[self.at]));
                }
                None if self.ended => return Ok(None),
                None => {
                    self.at = self.bytes.len();
                    self.read_on()?;
                }
            }
        }
    }

    /// Takes the next byte, if it is `wanted`.
    pub(super) fn take(&mut self, wanted: u8) -> Result<bool, ReadError> {
        let found = self.peek()? == Some(wanted);
        self.at += usize::from(found);
        Ok(found)
    }

    /// Takes `wanted`, which must come next; `instead` is the message where it does not.
    pub(super) fn expect(&mut self, wanted: u8, instead: &str) -> Result<(), ReadError> {
        if self.take(wanted)? {
            return Ok(());
        }
        Err(self.unexpected(instead))
    }

    /// Takes the value that comes next, and reads it as `read` does.
    pub(super) fn value<T>(
        &mut self,
        read: impl FnOnce(&str) -> Result<T, serde_json::Error>,
    ) -> Result<T, ReadError> {
        let length = self.value_length()?;
        let value = &self.bytes[self.at..self.at + length];
        match read(std::str::from_utf8(value).expect("found to be UTF-8")) {
            Ok(read) => {
                self.at += length;
                Ok(read)
            }
            Err(error) => Err(self.value_fault(&error)),
        }
    }

    /// The same, with a seed.
    pub(super) fn seed<S>(&mut self, seed: S) -> Result<(), ReadError>
    where
        S: for<'de> DeserializeSeed<'de, Value = ()>,
    {
        self.value(|json| seed.deserialize(&mut serde_json::Deserializer::from_str(json)))
    }

    /// How many bytes the next value takes. After this all of them are in `bytes`.
    fn value_length(&mut self) -> Result<usize, ReadError> {
        loop {
            if self.peek()?.is_none() {
                return Err(self.unexpected(""));
            }
            let rest = &self.bytes[self.at..];
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
            match values.next() {
                // A number at the end of `bytes` may go on in the file.
                Some(Ok(_)) if values.byte_offset() < rest.len() || self.ended => {
                    return Ok(values.byte_offset());
                }
                Some(Err(error)) if error.classify() != Category::Eof || self.ended => {
                    return Err(self.value_fault(&error));
                }
                _ => self.read_on()?,
            }
        }
    }

    /// Drops what has been read, and reads more of the file.
    fn read_on(&mut self) -> Result<(), ReadError> {
        (self.line, self.column) = self.place();
        self.bytes.drain(..self.at);
        self.at = 0;
        // Each time it reads more, so that a long value is not scanned too often.
        let wanted = self.bytes.len() + STEP.max(self.bytes.len());
        let missing = u64::try_from(wanted - self.bytes.len()).unwrap_or(u64::MAX);
        match self
            .from
            .by_ref()
            .take(missing)
            .read_to_end(&mut self.bytes)
        {
            Ok(read) => {
                self.ended = read == 0;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(ReadError::Reading(error)),
        }
    }

    /// Line and column, from 0, of what comes next.
    fn place(&self) -> (usize, usize) {
        let read = &self.bytes[..self.at];
        match read.iter().rposition(|&byte| byte == b'\n') {
            None => (self.line, self.column + read.len()),
            Some(last) => {
                let lines = read.split(|&byte| byte == b'\n').count() - 1;
                (self.line + lines, read.len() - last - 1)
            }
        }
    }

    /// What is wrong at this place.
    pub(super) fn fault(&self, fault: &str) -> ReadError {
        let (line, column) = self.place();
        ReadError::Faulty(Fault {
            line: line + 1,
            column: column + 1,
            what: fault.to_owned(),
        })
    }

    /// The error where something else comes next; `instead` says what must be here.
    pub(super) fn unexpected(&self, instead: &str) -> ReadError {
        let ends = self.at == self.bytes.len() && self.ended;
        self.fault(if ends { EARLY_END } else { instead })
    }

    /// What is wrong in the value that comes next.
    fn value_fault(&self, error: &serde_json::Error) -> ReadError {
        let (line, column) = self.place();
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = match error.classify() {
            Category::Eof => EARLY_END,
            _ => text.strip_suffix(&place).unwrap_or(&text),
        };
        let column = match error.line() {
            0 | 1 => column + error.column(),
            _ => error.column(),
        };
        let line = line + error.line().max(1);
        ReadError::Faulty(Fault {
            line,
            column,
            what: text.to_owned(),
        })
    }
}
