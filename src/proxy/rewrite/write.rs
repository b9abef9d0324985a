//! Field lines -> bytes.

use itoa::Integer;

/// Appends a field line. Name and value were read from one, or are our own, so neither
/// holds CR or LF.
pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a `Content-Length`.
pub(super) fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number. `write!` takes as long for the four of an IPv4 address as half of a
/// head's fields do.
pub(super) fn number(out: &mut Vec<u8>, number: impl Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
