//! `check --unit`: what a service of systemd would find if it were started.
//!
//! Settings come from `systemctl show`. A transient service with the same user, credentials,
//! folders and limits then runs this program, so that files are read and addresses are bound
//! as the service would do it (systemd-run(1)).

mod environment;
mod error;
mod files;
mod socket_units;
mod systemctl;
mod within;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::report::Report;
use super::surroundings::Surroundings;
use crate::finding::{Finding, Level};
use crate::net::sockets::{self, OWN};
pub(super) use error::UnitError;
use socket_units::SocketUnit;
use systemctl::Properties;

/// What is asked of the service.
const ASKED: &[&str] = &[
    "LoadState",
    "LoadError",
    "NeedDaemonReload",
    "UnitFileState",
    "ActiveState",
    "ExecStart",
    "MainPID",
    "Environment",
    "EnvironmentFiles",
    "Requires",
    "MemoryMax",
];

/// What this program is called.
const OWN_NAME: &str = "origin-guard";

/// Looks at the service `name`.
///
/// # Errors
///
/// If systemd cannot be asked.
pub(super) fn look(name: &str, local: bool) -> Result<Report, UnitError> {
    let unit = if name.contains('.') {
        name.to_owned()
    } else {
        format!("{name}.service")
    };
    if !unit.ends_with(".service") {
        return Err(UnitError::NotAService(unit));
    }
    let asked = [ASKED, within::COPIED, &[within::RUNTIME, within::FOLDER]].concat();
    let service = systemctl::show(&[&unit], &asked)?.pop().unwrap_or_default();
    let mut findings = Vec::new();
    match service.get("LoadState") {
        "loaded" => {}
        "not-found" => return Err(UnitError::NotFound(unit)),
        state => findings.push(Finding::new(
            Level::Fault,
            &unit,
            format_args!(
                "systemd cannot load it ({state}): {}",
                service.get("LoadError")
            ),
            format_args!("mend what this names: systemd-analyze verify {unit}"),
        )),
    }
    let lines = systemctl::settings(&unit)?;
    let units = socket_units::of(&unit, &service)?;
    of_service(&unit, &service, &units, &mut findings);
    let program = program(&unit, &service, &mut findings)?;
    let credentials = files::credentials(&unit, &lines, &mut findings);
    let environment_files = files::environment_files(&service, &mut findings);
    for unit in &units {
        unit.look(local, &mut findings);
    }
    let surroundings = surroundings(&service, &units);
    let run = within::Run {
        unit: &unit,
        service: &service,
        credentials: &credentials,
        environment_files: &environment_files,
        program: &program,
        local,
    };
    let mut report = run.run(&surroundings, &mut findings)?;
    if findings.iter().any(files::is_of_credential) {
        // The secret is missing because its credential is, which has been said.
        let unset = |found: &Finding| {
            found.subject == "SHARED_SECRET" && found.what.starts_with("it is not set")
        };
        report.findings.retain(|found| !unset(found));
    }
    findings.append(&mut report.findings);
    report.findings = findings;
    Ok(report)
}

/// What its own settings say.
fn of_service(
    unit: &str,
    service: &Properties,
    sockets: &[SocketUnit],
    findings: &mut Vec<Finding>,
) {
    let mut warn = |what: &str, remedy: String| {
        findings.push(Finding::new(Level::Warning, unit, what, remedy));
    };
    if service.get("NeedDaemonReload") == "yes" {
        warn(
            "its files have changed, and systemd still uses the old ones",
            format!("run: systemctl daemon-reload && systemctl restart {unit}"),
        );
    }
    if service.get("UnitFileState") == "disabled" && !sockets.iter().any(SocketUnit::is_enabled) {
        warn(
            "it does not start with the machine",
            format!("run: systemctl enable {unit}"),
        );
    }
    let is_root = ["", "root", "0"].contains(&service.get("User"));
    if is_root && service.get("DynamicUser") != "yes" {
        warn(
            "it runs as root, who can read and change everything",
            "set DynamicUser=yes, or User= to one of its own".to_owned(),
        );
    }
    let environment = service.environment();
    let mut names = environment.iter().map(|(name, _)| name.as_str());
    if let Some(name) =
        names.find(|name| name.starts_with("SHARED_SECRET") && !name.ends_with("_FILE"))
    {
        findings.push(Finding::new(
            Level::Warning,
            name,
            format_args!(
                "it is in Environment= of {unit}, which every user can read (systemctl show)"
            ),
            "write it to a file of root's, mode 0600, and set \
             LoadCredential=shared-secret:/etc/origin-guard/shared-secret",
        ));
    }
}

