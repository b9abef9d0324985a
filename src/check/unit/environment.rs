//! The variables of a unit on their way to the transient one.
//!
//! The environment of systemd-run(1) is no way: as root it would go by PATH, `LD_PRELOAD` or
//! the bus that the unit names. The command line is none, either: every user can read it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file for `EnvironmentFile=`, which root alone can read; gone when dropped.
pub(super) struct EnvironmentFile(PathBuf);

impl EnvironmentFile {
    /// `None` where there are no variables.
    ///
    /// # Errors
    ///
    /// If the system denies the file.
    pub(super) fn new(variables: &[(String, String)]) -> io::Result<Option<Self>> {
        if variables.is_empty() {
            return Ok(None);
        }
        let path = PathBuf::from(format!(
            "/run/origin-guard-check-{}.env",
            std::process::id()
        ));
        // What an ended process of the same number has left is nobody's.
        let _ = fs::remove_file(&path);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let made = Self(path);
        file.write_all(text(variables).as_bytes())?;
        Ok(Some(made))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for EnvironmentFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// In double quotes a backslash takes the next of these as it is (systemd.exec(5)).
fn text(variables: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        text += name;
        text += "=\"";
        for letter in value.chars() {
            if matches!(letter, '"' | '\\' | '`' | '$') {
                text.push('\\');
            }
            text.push(letter);
        }
        text += "\"\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_value_is_quoted() {
        let variables = [("A".to_owned(), "a \"$b\\`\n#c".to_owned())];
        assert_eq!(text(&variables), "A=\"a \\\"\\$b\\\\\\`\n#c\"\n");
    }
}
