//! Why a step of a rotation is not taken.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::auth::secret_file::SecretFileError;
use crate::net::Address;
use crate::shown_path::ShownPath;
use crate::usage::UsageError;

/// Why a command on a file of secrets failed. Displays as the message for the operator,
/// which says what to do and never shows a secret.
#[derive(Debug)]
pub enum SecretError {
    /// The command line is wrong.
    Usage(UsageError),
    /// No file is named.
    NoFile,
    /// No file is named, and the secret is in the environment.
    InEnvironment,
    /// What is written in the place of the file may be a secret.
    Argument,
    /// No guard is named.
    NoGuard,
    /// What should be a guard's address is none.
    Address(String),
    /// The file cannot be used or changed.
    File(SecretFileError),
    /// The system has no randomness.
    Randomness(io::Error),
    /// Standard input holds no secret, or cannot be read.
    Input(String),
    /// The secret of standard input is a previous one of this file, on this line.
    IsPrevious(PathBuf, usize),
    /// The secret is in the file, and could not be printed.
    Print(io::Error),
    /// Standard output is a log.
    PrintToLog,
    /// The file holds previous secrets already.
    UnderWay(usize),
    /// The guard that reads the file is a gateway, which would send the new secret at once.
    GatewayFirst(Address),
    /// Why the previous secret stays: a line for each guard that has something against it.
    NotYet(Vec<Against>),
    /// Guards that cannot be asked, or read another file, a line each.
    Unasked(Vec<String>),
}

/// What speaks against an end of a rotation.
#[derive(Debug)]
pub struct Against {
    /// For the operator, with what to do.
    pub(super) what: String,
    /// Whether waiting is enough.
    pub(super) passes: bool,
}

impl SecretError {
    /// The exit status of a command, after sysexits(3).
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::NoFile
            | Self::InEnvironment
            | Self::Argument
            | Self::NoGuard
            | Self::Address(_) => 64,
            Self::File(error) => error.status(),
            Self::Randomness(_)
            | Self::Input(_)
            | Self::IsPrevious(..)
            | Self::Print(_)
            | Self::PrintToLog
            | Self::UnderWay(_)
            | Self::GatewayFirst(_)
            | Self::NotYet(_)
            | Self::Unasked(_) => 1,
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(to),
            Self::NoFile => to.write_str(
                "no file is named; name the file of secrets behind the command (or the folder \
                 that systemd takes the credential from), or set SHARED_SECRET_FILE",
            ),
            Self::InEnvironment => to.write_str(
                "no file is named, and the secret is in SHARED_SECRET, where no command can change \
                 it; either move it to a file:\n  \
                 (umask 077; printf '%s\\n' \"$SHARED_SECRET\" > /etc/origin-guard/shared-secret)\n  \
                 set SHARED_SECRET_FILE=/etc/origin-guard/shared-secret in place of SHARED_SECRET, \
                 restart the guard, and run this again\n\
                 or rotate by hand: put the new secret into SHARED_SECRET and the old one into \
                 SHARED_SECRET_PREVIOUS at the origin and restart it, then give the gateway the new \
                 one, and then take SHARED_SECRET_PREVIOUS away",
            ),
            Self::Argument => to.write_str(
                "the argument is no file that is there, and is not shown, as it may be a secret; \
                 write a file as ./NAME, and a secret on standard input (secret rotate --stdin)",
            ),
            Self::NoGuard => to.write_str(
                "no running guard is named; give --admin ADDRESS, the ADMIN_LISTEN of the guard \
                 (once for each guard), or set ADMIN_LISTEN",
            ),
            Self::Address(error) => write!(to, "--admin or ADMIN_LISTEN: {error}"),
            Self::File(error) => error.fmt(to),
            Self::Randomness(error) => write!(to, "the system gives no random bytes: {error}"),
            Self::Input(what) => write!(to, "standard input: {what}"),
            Self::IsPrevious(path, line) => write!(
                to,
                "standard input: {} holds this secret already as a previous one, on line {line}; to \
                 make it the current one again, move that line above the other secrets in an \
                 editor, else give another secret",
                ShownPath(path)
            ),
            Self::Print(error) => write!(
                to,
                "the new secret is in the file, and cannot be written to standard output ({error}); \
                 take it from the first line of the file"
            ),
            Self::PrintToLog => to.write_str(
                "standard output is the journal, which is not a place for a secret; leave --print \
                 out, and take it from the file",
            ),
            Self::UnderWay(secrets) => write!(
                to,
                "the file holds {secrets} secrets, so a rotation is under way; end it with \
                 `origin-guard secret finish`, or give --force to put one more in front"
            ),
            Self::GatewayFirst(address) => write!(
                to,
                "the guard at {address} is a gateway: it would send the new secret at once, and the \
                 origin would refuse it; rotate the origin's file first, then give this one the \
                 same secret by --stdin; --force rotates this one all the same"
            ),
            Self::NotYet(reasons) => {
                to.write_str("the previous secret stays:")?;
                for reason in reasons {
                    write!(to, "\n  {}", reason.what)?;
                }
                if reasons.iter().any(|reason| reason.passes) {
                    to.write_str("\ntry again later")?;
                }
                to.write_str("\n--force asks no guard and removes it all the same")
            }
            Self::Unasked(reasons) => to.write_str(&reasons.join("\n")),
        }
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Usage(error) => Some(error),
            Self::File(error) => Some(error),
            Self::Randomness(error) | Self::Print(error) => Some(error),
            _ => None,
        }
    }
}

impl From<UsageError> for SecretError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<SecretFileError> for SecretError {
    fn from(error: SecretFileError) -> Self {
        Self::File(error)
    }
}
