//! This program, run as the unit would run it (systemd-run(1)).

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::environment::EnvironmentFile;
use super::error::UnitError;
use super::files::Setting;
use super::systemctl::Properties;
use crate::check::report::Report;
use crate::check::surroundings::Surroundings;
use crate::finding::{Finding, Level};
use crate::systemd::programs;

const PROGRAM: &str = "systemd-run";

/// Properties that decide what the service can read, bind and use. `systemctl show` prints
/// them as `systemd-run --property` takes them.
pub(super) const COPIED: &[&str] = &[
    "User",
    "Group",
    "DynamicUser",
    "SupplementaryGroups",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "NoNewPrivileges",
    "PrivateUsers",
    "PrivateNetwork",
    "PrivateTmp",
    "ProtectSystem",
    "ProtectHome",
    "RootDirectory",
    "BindPaths",
    "BindReadOnlyPaths",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "TemporaryFileSystem",
    "StateDirectory",
    "RestrictAddressFamilies",
    "IPAddressAllow",
    "IPAddressDeny",
    "LimitNOFILE",
    "UMask",
    "PassEnvironment",
    "UnsetEnvironment",
];

/// Folders that the service has below /run while it runs.
pub(super) const RUNTIME: &str = "RuntimeDirectory";

/// Where relative paths begin.
pub(super) const FOLDER: &str = "WorkingDirectory";

/// An empty one of these means something.
const MAY_BE_EMPTY: [&str; 1] = ["CapabilityBoundingSet"];

/// Statuses with which systemd ends what it cannot start (systemd.exec(5)).
const STATUSES: &[(i32, &str, &str)] = &[
    (200, "CHDIR", "look at WorkingDirectory="),
    (203, "EXEC", "look at the program that ExecStart= names"),
    (
        216,
        "GROUP",
        "make the groups that Group= and SupplementaryGroups= name (groupadd --system)",
    ),
    (
        217,
        "USER",
        "make the user that User= names (useradd --system), or set DynamicUser=yes",
    ),
    (
        233,
        "RUNTIME_DIRECTORY",
        "look at RuntimeDirectory=, and at what is in /run",
    ),
    (
        238,
        "STATE_DIRECTORY",
        "look at StateDirectory=, and at what is in /var/lib",
    ),
    (
        226,
        "NAMESPACE",
        "look at the paths that ReadWritePaths=, BindPaths= and the like name",
    ),
    (
        243,
        "CREDENTIALS",
        "look at the files that LoadCredential= names",
    ),
];

/// The least of them.
const FIRST_STATUS: i32 = 200;

/// What is run.
pub(super) struct Run<'a> {
    pub(super) unit: &'a str,
    pub(super) service: &'a Properties,
    pub(super) credentials: &'a [Setting],
    pub(super) environment_files: &'a [String],
    pub(super) program: &'a str,
    pub(super) local: bool,
}

impl Run<'_> {
    /// What the program has found there. Where it cannot be started, that is the finding.
    pub(super) fn run(
        &self,
        surroundings: &Surroundings,
        findings: &mut Vec<Finding>,
    ) -> Result<Report, UnitError> {
        // systemd reads it when the transient service starts, so it stays until that has ended.
        let variables =
            EnvironmentFile::new(&self.service.environment()).map_err(UnitError::Environment)?;
        let output = self
            .output(variables.as_ref(), surroundings)
            .map_err(|error| UnitError::Missing(PROGRAM, error))?;
        if let Some(report) = Report::parse(&output.stdout) {
            return Ok(report);
        }
        let status = output.status.code().unwrap_or(-1);
        if status < FIRST_STATUS {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(UnitError::Failed(PROGRAM, said));
        }
        let known = STATUSES.iter().find(|(known, ..)| *known == status);
        let (name, remedy) = known.map_or(("", "look at: journalctl -n 20"), |known| {
            (known.1, known.2)
        });
        findings.push(Finding::new(
            Level::Fault,
            self.unit,
            format_args!("systemd cannot start it: status={status} {name}"),
            remedy,
        ));
        Ok(Report::default())
    }

    fn output(
        &self,
        variables: Option<&EnvironmentFile>,
        surroundings: &Surroundings,
    ) -> io::Result<Output> {
        let mut child = self
            .command(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Where nothing reads it, the exit status tells why.
            let _ = stdin.write_all(surroundings.json().as_bytes());
        }
        child.wait_with_output()
    }

    fn command(&self, variables: Option<&EnvironmentFile>) -> Command {
        let mut command = programs::command(PROGRAM);
        command.args(["--quiet", "--wait", "--pipe", "--collect"]);
        command.arg(format!("--description=origin-guard check of {}", self.unit));
        let mut property = |name: &str, value: &str| {
            command.arg(format!("--property={name}={value}"));
        };
        for name in COPIED {
            let value = self.service.get(name);
            if !value.is_empty() || MAY_BE_EMPTY.contains(name) {
                property(name, value);
            }
        }
        let folder = self.service.get(FOLDER);
        if !folder.is_empty() {
            // `systemctl show` writes ! where the unit has -: it may be missing.
            property(FOLDER, &folder.replacen('!', "-", 1));
        }
        for name in self.service.get(RUNTIME).split_whitespace() {
            let folder = name.split(':').next().unwrap_or(name);
            let path = format!("/run/{folder}");
            if Path::new(&path).is_dir() {
                // It is the running service's, and must not go with the transient one.
                property("ReadWritePaths", &path);
            } else {
                property(RUNTIME, folder);
            }
        }
        for (name, value) in self.credentials {
            property(name, value);
        }
        // Environment= comes first: the files of the unit have the last word.
        if let Some(variables) = variables {
            property("EnvironmentFile", &variables.path().to_string_lossy());
        }
        for file in self.environment_files {
            property("EnvironmentFile", file);
        }
        command.args(["--", self.program, "check", "--within-unit", "--json"]);
        if self.local {
            command.arg("--local");
        }
        command
    }
}
