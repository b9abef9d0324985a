//! Addresses that a guard holds already: that one may be the one whose settings are looked at.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::admin_client::{self, Status, Whose};
use crate::finding::{Finding, Level};
use crate::net::sockets::{self, OWN};
use crate::net::{Address, BindError};

/// What this program is called in /proc.
const OWN_NAME: &str = "origin-guard";
/// The service manager, which listens for socket units.
const SYSTEMD: u32 = 1;

/// Who holds addresses that are to be listened at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// The guard that is this process, or one of several that are.
    Guards(Vec<u32>),
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
        let before = self.0.len();
        let by = by(address, error);
        self.0.extend(by.map(|by| (by, variable, address.clone())));
        self.0.len() > before
    }

    /// One warning for each holder.
    pub(super) fn report(self, findings: &mut Vec<Finding>) {
        let operators = self.0.iter().filter(|(by, variable, _)| {
            // Who connects to what a socket unit opens would start its service.
            *variable == "ADMIN_LISTEN" && *by != By::SocketUnit
        });
        let answering: Vec<_> = operators
            .filter_map(|(_, _, address)| Answering::at(address))
            .collect();
        let known = |(by, variable, address): (By, _, Address)| {
            let by = match by {
                By::Guards(guards) if guards.len() > 1 => {
                    let mut holders = answering.iter();
                    let holder = holders.find_map(|one| one.holder_of(&address, &guards));
                    By::Guards(holder.map_or(guards, |holder| vec![holder]))
                }
                by => by,
            };
            (by, variable, address)
        };
        let mut left: Vec<_> = self.0.into_iter().map(known).collect();
        while let Some((by, variable, _)) = left.first().cloned() {
            let (held, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|one| one.0 == by);
            left = others;
            let addresses: Vec<_> = held.iter().map(|one| one.2.to_string()).collect();
            let answers = |address: &Address| answering.iter().any(|one| one.address == *address);
            let is_one = matches!(&by, By::Guards(guards) if guards.len() == 1);
            let is_this = is_one && held.iter().any(|one| answers(&one.2));
            findings.push(finding(&by, variable, &addresses, is_this));
        }
    }
}

/// A guard that answers at an address of the operator's. It runs as a user that is believed.
struct Answering {
    address: Address,
    /// What it says its process is, unless the kernel says another one.
    process: Option<u32>,
    /// Where it says that it listens.
    listeners: Vec<String>,
}

impl Answering {
    fn at(address: &Address) -> Option<Self> {
        let Status {
            json,
            whose,
            process,
        } = admin_client::status(address).ok()?;
        let is_believed = json.get("secrets").is_some() && whose.doubt(&[]).is_none();
        let said = json["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let listeners = json["listeners"].as_array().into_iter().flatten();
        let listeners = listeners.filter_map(|listener| Some(listener.as_str()?.to_owned()));
        is_believed.then(|| Self {
            address: address.clone(),
            process: said.filter(|said| process.is_none_or(|process| process == *said)),
            listeners: listeners.collect(),
        })
    }

    /// Its process, where it is one of `guards` and has what listens at `address`. In a
    /// container the number that it says is another process here or none, and the address may
    /// be one of another network, so that its word alone is not enough.
    fn holder_of(&self, address: &Address, guards: &[u32]) -> Option<u32> {
        let process = self.process.filter(|process| guards.contains(process))?;
        let is_said = self.listeners.contains(&address.to_string());
        (is_said && sockets::is_in_network_of(process, address)).then_some(process)
    }
}

/// `is_this` where the guard is known to be the one whose settings are looked at.
fn finding(by: &By, variable: &str, addresses: &[String], is_this: bool) -> Finding {
    let (verb, them) = match addresses {
        [_] => ("is", "it"),
        _ => ("are", "them"),
    };
    let addresses = addresses.join(" and ");
    let guard = match by {
        By::Guards(guards) => guards.first(),
        By::SocketUnit => None,
    };
    match guard {
        Some(process) if is_this => Finding::note(
            variable,
            format_args!(
                "{addresses} {verb} this guard's own, which runs (process {process}) and answers at \
                 its ADMIN_LISTEN"
            ),
        ),
        Some(&process) => {
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
        None => Finding::new(
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
            process if sockets::is_shared(address, process) => None,
            SYSTEMD => Some(By::SocketUnit),
            process => sockets::is_like_this(holder, OWN_NAME).then(|| By::Guards(vec![process])),
        };
    }
    // A guard shows its open files to root alone (PR_SET_DUMPABLE(2const)).
    let user = error.is_in_use().then(|| user_at(address)).flatten()?;
    let is_believed = Whose::User(user).doubt(&[]).is_none();
    let guards = sockets::hidden(OWN_NAME, user);
    (is_believed && !guards.is_empty()).then_some(By::Guards(guards))
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
