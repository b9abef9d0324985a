//! Addresses that a guard holds already: that one may be the one whose settings are looked at.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::admin_client::{self, Status, Whose};
use crate::config;
use crate::finding::{Finding, Level};
use crate::net::sockets;
use crate::net::{Address, BindError};
use crate::user::User;

/// What this program is called in /proc.
const OWN_NAME: &str = "origin-guard";
/// The service manager, which listens for socket units.
const SYSTEMD: u32 = 1;

/// Who holds addresses that are to be listened at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// The guard that is this process.
    Guard(u32),
    /// A process like a guard, of a user that is not believed.
    Stranger(u32, User),
    /// A program of this user, and which one cannot be seen. These are guards of that user's.
    Hidden(User, Vec<u32>),
    /// systemd, for a socket unit.
    SocketUnit,
}

/// An address that cannot be bound.
#[derive(Clone, Debug)]
struct Taken {
    by: By,
    variable: &'static str,
    address: Address,
    /// What listens there, or at a part of it, or at more.
    sockets: Vec<Address>,
}

/// What is held, by whom.
#[derive(Default)]
pub(super) struct Held(Vec<Taken>);

impl Held {
    /// Takes note of `address`, which cannot be bound because of `error`. `false` where
    /// neither a guard nor systemd holds it, as far as that can be seen.
    pub(super) fn note(
        &mut self,
        variable: &'static str,
        address: &Address,
        error: &BindError,
    ) -> bool {
        let taken = by(address, error).map(|(by, sockets)| Taken {
            by,
            variable,
            address: address.clone(),
            sockets,
        });
        let is_noted = taken.is_some();
        self.0.extend(taken);
        is_noted
    }

    /// One finding for each holder. `served` are the addresses that clients are to connect to:
    /// a guard that listens at none of them is another one.
    pub(super) fn report(self, served: &[Address], findings: &mut Vec<Finding>) {
        let operators = self.0.iter().filter(|taken| {
            // Who connects to what a socket unit opens would start its service.
            taken.variable == "ADMIN_LISTEN" && taken.by != By::SocketUnit
        });
        let answering: Vec<_> = operators
            .filter_map(|taken| Answering::at(&taken.address))
            .collect();
        let believed = || answering.iter().filter(|one| one.is_believed);
        let known = |taken: Taken| match &taken.by {
            By::Hidden(_, guards) => {
                let holder = believed().find_map(|one| one.holder_of(&taken, guards));
                let by = holder.map_or(taken.by.clone(), By::Guard);
                Taken { by, ..taken }
            }
            _ => taken,
        };
        let mut left = Vec::new();
        for taken in self.0.into_iter().map(known) {
            let mut answers = answering.iter();
            let answer = answers.find(|one| one.address == taken.address);
            match answer.filter(|answer| answer.is_another(served)) {
                Some(answer) => findings.push(answer.warning(&taken)),
                None => left.push(taken),
            }
        }
        while let Some(Taken { by, variable, .. }) = left.first().cloned() {
            let (held, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|taken| taken.by == by);
            left = others;
            let mut addresses: Vec<_> = held.iter().flat_map(Taken::really).collect();
            addresses.dedup();
            let answers = |taken: &Taken| believed().any(|one| one.address == taken.address);
            let is_this = held.iter().any(answers);
            findings.push(finding(&by, variable, &addresses, is_this));
        }
    }
}

impl Taken {
    /// What is held: no more and no less than what listens.
    fn really(&self) -> Vec<String> {
        let wanted = &self.address;
        let is_it = |socket: &Address| socket.socket_addr() == wanted.socket_addr();
        if self.sockets.is_empty() || self.sockets.iter().any(is_it) {
            return vec![wanted.to_string()];
        }
        let sockets = self.sockets.iter().map(|socket| {
            if wanted.takes(socket, &[]) {
                format!("{socket} (a part of {wanted})")
            } else {
                format!("{socket} (which includes {wanted})")
            }
        });
        sockets.collect()
    }
}

/// A guard that answers at an address of the operator's.
struct Answering {
    address: Address,
    /// What it says its process is, unless the kernel says another one.
    process: Option<u32>,
    /// Where it says that it listens.
    listeners: Vec<String>,
    /// Whether it runs as a user that is believed.
    is_believed: bool,
}

