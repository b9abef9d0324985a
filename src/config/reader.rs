//! Variables by their entries in the table, each fault noted and the next one read.

use std::ffi::OsString;
use std::fmt::Display;
use std::time::Duration;

use super::InheritedRoles;
use super::error::ValueError;
use super::variables::{Fallback, Form, Variable, find};
use super::{spelling, values};
use crate::finding::{Finding, Level};

/// What the variables come from, and what is found there.
pub(super) struct Reader<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) cores: usize,
    /// What socket units open.
    pub(super) inherited: InheritedRoles,
    faults: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    /// Each variable and its effective value, as it is shown.
    pub(super) effective: Vec<(&'static str, String)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        variable: &'a dyn Fn(&str) -> Option<OsString>,
        inherited: InheritedRoles,
    ) -> Self {
        Self {
            variable,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            inherited,
            faults: Vec::new(),
            warnings: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// Whether something is written. A variable that is empty counts as unset.
    pub(super) fn is_set(&self, name: &str) -> bool {
        (self.variable)(name).is_some_and(|text| !text.is_empty())
    }

    pub(super) fn fault(&mut self, name: &str, fault: impl Display) {
        self.faults.push(Finding::of(Level::Fault, name, fault));
    }

    /// Whether a fault of the variable has been found.
    pub(super) fn is_faulty(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault.subject == name)
    }

    /// A fault that names its variable by itself.
    pub(super) fn named_fault(&mut self, fault: impl Display) {
        self.faults.push(Finding::named(Level::Fault, fault));
    }

    pub(super) fn warn(&mut self, name: &str, warning: impl Display) {
        self.warnings
            .push(Finding::of(Level::Warning, name, warning));
    }

    pub(super) fn note(&mut self, name: &str, note: impl Display) {
        self.warnings.push(Finding::note(name, note));
    }

    /// What is wrong until somebody mends it, and no reason not to start.
    pub(super) fn broken(&mut self, name: &str, fault: impl Display) {
        self.warnings.push(Finding::of(Level::Fault, name, fault));
    }

    /// The variable, or its default, parsed. After a fault it is the default's value, so
    /// that the other variables are looked at too.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> T {
        let default = match entry(name).default {
            Fallback::Value(text) => text.to_owned(),
            Fallback::Cores => self.cores.to_string(),
            Fallback::Nothing(_) => String::new(),
        };
        let text = match (self.variable)(name).map(OsString::into_string) {
            None => default.clone(),
            Some(Ok(text)) if text.is_empty() => default.clone(),
            Some(Ok(text)) => text,
            Some(Err(_)) => {
                self.fault(name, ValueError::NotUtf8);
                default.clone()
            }
        };
        let is_path = matches!(entry(name).form, Form::Path | Form::Paths);
        if is_path && !text.is_empty() && text.trim().is_empty() {
            self.fault(name, ValueError::BlankPath);
        }
        let value = parse(text.trim()).unwrap_or_else(|fault| {
            self.fault(name, fault);
            parse(&default).expect("a default is valid")
        });
        self.effective.push((name, text));
        value
    }

    /// A number within the bounds of the table.
    pub(super) fn count(&mut self, name: &'static str) -> usize {
        let Form::Count(least, most) = entry(name).form else {
            unreachable!("{name} is not a number")
        };
        self.value(name, |text| values::count(text, least, most))
    }

    pub(super) fn seconds(&mut self, name: &'static str) -> Duration {
        self.value(name, values::seconds)
    }

    pub(super) fn switch(&mut self, name: &'static str) -> bool {
        self.value(name, values::switch)
    }

    /// Warns of those of `names` that are set while none of `needed` is.
    pub(super) fn unused(&mut self, names: &[&str], needed: &[&str]) {
        if needed.iter().any(|needed| self.is_set(needed)) {
            return;
        }
        let needed = needed.join(" or ");
        for name in names {
            if self.is_set(name) {
                self.warn(
                    name,
                    format_args!("it does nothing without {needed}; set {needed}, or leave it out"),
                );
            }
        }
    }

    /// Warns of `PORT`, by which many servers are told where to listen.
    pub(super) fn other_programs_port(&mut self, listen_is_set: bool) {
        let port = (self.variable)("PORT").and_then(|port| port.into_string().ok());
        let number = port.and_then(|port| port.trim().parse::<u16>().ok());
        if let Some(number) = number.filter(|_| !listen_is_set) {
            self.warn(
                "PORT",
                format_args!(
                    "origin-guard has no such variable; set LISTEN=0.0.0.0:{number} if it should \
                     listen there"
                ),
            );
        }
    }

    /// Warns of those of `names` that look like ours and are not.
    pub(super) fn look_for_misspelt(&mut self, names: &[String]) {
        for name in names {
            if let Some(meant) = spelling::meant(name) {
                self.warn(
                    name,
                    format_args!("origin-guard has no such variable; did you mean {meant}?"),
                );
            }
        }
    }

    /// The faults of the variables. What is doubted of a faulty one is left out: it may be the
    /// default, which was not written.
    pub(super) fn take_faults(&mut self) -> Vec<Finding> {
        let faults = std::mem::take(&mut self.faults);
        let is_faulty = |name: &str| faults.iter().any(|fault| fault.subject == name);
        self.warnings
            .retain(|found| found.is_fault() || !is_faulty(&found.subject));
        faults
    }
}

fn entry(name: &str) -> &'static Variable {
    find(name).unwrap_or_else(|| unreachable!("{name} is not in the table"))
}
