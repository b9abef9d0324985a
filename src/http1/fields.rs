//! Header fields (RFC 9112, section 5), and the lists in their values.

use httparse::EMPTY_HEADER;

/// Most fields of a head; more are refused.
pub const MAX_FIELDS: usize = 256;

/// A header field: its name, a token, and its value without white space at its ends.
pub type Field<'b> = httparse::Header<'b>;

/// Why field lines are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldsError {
    Malformed,
    TooMany,
}

/// Clearing all slots takes longer than reading what a head mostly has.
const FEW_FIELDS: usize = 32;

/// Reads field lines up to and including the empty line, and gives them to `then`.
pub(crate) fn with_fields<R>(
    lines: &[u8],
    then: impl FnOnce(&[Field<'_>]) -> R,
) -> Result<R, FieldsError> {
    let mut few = [EMPTY_HEADER; FEW_FIELDS];
    match parse(lines, &mut few) {
        Err(FieldsError::TooMany) => {}
        parsed => return parsed.map(then),
    }
    let mut many = [EMPTY_HEADER; MAX_FIELDS];
    parse(lines, &mut many).map(then)
}

fn parse<'b, 'h>(
    lines: &'b [u8],
    slots: &'h mut [Field<'b>],
) -> Result<&'h [Field<'b>], FieldsError> {
    match httparse::parse_headers(lines, slots) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(fields),
        Err(httparse::Error::TooManyHeaders) => Err(FieldsError::TooMany),
        Ok(httparse::Status::Partial) | Err(_) => Err(FieldsError::Malformed),
    }
}

/// The non-empty members of a comma-separated list (RFC 9110, section 5.6.1).
pub(crate) fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
