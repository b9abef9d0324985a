//! The files that systemd itself reads for a service before it is started.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use super::systemctl::Properties;
use crate::finding::{Finding, Level};
use crate::private_file;

/// What puts a file where the service finds it as a credential (systemd.exec(5)).
const CREDENTIALS: [&str; 3] = ["LoadCredential", "LoadCredentialEncrypted", "SetCredential"];

/// Largest file of variables, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// The credential that holds the secrets.
const SECRET: &str = "shared-secret";

/// A credential's setting: name and value.
pub(super) type Setting = (String, String);

/// The credentials of the unit whose settings are `lines`, but for those whose file cannot
/// be read, which keeps the unit from starting.
pub(super) fn credentials(
    unit: &str,
    lines: &[Setting],
    findings: &mut Vec<Finding>,
) -> Vec<Setting> {
    let mut found: Vec<Setting> = Vec::new();
    for (name, value) in lines {
        if CREDENTIALS.contains(&name.as_str()) {
            if value.is_empty() {
                // An empty setting takes back those before it.
                found.retain(|(earlier, _)| earlier != name);
            } else {
                found.push((name.clone(), value.clone()));
            }
        }
    }
    found.retain(|(name, value)| {
        let (id, path) = value.split_once(':').unwrap_or((value, ""));
        if name == "SetCredential" && id == SECRET {
            findings.push(Finding::new(
                Level::Warning,
                name,
                format_args!(
                    "the credential {id} stands in {unit}, which every user can read (systemctl \
                     show)"
                ),
                format_args!(
                    "put a fresh one into a file of root's (umask 077; origin-guard keygen > \
                     /etc/origin-guard/{id}), and set LoadCredential={id}:/etc/origin-guard/{id}"
                ),
            ));
        }
        // Another path is a name in the credential store, or has a specifier in it.
        if !path.starts_with('/') || path.contains('%') || name == "SetCredential" {
            return true;
        }
        if id == SECRET {
            findings.extend(doubt(name, Path::new(path)));
        }
        let Err(error) = fs::metadata(path) else {
            return true;
        };
        let remedy = if id == SECRET {
            format!("write it: (umask 077; origin-guard keygen > {path})")
        } else {
            format!("write the file, or take {name}={id} out of {unit}")
        };
        findings.push(Finding::new(
            Level::Fault,
            name,
            format_args!("the credential {id}: {path} cannot be read: {error}"),
            remedy,
        ));
        false
    });
    found
}

/// What is wrong with the file that the secret's credential is made of. systemd takes it
/// whoever else can read or change it, and the service sees the copy alone.
fn doubt(name: &str, path: &Path) -> Option<Finding> {
    match private_file::open(path) {
        Ok(opened) => {
            let warning = opened.warning?;
            Some(Finding::of(Level::Warning, name, warning))
        }
        Err(error) if error.is_from_the_system() => None,
        Err(error) => Some(Finding::of(Level::Fault, name, error)),
    }
}

/// Whether the finding is of a credential that cannot be had.
pub(super) fn is_of_credential(finding: &Finding) -> bool {
    finding.is_fault() && CREDENTIALS.contains(&finding.subject.as_str())
}

/// The files of `EnvironmentFile=`, as systemd-run(1) takes them, but for those that cannot
/// be read, which keeps the unit from starting.
pub(super) fn environment_files(service: &Properties, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in service
        .all("EnvironmentFiles")
        .filter(|entry| !entry.is_empty())
    {
        let (path, flags) = entry.split_once(" (").unwrap_or((entry, ""));
        let is_optional = flags.contains("ignore_errors=yes");
        if path.contains(['*', '?', '[']) {
            // A pattern, of which nothing has to be there (glob(7)).
            found.push(path.to_owned());
            continue;
        }
        let opened = match private_file::open(Path::new(path)) {
            Ok(opened) => opened,
            Err(error) if error.is_writable_by_others() => {
                // systemd takes it all the same.
                findings.push(Finding::of(Level::Warning, "EnvironmentFile", error));
                found.push(path.to_owned());
                continue;
            }
            Err(error) if !error.is_from_the_system() => {
                findings.push(Finding::of(Level::Fault, "EnvironmentFile", error));
                continue;
            }
            Err(_) if is_optional => {
                found.push(format!("-{path}"));
                continue;
            }
            Err(error) => {
                findings.push(unreadable(path, &error.to_string()));
                continue;
            }
        };
        match read(opened.file) {
            Ok(text) => {
                findings.extend(ignored(path, &text));
                found.push(path.to_owned());
            }
            Err(error) => {
                findings.push(unreadable(path, &format!("{path} cannot be read: {error}")));
            }
        }
    }
    found
}

/// The whole of a file, unless that is larger than such a file can be.
fn read(file: fs::File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn unreadable(path: &str, what: &str) -> Finding {
    Finding::new(
        Level::Fault,
        "EnvironmentFile",
        what,
        format_args!(
            "write it, or set EnvironmentFile=-{path} if it may be missing; its folder is {}",
            Path::new(path).parent().unwrap_or(Path::new("/")).display()
        ),
    )
}

/// The first line that systemd leaves out, because it is not an assignment.
fn ignored(path: &str, text: &str) -> Option<Finding> {
    let is_bad = |line: &str| {
        let name = line.split_once('=').map(|(name, _)| name.trim());
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        !line.is_empty() && !line.starts_with(['#', ';']) && !name.is_some_and(is_name)
    };
    // A value may go on over a line's end, by a backslash or inside of quotes.
    if text.contains(['\\', '"', '\'']) {
        return None;
    }
    let at = text.lines().position(|line| is_bad(line.trim()))?;
    Some(Finding::new(
        Level::Warning,
        "EnvironmentFile",
        format_args!(
            "{path}, line {}: it is not an assignment, and systemd leaves it out",
            at + 1
        ),
        "write NAME=value, without export",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_systemd_leaves_out_are_named() {
        let line = |text: &str| ignored("/a", text).map(|found| found.what);
        assert_eq!(line("# a\n\nLISTEN=127.0.0.1:1\n; b\n"), None);
        let said = line("LISTEN=127.0.0.1:1\nexport ACCESS_LOG=1\n").expect("a line");
        assert!(said.contains("line 2"), "{said}");
        assert!(line("LISTEN\n").is_some());
    }

    #[test]
    fn a_secret_that_stands_in_the_unit_is_a_warning_that_does_not_show_it() {
        let line = (
            "SetCredential".to_owned(),
            "shared-secret:s3cret".to_owned(),
        );
        let mut findings = Vec::new();
        credentials("x.service", &[line], &mut findings);
        let [found] = &findings[..] else {
            panic!("{findings:?}");
        };
        assert_eq!(found.level, Level::Warning);
        assert!(found.what.contains("every user can read"), "{found}");
        assert!(!found.to_string().contains("s3cret"), "{found}");
    }

    #[test]
    fn an_empty_setting_takes_back_what_came_before() {
        let lines = [
            ("LoadCredential", "a:/nowhere/a"),
            ("LoadCredential", ""),
            ("LoadCredential", "b:/nowhere/b"),
            ("SetCredential", "c:d"),
            ("User", "e"),
        ];
        let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut findings = Vec::new();
        let kept = credentials("x.service", &lines, &mut findings);
        assert_eq!(kept, lines[3..4]);
        assert!(findings.len() == 1 && findings[0].what.contains("/nowhere/b"));
    }
}
