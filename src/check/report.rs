//! What was found, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::finding::{Finding, Level};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
    /// Each variable and its effective value, the secret's redacted.
    pub configuration: Vec<(String, String)>,
}

impl Report {
    fn count(&self, level: Level) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.level == level).count()
    }

    /// Whether something stays wrong until somebody mends it.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.count(Level::Fault) > 0
    }

    /// Whether something may be wrong.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        self.count(Level::Warning) > 0
    }

    /// The last line: `ok`, or how many faults and warnings there are.
    #[must_use]
    pub fn verdict(&self) -> String {
        let counted = |level: Level| match self.count(level) {
            0 => None,
            1 => Some(format!("1 {}", level.name())),
            count => Some(format!("{count} {}s", level.name())),
        };
        let counts = [Level::Fault, Level::Warning].into_iter();
        let counts: Vec<_> = counts.filter_map(counted).collect();
        if counts.is_empty() {
            "ok".to_owned()
        } else {
            counts.join(", ")
        }
    }

    /// What is printed: the effective configuration, where it has no fault, then what is
    /// found, the worst last, a line each, and the verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.has_faults() {
            for (name, value) in &self.configuration {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name}={value}");
            }
        }
        for level in [Level::Note, Level::Warning, Level::Fault] {
            let found = self.findings.iter();
            for finding in found.filter(|finding| finding.level == level) {
                let _ = writeln!(text, "{}: {finding}", level.name());
            }
        }
        text + &self.verdict() + "\n"
    }

    /// The same as JSON; docs/operations.md describes it.
    #[must_use]
    pub fn json(&self) -> String {
        let result = match (self.has_faults(), self.has_warnings()) {
            (true, _) => "faults",
            (false, true) => "warnings",
            (false, false) => "ok",
        };
        let finding = |finding: &Finding| {
            json!({
                "level": finding.level.name(),
                "subject": finding.subject,
                "what": finding.what,
                "remedy": finding.remedy,
            })
        };
        let variable = |(name, value): &(String, String)| json!({"name": name, "value": value});
        // Where something is faulty, a default stands in its place.
        let configuration = if self.has_faults() {
            &[]
        } else {
            &self.configuration[..]
        };
        let report = json!({
            "result": result,
            "faults": self.count(Level::Fault),
            "warnings": self.count(Level::Warning),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "configuration": configuration.iter().map(variable).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }

    /// From what [`Self::json`] has written; `None` where it is something else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let report: Value = serde_json::from_slice(text).ok()?;
        let string = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let finding = |value: &Value| {
            let level = match value.get("level")?.as_str()? {
                "fault" => Level::Fault,
                "warning" => Level::Warning,
                _ => Level::Note,
            };
            Some(Finding {
                level,
                subject: string(value, "subject")?,
                what: string(value, "what")?,
                remedy: string(value, "remedy")?,
            })
        };
        let variable = |value: &Value| Some((string(value, "name")?, string(value, "value")?));
        Some(Self {
            findings: report
                .get("findings")?
                .as_array()?
                .iter()
                .map(finding)
                .collect::<Option<_>>()?,
            configuration: report
                .get("configuration")?
                .as_array()?
                .iter()
                .map(variable)
                .collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_survives_json() {
        let mut report = Report::default();
        assert_eq!(report.verdict(), "ok");
        report.findings = vec![
            Finding::note("BACKEND", "it answers"),
            Finding::new(Level::Warning, "LISTEN", "it is \"plain\"", "write tls:"),
        ];
        report.configuration = vec![("LISTEN".to_owned(), "a=b".to_owned())];
        assert_eq!(report.verdict(), "1 warning");
        let read = Report::parse(report.json().as_bytes()).expect("its own");
        assert_eq!(read.findings, report.findings);
        assert_eq!(read.configuration, report.configuration);
        let fault = Finding::new(Level::Fault, "A", "b", "c");
        report.findings.extend([fault.clone(), fault]);
        assert_eq!(report.verdict(), "2 faults, 1 warning");
        let text = report.text();
        assert!(!text.contains("LISTEN="), "{text}");
        let last: Vec<_> = text.lines().skip(1).collect();
        let wanted = [
            "warning: LISTEN: it is \"plain\"; write tls:",
            "fault: A: b; c",
            "fault: A: b; c",
            "2 faults, 1 warning",
        ];
        assert_eq!(last, wanted);
        assert!(Report::parse(b"{}").is_none() && Report::parse(b"no JSON").is_none());
    }
}
