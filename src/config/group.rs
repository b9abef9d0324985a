//! Groups of this machine.

use std::fs;

use super::error::ValueError;
use crate::decimal::decimal;

/// group(5)
const FILE: &str = "/etc/group";

/// The number of the group `name`, which may be a number; `None` where there is no name.
///
/// The file is read by itself: getgrnam(3) loads libraries, which a static binary cannot.
pub(super) fn id(name: &str) -> Result<Option<u32>, ValueError> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(id) = decimal(name) {
        return Ok(Some(id));
    }
    let text = fs::read_to_string(FILE).map_err(ValueError::Groups)?;
    let id = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        found.then(|| fields.nth(1)?.parse().ok())?
    });
    id.map(Some)
        .ok_or_else(|| ValueError::NoGroup(name.to_owned()))
}