impl Answering {
    fn at(address: &Address) -> Option<Self> {
        let Status {
            json,
            whose,
            process,
        } = admin_client::status(address).ok()?;
        let said = json["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let listeners = json["listeners"].as_array().into_iter().flatten();
        let listeners = listeners.filter_map(|listener| Some(listener.as_str()?.to_owned()));
        json.get("secrets").is_some().then(|| Self {
            address: address.clone(),
            process: said.filter(|said| process.is_none_or(|process| process == *said)),
            listeners: listeners.collect(),
            is_believed: whose.doubt(&[]).is_none(),
        })
    }

    /// Its process, where it is one of `guards` and has what listens at the address. In a
    /// container the number that it says is another process here or none, and the address may
    /// be one of another network, so that its word alone is not enough.
    fn holder_of(&self, taken: &Taken, guards: &[u32]) -> Option<u32> {
        let process = self.process.filter(|process| guards.contains(process))?;
        let mut all = taken.sockets.iter().chain([&taken.address]);
        let is_said = all.any(|address| self.listeners.contains(&address.to_string()));
        (is_said && sockets::is_in_network_of(process, &taken.address)).then_some(process)
    }

    /// Whether it says where it listens, and that is at none of `served`. Nobody gains by a
    /// lie, which earns a warning in any case.
    fn is_another(&self, served: &[Address]) -> bool {
        let is_one = |listener: &String| {
            let said = config::addresses(listener).unwrap_or_default();
            let is_at = |own: &Address| {
                let leads = |said: &Address| own.meets(said) || own.leads_to(said);
                own.to_string() == *listener || said.iter().any(leads)
            };
            served.iter().any(is_at)
        };
        let has_all = !self.listeners.is_empty() && !served.is_empty();
        has_all && !self.listeners.iter().any(is_one)
    }

    /// What is `taken` is the operator's address of another guard, or of this one, whose
    /// addresses have changed since it was started.
    fn warning(&self, taken: &Taken) -> Finding {
        let process = match taken.by {
            By::Guard(process) | By::Stranger(process, _) => Some(process),
            _ => None,
        };
        let process = process.map_or(String::new(), |process| format!(", process {process},"));
        Finding::new(
            Level::Warning,
            taken.variable,
            format_args!(
                "{} is held by a guard{process} that listens elsewhere, at {}",
                taken.address,
                self.listeners.join(" and ")
            ),
            "in order if that guard ends before one with these settings starts; one that is to \
             run beside it needs another address here",
        )
    }
}

/// `is_this` where the guard is known to be the one whose settings are looked at.
fn finding(by: &By, variable: &str, addresses: &[String], is_this: bool) -> Finding {
    let (verb, them, they_are) = match addresses {
        [_] => ("is", "it", "it is"),
        _ => ("are", "them", "they are"),
    };
    let addresses = addresses.join(" and ");
    let warning = |what: String, remedy: String| {
        let what = format!("{addresses} {verb} held by {what}");
        Finding::new(Level::Warning, variable, what, remedy)
    };
    let local = format!("without binding {them}: origin-guard check --local");
    match by {
        By::Guard(process) if is_this => Finding::note(
            variable,
            format_args!(
                "{addresses} {verb} this guard's own, which runs (process {process}) and answers at \
                 its ADMIN_LISTEN"
            ),
        ),
        By::Guard(process) => warning(
            format!("a running origin-guard (process {process}): in order if that is this one"),
            format!(
                "if it is another one, stop that or choose other addresses. To look at this one \
                 {local}{}",
                as_unit(*process)
            ),
        ),
        By::Stranger(process, user) => warning(
            format!(
                "a program like origin-guard (process {process}) of user {user}: in order if that \
                 is the guard, which runs as that user"
            ),
            format!(
                "else stop it, or choose other addresses. To look at the guard {local}{}",
                as_unit(*process)
            ),
        ),
        By::Hidden(user, _) => warning(
            format!(
                "a program of user {user}, as whom origin-guard runs too: whether it is a guard, \
                 and which one, cannot be told from here"
            ),
            format!(
                "run check as root, or set ADMIN_LISTEN to where the guard answers. To look {local}"
            ),
        ),
        By::SocketUnit => warning(
            "systemd for a socket unit: in order if that is this guard's".to_owned(),
            format!(
                "look whose {they_are} (systemctl list-sockets), and with it: origin-guard check \
                 --unit origin-guard.service; or bind nothing: origin-guard check --local"
            ),
        ),
    }
}

/// Who holds `address`, and what listens there.
fn by(address: &Address, error: &BindError) -> Option<(By, Vec<Address>)> {
    if !error.is_in_use() {
        return None;
    }
    let sockets = match address {
        Address::Unix(_) => Vec::new(),
        _ => sockets::meeting(address),
    };
    let found = sockets.iter().map(|socket| socket.address.clone());
    let found: Vec<_> = found.collect();
    let Some(holder) = error.holder() else {
        // A guard shows its open files to root alone (PR_SET_DUMPABLE(2const)).
        let users: Vec<_> = match address {
            Address::Unix(path) => vec![fs::symlink_metadata(path).ok()?.uid()],
            _ => sockets.iter().filter_map(|socket| socket.user).collect(),
        };
        let guards = |user: &u32| sockets::hidden(OWN_NAME, *user);
        let hidden = users.iter().all(|user| !guards(user).is_empty());
        let user = users.first().filter(|_| hidden)?;
        return Some((By::Hidden(User(*user), guards(user)), found));
    };
    let process = holder.pid;
    if sockets::is_shared(address, process) {
        return None;
    }
    // Whoever starts a process chooses its name, so its user counts too.
    let user = holder.user()?;
    let is_believed = Whose::User(user).doubt(&[]).is_none();
    let by = match process {
        SYSTEMD if is_believed => By::SocketUnit,
        _ if !sockets::is_like_this(holder, OWN_NAME) => return None,
        _ if is_believed => By::Guard(process),
        _ => By::Stranger(process, User(user)),
    };
    Some((by, found))
}

/// How to look at the process as its unit starts it, if it has one.
fn as_unit(process: u32) -> String {
    unit_of(process).map_or(String::new(), |unit| {
        format!("; as its unit would start it: origin-guard check --unit {unit}")
    })
}

/// The service that a process is of (`proc_pid_cgroup(5)`).
fn unit_of(process: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let mut groups = groups.lines().filter_map(|line| line.rsplit('/').next());
    let unit = groups.find(|group| group.ends_with(".service"))?;
    Some(unit.to_owned())
}
