//! Addresses that a guard holds already: that one may be the one whose settings are looked at.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::admin_client::{self, Whose};
use crate::finding::{Finding, Level};
use crate::net::sockets::{self, OWN};
use crate::net::{Address, BindError};

/// What this program is called in /proc.
const OWN_NAME: &str = "origin-guard";
/// The service manager, which listens for socket units.
const SYSTEMD: u32 = 1;

/// Who holds addresses that are to be listened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The guard that is this process.
    Guard(u32),
    /// One of several guards, of which this process is the first.
    OneGuardOf(u32),
    /// systemd, for a socket unit.
    SocketUnit,
}

/// What is held, by whom.
#[derive(Default)]
pub(super) struct Held(Vec<(By, &'static str, Address)>);

impl Held {
    /// Takes note of `address`, which cannot be bound because of `error`. `false` where
    /// neither a guard nor systemd holds it, as far as that can be seen.
    pub(super) fn note(
        &mut self,
        variable: &'static str,
        address: &Address,
        error: &BindError,
    ) -> bool {
        let by = by(address, error);
        self.0.extend(by.map(|by| (by, variable, address.clone())));
        by.is_some()
    }

    /// One warning for each holder.
    pub(super) fn report(self, findings: &mut Vec<Finding>) {
        let mut left = self.0;
        while let Some((by, variable, _)) = left.first().cloned() {
            let (held, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|one| one.0 == by);
            left = others;
            let addresses: Vec<_> = held.iter().map(|one| one.2.to_string()).collect();
            let is_this = matches!(by, By::Guard(_)) && held.iter().any(is_asked_as_this);
            findings.push(finding(by, variable, &addresses, is_this));
        }
    }
}

/// Whether it is the operator's address of these variables, and a guard answers there.
fn is_asked_as_this((_, variable, address): &(By, &'static str, Address)) -> bool {
    let answers = || admin_client::status(address);
    *variable == "ADMIN_LISTEN"
        && answers().is_ok_and(|(status, whose)| {
            status.get("secrets").is_some() && whose.doubt(&[]).is_none()
        })
}

/// `is_this` where the guard is known to be the one whose settings are looked at.
fn finding(by: By, variable: &str, addresses: &[String], is_this: bool) -> Finding {
    let (verb, them) = match addresses {
        [_] => ("is", "it"),
        _ => ("are", "them"),
    };
    let addresses = addresses.join(" and ");
    match by {
        By::Guard(process) if is_this => Finding::note(
            variable,
            format_args!(
                "{addresses} {verb} this guard's own, which runs (process {process}) and answers at \
                 its ADMIN_LISTEN"
            ),
        ),
        By::Guard(process) | By::OneGuardOf(process) => {
            let unit = unit_of(process).map_or(String::new(), |unit| {
                format!("; as its unit would start it: origin-guard check --unit {unit}")
            });
            Finding::new(
                Level::Warning,
                variable,
                format_args!(
                    "{addresses} {verb} held by a running origin-guard (process {process}): in \
                     order if that is this one"
                ),
                format_args!(
                    "if it is another one, stop that or choose other addresses. To look at this \
                     one without binding {them}: origin-guard check --local{unit}"
                ),
            )
        }
        By::SocketUnit => Finding::new(
            Level::Warning,
            variable,
            format_args!(
                "{addresses} {verb} held by systemd for a socket unit: in order if that is this \
                 guard's"
            ),
            format_args!(
                "look whose {verb_is} (systemctl list-sockets), and with it: origin-guard check \
                 --unit origin-guard.service; or bind nothing: origin-guard check --local",
                verb_is = if verb == "is" { "it is" } else { "they are" }
            ),
        ),
    }
}

fn by(address: &Address, error: &BindError) -> Option<By> {
    if let Some(holder) = error.holder() {
        // Whoever starts a process chooses its name, so its user counts too.
        let is_believed = Whose::User(holder.user()?).doubt(&[]).is_none();
        return match holder.pid {
            _ if !is_believed => None,
            SYSTEMD => Some(By::SocketUnit),
            process => sockets::is_like_this(holder, OWN_NAME).then_some(By::Guard(process)),
        };
    }
    // A guard shows its open files to root alone (PR_SET_DUMPABLE(2const)).
    let user = error.is_in_use().then(|| user_at(address)).flatten()?;
    let is_believed = Whose::User(user).doubt(&[]).is_none();
    let guards = sockets::hidden(OWN_NAME, user);
    match &guards[..] {
        _ if !is_believed => None,
        [] => None,
        [process] => Some(By::Guard(*process)),
        [process, ..] => Some(By::OneGuardOf(*process)),
    }
}

/// Who has opened the socket that listens at `address`.
fn user_at(address: &Address) -> Option<u32> {
    if let Address::Unix(path) = address {
        return Some(fs::symlink_metadata(path).ok()?.uid());
    }
    let listening = sockets::listening(OWN);
    let mut others = listening.iter();
    others
        .find(|other| address.meets(&other.address))
        .and_then(|other| other.user)
}

/// The service that a process is of (`proc_pid_cgroup(5)`).
fn unit_of(process: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let mut groups = groups.lines().filter_map(|line| line.rsplit('/').next());
    let unit = groups.find(|group| group.ends_with(".service"))?;
    Some(unit.to_owned())
}
