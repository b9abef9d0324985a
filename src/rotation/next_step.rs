//! The commands that a step names for the next one, to be copied into a shell.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::ADMIN;
use crate::admin_client;
use crate::shell::word;

/// How the guard is named in a command: `--admin` with its address, or nothing where the
/// command finds the guard by itself.
pub(super) enum GuardName {
    At(Vec<String>),
    FoundByItself,
    /// The operator knows it.
    Unknown,
}

impl GuardName {
    /// By what `--admin` named, else by `ADMIN_LISTEN`, which the shell of the next command
    /// may not have; else by the socket of the unit.
    pub(super) fn find(named: &[String], variable: &impl Fn(&str) -> Option<OsString>) -> Self {
        let list = variable(ADMIN).and_then(|list| list.into_string().ok());
        match list.filter(|list| !list.is_empty()) {
            _ if !named.is_empty() => Self::At(named.to_vec()),
            Some(list) => Self::At(vec![list]),
            None if Path::new(admin_client::OF_UNIT).exists() => Self::FoundByItself,
            None => Self::Unknown,
        }
    }

    /// What to write for `ADDRESS`, where a command has that.
    pub(super) fn explanation(&self) -> Option<String> {
        matches!(self, Self::Unknown).then(|| {
            format!(
                "for ADDRESS write what the guard's {ADMIN} holds, such as 127.0.0.1:9100 or \
                 unix:{}",
                admin_client::OF_UNIT
            )
        })
    }

    /// `origin-guard secret status FILE --admin ADDRESS`.
    pub(super) fn command(&self, name: &'static str, file: &Path) -> String {
        let file = file.to_string_lossy();
        format!("origin-guard secret {name} {}{self}", word(&file))
    }
}

impl fmt::Display for GuardName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(addresses) => addresses
                .iter()
                .try_for_each(|address| write!(to, " --admin {}", word(address))),
            Self::FoundByItself => Ok(()),
            Self::Unknown => to.write_str(" --admin ADDRESS"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied() {
        let file = Path::new("/etc/origin guard");
        for (admin, wanted) in [
            (
                "127.0.0.1:9100",
                "'/etc/origin guard' --admin 127.0.0.1:9100",
            ),
            ("[::1]:9100", "'/etc/origin guard' --admin '[::1]:9100'"),
            ("unix:/a'b", r"'/etc/origin guard' --admin 'unix:/a'\''b'"),
        ] {
            let name = GuardName::find(&[], &|name| (name == ADMIN).then(|| admin.into()));
            let command = name.command("finish", file);
            assert_eq!(command, format!("origin-guard secret finish {wanted}"));
        }
        let named = ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned);
        let name = GuardName::find(&named, &|_| Some("127.0.0.1:3".into()));
        let wanted = " --admin 127.0.0.1:1 --admin 127.0.0.1:2";
        assert_eq!(name.to_string(), wanted, "what is named comes first");
        assert_eq!(word("/etc/origin-guard"), "/etc/origin-guard");
    }
}
