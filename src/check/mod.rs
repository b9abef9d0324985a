//! `origin-guard check`: is all in order?
//!
//! Every fault and warning comes with its remedy. What is written is looked at first, then
//! what this machine says of it: the clock, the limits, the addresses, the backends. With
//! `--unit` the same is done as the unit would do it.

mod addresses;
mod backends;
mod clock;
mod exposure;
mod limits;
mod origin_secret;
mod report;
mod running;
mod surroundings;
mod unanswered;
mod unit;

use std::error::Error;
use std::fmt;
use std::io;

use crate::app::InheritedSockets;
use crate::config::{Config, Environment};
use crate::finding::{Finding, Level};
use crate::printable::printable;
use crate::systemd::{self, InheritedSocket};

pub use report::Report;
use surroundings::Surroundings;

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct Options {
    /// `--local`: nothing is bound and nothing is connected to.
    pub local: bool,
    /// `--strict`: a warning is a failure.
    pub strict: bool,
    /// `--json`
    pub json: bool,
    /// `--unit`: a service of systemd whose settings are looked at, in place of the shell's.
    pub unit: Option<String>,
    /// `--within-unit`: how `--unit` runs this program as the unit's user, with what it
    /// knows of the unit on standard input.
    pub within_unit: bool,
}

/// Why nothing was looked at.
#[derive(Debug)]
pub enum CheckError {
    /// What systemd was asked did not go well.
    Unit(unit::UnitError),
    /// What `--unit` passes on cannot be read.
    Passed(io::Error),
}

impl fmt::Display for CheckError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(error) => error.fmt(to),
            Self::Passed(error) => write!(
                to,
                "--within-unit is what check --unit runs by itself, and reads what that passes on \
                 ({error}); use --unit"
            ),
        }
    }
}

impl Error for CheckError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unit(error) => Some(error),
            Self::Passed(error) => Some(error),
        }
    }
}

/// Looks at everything.
///
/// # Errors
///
/// If nothing could be looked at.
pub fn run(options: &Options) -> Result<Report, CheckError> {
    if let Some(unit) = &options.unit {
        return unit::look(unit, options.local).map_err(CheckError::Unit);
    }
    let mut findings = Vec::new();
    let surroundings = if options.within_unit {
        Surroundings::read(io::stdin().lock()).map_err(CheckError::Passed)?
    } else {
        inherited(&mut findings)
    };
    let mut roles = surroundings.roles();
    // A unit's ExecStartPre= is not passed the sockets that its ExecStart= gets.
    roles.unknown = options.local && !options.within_unit && systemd::is_started_by_systemd();
    let (config, faults) = Config::examine(&Environment {
        inherited: roles,
        ..Environment::of_process()
    });
    let is_sound = |variable: &str| faults.iter().all(|fault| fault.subject != variable);
    clock::look(&config, &mut findings);
    limits::look(&config, &surroundings, &mut findings);
    if !options.local {
        addresses::look(&config, &surroundings, &is_sound, &mut findings);
        backends::look(&config, &surroundings, &is_sound, &mut findings);
    }
    // What stands in the place of a faulty value is the default, of which nobody wants to know.
    findings.retain(|found| found.is_fault() || is_sound(&found.subject));
    if !config.has_relay() && !config.listen.is_empty() {
        findings.push(Finding::note(
            "BACKEND",
            "there is none: the guard answers by itself, at /protected and /verify",
        ));
    }
    let before = faults.into_iter().chain(config.warnings);
    Ok(Report {
        findings: before.chain(findings).collect(),
        configuration: config
            .effective
            .into_iter()
            .map(|(name, value)| (name.to_owned(), printable(&value)))
            .collect(),
    })
}

/// The sockets that this process was started with (`systemd-socket-activate`).
fn inherited(findings: &mut Vec<Finding>) -> Surroundings {
    let sockets = match systemd::inherited_sockets() {
        Ok(sockets) => sockets,
        Err(error) => {
            findings.push(Finding::of(Level::Fault, "socket unit", error));
            return Surroundings::default();
        }
    };
    findings.extend(sockets.iter().filter_map(InheritedSocket::warning));
    let surroundings = Surroundings::inherited(&sockets);
    match InheritedSockets::sort(sockets) {
        Ok(sorted) => findings.extend(sorted.warnings),
        Err(error) => findings.push(Finding::of(Level::Fault, "socket unit", error)),
    }
    surroundings
}
