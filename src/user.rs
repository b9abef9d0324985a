//! Users of this machine.

use std::fmt;
use std::fs;

use crate::printable::Printable;

/// passwd(5)
const FILE: &str = "/etc/passwd";

/// A user's number. Displays as the name, where the file of users has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User(pub(crate) u32);

impl fmt::Display for User {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let name = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let number: u32 = fields.nth(1)?.parse().ok()?;
            (number == self.0).then_some(name)
        });
        match name {
            Some(name) => Printable(name).fmt(to),
            None => self.0.fmt(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_name_or_a_number() {
        assert_eq!(User(0).to_string(), "root");
        assert_eq!(User(4_000_000_001).to_string(), "4000000001");
    }
}
