//! A run of the probe, and what it says.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::folder::Folder;
use crate::support::{SECRET, command};

/// What a run has said.
pub(crate) struct Report {
    pub(crate) status: Option<i32>,
    pub(crate) json: Value,
    pub(crate) errors: String,
}

/// A file with the right secret.
pub(crate) fn secret_file(folder: &Folder) -> PathBuf {
    folder.write("shared-secret", &format!("{SECRET}\n"))
}

/// Runs `probe URL --json` with the secret, and with `more`.
pub(crate) fn probe(url: &str, ca: Option<&Path>, more: &[&str]) -> Report {
    probe_with(url, ca, more, &[])
}

/// The same with these variables.
pub(crate) fn probe_with(
    url: &str,
    ca: Option<&Path>,
    more: &[&str],
    variables: &[(&str, &str)],
) -> Report {
    let folder = Folder::new(&format!("probe-{}", url.replace(['/', ':'], "-")));
    let secret = secret_file(&folder);
    let secret = secret.to_str().expect("UTF-8");
    run(
        url,
        ca,
        &[&["--secret-file", secret], more].concat(),
        variables,
    )
}

/// The same without the secret.
pub(crate) fn without_secret(url: &str, ca: Option<&Path>, more: &[&str]) -> Report {
    run(url, ca, more, &[])
}

fn run(url: &str, ca: Option<&Path>, more: &[&str], variables: &[(&str, &str)]) -> Report {
    let mut command = command();
    command.args(["probe", url, "--json"]).args(more);
    command.envs(variables.iter().copied());
    if let Some(ca) = ca {
        command.arg("--ca-file").arg(ca);
    }
    let output = command.output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (said, errors) = (text(output.stdout), text(output.stderr));
    for said in [&said, &errors] {
        assert!(!said.contains(SECRET), "the secret shows: {said}");
    }
    Report {
        status: output.status.code(),
        json: serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}")),
        errors,
    }
}

impl Report {
    /// The checks with this verdict, in order.
    pub(crate) fn with(&self, verdict: &str) -> Vec<String> {
        let findings = self.json["findings"].as_array().expect("findings");
        let findings = findings.iter();
        findings
            .filter(|finding| finding["verdict"] == verdict)
            .map(|finding| finding["check"].as_str().expect("a check").to_owned())
            .collect()
    }

    /// One member of what was found by `check`.
    pub(crate) fn of(&self, check: &str, member: &str) -> String {
        let findings = self.json["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["check"] == check);
        let found = found.unwrap_or_else(|| panic!("no {check:?} in {}", self.json));
        found[member].as_str().expect("a text").to_owned()
    }

    /// Nothing got through, and nothing is wrong.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.status, Some(0), "{:#}", self.json);
        assert_eq!(self.json["result"], "ok");
        for verdict in ["hole", "fault", "inconclusive", "warning"] {
            assert_eq!(self.with(verdict), [""; 0], "{:#}", self.json);
        }
    }

    /// These are the holes, and nothing else is wrong.
    pub(crate) fn assert_holes(&self, holes: &[&str]) {
        assert_eq!(self.with("hole"), holes, "{:#}", self.json);
        for verdict in ["fault", "inconclusive"] {
            assert_eq!(self.with(verdict), [""; 0], "{:#}", self.json);
        }
        let status = i32::from(!holes.is_empty());
        assert_eq!(self.status, Some(status), "{:#}", self.json);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.json["requests"].as_u64().expect("a number")
    }
}