/// Which program looks as the unit's user: this one, unless the unit cannot see it.
///
/// # Errors
///
/// If the unit runs another program, which is not to be run for a look at it.
fn program(
    unit: &str,
    service: &Properties,
    findings: &mut Vec<Finding>,
) -> Result<String, UnitError> {
    let own = std::env::current_exe().map(|path| path.to_string_lossy().into_owned());
    let own = own.unwrap_or_default();
    let configured = service.executable();
    if configured.is_empty() {
        return Ok(own);
    }
    let root = service.get("RootDirectory");
    let is_hidden = !root.is_empty()
        || service.get("ProtectHome") != "no"
            && ["/home/", "/root/", "/run/user/"]
                .iter()
                .any(|home| own.starts_with(home));
    let seen = Path::new("/")
        .join(root)
        .join(configured.trim_start_matches('/'));
    let metadata = fs::metadata(&seen);
    let is_program = metadata
        .as_ref()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    if !is_program {
        findings.push(Finding::new(
            Level::Fault,
            unit,
            format_args!("ExecStart= names {configured}, which cannot be run"),
            format_args!(
                "install it: install -m 0755 origin-guard {}",
                seen.display()
            ),
        ));
        return Ok(own);
    }
    let is_same = |own: &fs::Metadata| {
        metadata
            .as_ref()
            .is_ok_and(|other| (own.dev(), own.ino()) == (other.dev(), other.ino()))
    };
    if !fs::metadata(&own).as_ref().is_ok_and(is_same) {
        let is_named = seen.file_name().is_some_and(|name| name == OWN_NAME);
        if !is_named && !have_same_bytes(Path::new(&own), &seen) {
            return Err(UnitError::Foreign(unit.to_owned(), configured));
        }
        findings.push(Finding::note(
            unit,
            format_args!("it runs {configured}, and this is {own}"),
        ));
    }
    Ok(if is_hidden { configured } else { own })
}

fn have_same_bytes(one: &Path, other: &Path) -> bool {
    let size = |path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    let (Some(size), Some(wanted)) = (size(one), size(other)) else {
        return false;
    };
    size == wanted
        && fs::read(one)
            .ok()
            .is_some_and(|bytes| fs::read(other).is_ok_and(|other| other == bytes))
}

/// What the socket units and the running service have opened.
fn surroundings(service: &Properties, units: &[SocketUnit]) -> Surroundings {
    let sockets: Vec<_> = units.iter().flat_map(SocketUnit::sockets).collect();
    let mut held = Vec::new();
    let process = service.get("MainPID").parse().unwrap_or(0);
    if process != 0 {
        let inodes = sockets::held_by(process);
        let mut listening = sockets::listening(OWN);
        listening.extend(sockets::listening(&format!("/proc/{process}/net")));
        let mine = listening.into_iter();
        let mine = mine.filter(|socket| inodes.contains(&socket.inode));
        held.extend(mine.map(|socket| socket.address));
        held.retain(|address| !sockets.iter().any(|socket| socket.address == *address));
    }
    Surroundings {
        sockets,
        held,
        has_no_network: service.get("PrivateNetwork") == "yes",
        memory: service.get("MemoryMax").parse().ok(),
    }
}
