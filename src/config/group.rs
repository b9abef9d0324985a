//! Groups of this machine.

use std::fs;

/// group(5)
const FILE: &str = "/etc/group";

/// The number of the group `name`, which may be a number; `None` where there is no name.
///
/// The file is read by itself: getgrnam(3) loads libraries, which a static binary cannot.
pub(super) fn id(name: &str) -> Result<Option<u32>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    let text = fs::read_to_string(FILE)
        .map_err(|error| format!("{FILE} cannot be read: {error}; write the group's number"))?;
    let id = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        found.then(|| fields.nth(1)?.parse().ok())?
    });
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(format!(
            "no group {name:?} is in {FILE}; make it (groupadd --system {name}) or write a number"
        )),
    }
}
