//! Why a unit could not be looked at.

use std::error::Error;
use std::fmt;
use std::io;

/// Why systemd was not asked with success.
#[derive(Debug)]
pub enum UnitError {
    /// A program of systemd cannot be run.
    Missing(&'static str, io::Error),
    /// It fails, and says why.
    Failed(&'static str, String),
    /// There is no such unit.
    NotFound(String),
    /// It has no service's settings.
    NotAService(String),
    /// It runs another program.
    Foreign(String, String),
    /// What the unit sets cannot be passed on.
    Environment(io::Error),
}

impl fmt::Display for UnitError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(program, error) => write!(
                to,
                "{program} cannot be run: {error}; --unit needs systemd, leave it out where \
                 there is none"
            ),
            Self::Failed(program, said) => {
                write!(
                    to,
                    "{program} fails: {}; run this as root, and look at: journalctl -n 20",
                    said.trim()
                )
            }
            Self::NotFound(unit) => write!(
                to,
                "systemd has no unit {unit}; look at its name (systemctl list-unit-files), or \
                 install it: origin-guard print unit"
            ),
            Self::Foreign(unit, program) => write!(
                to,
                "{unit} starts {program}, which is not origin-guard, so that check does not run \
                 it; name a unit whose ExecStart= is origin-guard"
            ),
            Self::Environment(error) => write!(
                to,
                "the variables of the unit cannot be passed on below /run: {error}; run this as \
                 root"
            ),
            Self::NotAService(unit) => {
                write!(
                    to,
                    "{unit} is not a service; name the service that it starts"
                )
            }
        }
    }
}

impl Error for UnitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Missing(_, error) | Self::Environment(error) => Some(error),
            _ => None,
        }
    }
}
