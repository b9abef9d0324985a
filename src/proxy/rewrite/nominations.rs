//! The fields that `Connection` names (RFC 9110, section 7.6.1).

use crate::http1::fields::{Field, list};

/// The `Connection` fields of a head, if they name any field that would pass otherwise.
#[derive(Clone, Copy)]
pub(super) struct Nominations<'h, 'b>(&'h [Field<'b>]);

impl<'h, 'b> Nominations<'h, 'b> {
    /// Looks at `Connection` before anything is printed.
    pub(super) fn of(fields: &'h [Field<'b>]) -> Self {
        let names_a_field = options(fields).any(|option| !is_usual(option));
        Self(if names_a_field { fields } else { &[] })
    }

    /// Whether a field that is not our own is dropped.
    pub(super) fn drop(self, name: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let is_named = options(self.0).any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
        is_named && !is_end_to_end(name)
    }
}

fn options<'h>(fields: &'h [Field<'_>]) -> impl Iterator<Item = &'h [u8]> {
    fields
        .iter()
        .filter(|field| field.name.len() == 10 && field.name.eq_ignore_ascii_case("connection"))
        .flat_map(|field| list(field.value))
}

/// What names no field that passes anyway.
fn is_usual(option: &[u8]) -> bool {
    let usual = [&b"close"[..], b"keep-alive", b"upgrade", b"te"];
    usual.iter().any(|usual| option.eq_ignore_ascii_case(usual))
}

/// What a client may not have dropped, because the answer would be another one's or the
/// body another one.
fn is_end_to_end(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization")
        || name.eq_ignore_ascii_case("cookie")
        || name
            .as_bytes()
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
}
