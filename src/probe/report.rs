//! What a probe has found: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::printable::{Printable, printable};

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It tells something of the origin.
    Note,
    /// It was left out.
    Skipped,
    /// As it should be.
    Ok,
    /// Nothing got through, and yet it should be mended.
    Warning,
    /// It could not be told.
    Inconclusive,
    /// The gateway itself cannot get in, or not safely.
    Fault,
    /// Something got through that must not.
    Hole,
}

impl Verdict {
    /// The exit status of a report in which nothing is worse: 0 where all is denied that must
    /// be, 1 where something got through or is at fault, 2 where it cannot be told.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Hole | Self::Fault => 1,
            Self::Inconclusive => 2,
            Self::Note | Self::Skipped | Self::Ok | Self::Warning => 0,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Inconclusive => "inconclusive",
            Self::Fault => "fault",
            Self::Hole => "hole",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: String,
    /// A status code, or a word.
    pub(super) answer: String,
    pub(super) verdict: Verdict,
    /// What it means.
    pub(super) detail: String,
}

/// All that has been found. It holds no secret.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) url: String,
    /// The address that was asked.
    pub(super) address: Option<String>,
    pub(super) header: String,
    /// What was announced.
    pub(super) forecast: usize,
    /// How many requests were sent.
    pub(super) requests: usize,
    /// How many of them were answered with 401, 403 or 429.
    pub(super) denials: usize,
    pub(super) findings: Vec<Finding>,
    pub(super) json: bool,
}

impl Report {
    fn worst(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Inconclusive)
    }

    /// The exit status of the command.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.worst().status()
    }

    /// What is printed.
    #[must_use]
    pub fn text(&self) -> String {
        if self.json { self.json() } else { self.table() }
    }

    fn count(&self, verdict: Verdict) -> usize {
        let of = |finding: &&Finding| finding.verdict == verdict;
        self.findings.iter().filter(of).count()
    }

    /// `11 requests sent, 9 of them denied (401, 403 or 429); 3 checks skipped`.
    fn counts(&self) -> String {
        let plural = |count, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let requests = plural(self.requests, "request");
        // Writing to a string cannot fail.
        let mut text = format!("{requests} sent");
        if self.requests > 0 {
            let _ = write!(text, ", {} of them denied (401, 403 or 429)", self.denials);
        }
        let skipped = self.count(Verdict::Skipped);
        if skipped > 0 {
            let _ = write!(text, "; {} skipped", plural(skipped, "check"));
        }
        text
    }

    fn summary(&self) -> String {
        let count = |verdict| self.count(verdict);
        let counts = [
            Verdict::Hole,
            Verdict::Fault,
            Verdict::Inconclusive,
            Verdict::Warning,
        ];
        let counts: Vec<_> = counts
            .into_iter()
            .filter(|&verdict| count(verdict) > 0)
            .map(|verdict| match (count(verdict), verdict.name()) {
                (1, name) => format!("1 {name}"),
                (count, name @ ("hole" | "fault" | "warning")) => format!("{count} {name}s"),
                (count, name) => format!("{count} {name}"),
            })
            .collect();
        let counts = counts.join(", ");
        let nothing = "nothing got through that must not";
        match self.worst() {
            Verdict::Hole | Verdict::Fault | Verdict::Inconclusive => counts,
            Verdict::Warning => format!("{nothing}; {counts}"),
            Verdict::Note | Verdict::Skipped | Verdict::Ok => nothing.into(),
        }
    }

    fn table(&self) -> String {
        let width = |of: fn(&Finding) -> usize| self.findings.iter().map(of).max().unwrap_or(0);
        let check = width(|finding| finding.check.len());
        let answer = width(|finding| finding.answer.len());
        let verdict = width(|finding| finding.verdict.name().len());
        let address = self.address.as_deref().unwrap_or("no address");
        // Writing to a string cannot fail.
        let mut text = String::new();
        let _ = writeln!(text, "{} ({address}), header {}\n", self.url, self.header);
        for finding in &self.findings {
            let line = format!(
                "{:<verdict$}  {:<check$}  {:<answer$}  {}",
                finding.verdict.name(),
                finding.check,
                finding.answer,
                finding.detail
            );
            let _ = writeln!(text, "{}", Printable(line.trim_end()));
        }
        let _ = writeln!(text, "\n{}\n{}", self.counts(), self.summary());
        text
    }

    fn json(&self) -> String {
        let finding = |finding: &Finding| {
            json!({
                "check": printable(&finding.check),
                "answer": printable(&finding.answer),
                "verdict": finding.verdict.name(),
                "detail": printable(&finding.detail),
            })
        };
        let findings: Vec<Value> = self.findings.iter().map(finding).collect();
        let result = match self.worst() {
            Verdict::Note | Verdict::Skipped | Verdict::Warning => Verdict::Ok,
            worst => worst,
        };
        let report = json!({
            "url": self.url,
            "address": self.address,
            "header": self.header,
            "requests_at_most": self.forecast,
            "requests": self.requests,
            "denials": self.denials,
            "result": result.name(),
            "findings": findings,
        });
        format!("{report:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[Verdict]) -> Report {
        let finding = |&verdict: &Verdict| Finding {
            check: "a".to_owned(),
            answer: "200".to_owned(),
            verdict,
            detail: "b\u{9b}31m\nnothing fake".to_owned(),
        };
        Report {
            url: "http://127.0.0.1:1".to_owned(),
            address: None,
            header: "X-Shared-Secret".to_owned(),
            forecast: 1,
            requests: 1,
            denials: 1,
            findings: verdicts.iter().map(finding).collect(),
            json: false,
        }
    }

    #[test]
    fn counts_have_their_plural() {
        let verdicts = [
            &[Verdict::Hole; 9][..],
            &[Verdict::Fault; 2],
            &[Verdict::Warning],
        ];
        let summary = report(&verdicts.concat()).summary();
        assert_eq!(summary, "9 holes, 2 faults, 1 warning");
        let warned = report(&[Verdict::Ok, Verdict::Warning]);
        assert_eq!(
            warned.summary(),
            "nothing got through that must not; 1 warning"
        );
        let unknown = report(&[Verdict::Hole, Verdict::Inconclusive, Verdict::Inconclusive]);
        assert_eq!(unknown.summary(), "1 hole, 2 inconclusive");
    }

    #[test]
    fn what_an_origin_says_stays_on_its_line() {
        let report = report(&[Verdict::Note]);
        for said in [report.table(), report.json()] {
            assert!(!said.contains('\u{9b}'), "{said:?}");
            assert!(
                !said.lines().any(|line| line.starts_with("nothing fake")),
                "{said}"
            );
        }
    }
}
