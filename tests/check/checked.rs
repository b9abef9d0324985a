//! Runs `check`, and looks at what it has found.

use std::process::Command;

use serde_json::Value;

use crate::support::SECRET;

/// What it must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Warning,
    Fault,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// A report as JSON, with its exit status.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) status: Option<i32>,
    pub(crate) report: Value,
}

impl Checked {
    /// Runs `check --json` with what `command` has already.
    pub(crate) fn run(command: &mut Command, options: &[&str]) -> Self {
        let output = command.args(["check", "--json"]).args(options).output();
        let output = output.expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains(SECRET), "the secret shows: {said}");
        let errors = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
        Self {
            status: output.status.code(),
            report,
        }
    }

    pub(crate) fn findings(&self) -> &[Value] {
        self.report["findings"].as_array().expect("findings")
    }

    /// Asserts that nothing is wrong.
    pub(crate) fn assert_is_ok(&self) {
        assert_eq!(self.report["result"], "ok", "{:#?}", self.findings());
        assert_eq!(self.status, Some(0));
    }

    /// Those that are no notes.
    pub(crate) fn complaints(&self) -> Vec<&Value> {
        let findings = self.findings().iter();
        findings
            .filter(|finding| finding["level"] != "note")
            .collect()
    }

    /// Asserts that `what` is found of `subject`, with a remedy that holds `remedy`, that
    /// nothing is without one, and that the exit status is that of the level.
    pub(crate) fn assert_finds(&self, level: Level, subject: &str, what: &str, remedy: &str) {
        let holds = |finding: &Value, field: &str, wanted: &str| {
            finding[field].as_str().expect("a text").contains(wanted)
        };
        let found = self.findings().iter().any(|finding| {
            finding["level"] == level.name()
                && finding["subject"] == subject
                && holds(finding, "what", what)
                && holds(finding, "remedy", remedy)
        });
        assert!(
            found,
            "no {subject}: {what}; {remedy} in {:#?}",
            self.findings()
        );
        for complaint in self.complaints() {
            let remedy = complaint["remedy"].as_str().expect("a text");
            assert!(!remedy.is_empty(), "no remedy: {complaint}");
        }
        let status = if level == Level::Fault { 78 } else { 0 };
        assert_eq!(self.status, Some(status), "{:#?}", self.findings());
    }
}
