//! What a running guard says of its secrets at `/status`.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::admin_client::{self, Doubt, StatusError, Whose};
use crate::auth::secret_file::SecretFile;
use crate::net::Address;
use crate::printable::printable;
use crate::status::words::span;

/// What a source begins with, as a guard shows it.
const FILE_SOURCE: &str = "SHARED_SECRET_FILE:";
const CREDENTIAL_SOURCE: &str = "credential:";

/// How a guard uses its secrets.
pub(super) struct GuardStatus {
    pub(super) uptime: Duration,
    /// Whether requests have to present a secret there; a gateway alone sends it.
    pub(super) checks: bool,
    /// Whether a gateway there sends the current one.
    pub(super) sends: bool,
    /// The origins that refuse it.
    refused_by: Vec<RefusedBy>,
    read_at: SystemTime,
    /// Where its secrets come from.
    source: String,
    /// The current one first.
    pub(super) secrets: Vec<Used>,
    /// Whose process has told all this.
    whose: Whose,
}

/// An origin that has refused the secret of a gateway. Displays as what follows "its origin".
pub(super) struct RefusedBy {
    origin: String,
    times: u64,
    /// How long ago it did so last.
    last: Duration,
}

impl fmt::Display for RefusedBy {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            times,
            last,
        } = self;
        let (count, last) = (requests(*times), span(*last));
        write!(
            to,
            "{origin} has refused the secret of {count} in the last 10 min, the last one {last} ago"
        )
    }
}

/// How one secret is used.
pub(super) struct Used {
    pub(super) requests: u64,
    /// How long ago the last use was seen.
    pub(super) last: Option<Duration>,
    /// Who, how often, and how long ago.
    pub(super) clients: Vec<(String, u64, Option<Duration>)>,
    pub(super) by_others: u64,
}

/// Asks the guard at `address`.
pub(super) fn ask(address: &Address) -> Result<GuardStatus, StatusError> {
    let told = admin_client::status(address)?;
    read(&told.json, told.whose).ok_or(StatusError::NoGuard)
}

fn read(json: &Value, whose: Whose) -> Option<GuardStatus> {
    let secrets = &json["secrets"];
    let used = secrets["used"].as_array()?.iter();
    Some(GuardStatus {
        uptime: seconds(&json["uptime_seconds"])?,
        checks: secrets["checked"].as_bool()?,
        sends: secrets["sent"].as_bool()?,
        refused_by: refused_by(json),
        source: secrets["source"].as_str()?.to_owned(),
        read_at: SystemTime::UNIX_EPOCH.checked_add(seconds(&secrets["read_at"])?)?,
        secrets: used.map(read_used).collect::<Option<_>>()?,
        whose,
    })
}

/// Those that are over are left out, and a guard that is older tells nothing of it.
fn refused_by(json: &Value) -> Vec<RefusedBy> {
    let origin = |json: &Value| {
        let times = json["secret_refused_last_10_minutes"].as_u64()?;
        let last = seconds(&json["secret_refused_seconds_ago"])?;
        let origin = json["backend"].as_str()?;
        let is_now = json["secret_refused_now"].as_bool().unwrap_or(true);
        (times > 0 && is_now).then(|| RefusedBy {
            origin: printable(origin),
            times,
            last,
        })
    };
    let origins = json["backends"].as_array().into_iter().flatten();
    origins.filter_map(origin).collect()
}

fn read_used(json: &Value) -> Option<Used> {
    let clients = json["clients"].as_array()?.iter();
    let client = |json: &Value| {
        let name = json["client"].as_str()?;
        // It is printed to a terminal.
        let name = name.chars().filter(char::is_ascii_graphic).collect();
        let last = seconds(&json["last_used_seconds_ago"]);
        Some((name, json["requests"].as_u64()?, last))
    };
    Some(Used {
        requests: json["requests"].as_u64()?,
        last: seconds(&json["last_used_seconds_ago"]),
        clients: clients.map(client).collect::<Option<_>>()?,
        by_others: json["requests_of_other_clients"].as_u64()?,
    })
}

/// `1 request`, `2 requests`.
pub(super) fn requests(count: u64) -> String {
    match count {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    }
}

fn seconds(json: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(json.as_f64()?).ok()
}

impl GuardStatus {
    /// Why it may not be a guard that has told this. The owner of `file` can end a rotation
    /// without a lie.
    pub(super) fn doubt(&self, file: &SecretFile) -> Option<Doubt> {
        self.whose.doubt(&[file.owner])
    }

    /// Whether it is a gateway alone.
    pub(super) fn is_gateway(&self) -> bool {
        self.sends && !self.checks
    }

    /// The origins that refuse the secret.
    pub(super) fn refused_by(&self) -> impl Iterator<Item = &RefusedBy> {
        self.refused_by.iter().filter(|_| self.sends)
    }

    /// Whether it has its secrets from the file at `path`, as far as that shows: systemd's
    /// credential is a copy.
    pub(super) fn reads(&self, path: &Path) -> bool {
        if self.source.starts_with(CREDENTIAL_SOURCE) {
            return true;
        }
        let of_guard = self.source.strip_prefix(FILE_SOURCE);
        let of_guard = of_guard.and_then(|path| identity(Path::new(path)));
        of_guard.is_some() && of_guard == identity(path)
    }

    /// Why it does not have the secrets that `file` holds now. Displays as what follows its
    /// address. Guard and file are on one machine, and have one clock.
    pub(super) fn has_not_read(&self, file: &SecretFile) -> Option<NotRead> {
        if let Some(path) = self.source.strip_prefix(FILE_SOURCE) {
            // In a container the path is one of the container's own.
            if is_another(Path::new(path), file.path()) {
                return Some(NotRead::OtherFile {
                    own: path.to_owned(),
                    is_gateway: self.is_gateway(),
                });
            }
        } else if !self.source.starts_with(CREDENTIAL_SOURCE) {
            return Some(NotRead::Environment);
        }
        // It tells thousandths of a second.
        let read_at = self.read_at + Duration::from_millis(1);
        let has_read = self.secrets.len() == file.secrets && read_at >= file.changed;
        (!has_read).then_some(if self.source.starts_with(CREDENTIAL_SOURCE) {
            NotRead::OldCredential
        } else {
            NotRead::NotYet
        })
    }
}

/// Why a guard does not have the secrets of a file. Displays as what follows its address.
#[derive(Debug)]
pub(super) enum NotRead {
    /// It reads another one.
    OtherFile {
        /// Which one.
        own: String,
        is_gateway: bool,
    },
    /// It reads no file.
    Environment,
    /// systemd hands it the file when it starts.
    OldCredential,
    /// It looks every two seconds, or has found the file faulty.
    NotYet,
}

impl NotRead {
    /// Whether it may pass by itself.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::NotYet)
    }
}

impl fmt::Display for NotRead {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherFile { own, is_gateway } => write!(
                to,
                "{}reads another file ({}); ask the guard whose file this is, by its ADMIN_LISTEN \
                 (--admin ADDRESS), and not this one",
                if *is_gateway { "is a gateway and " } else { "" },
                own.escape_debug()
            ),
            Self::Environment => to.write_str(
                "has its secret from its environment; ask the guard that reads this file (--admin \
                 ADDRESS), or have this one use SHARED_SECRET_FILE",
            ),
            Self::OldCredential => to.write_str(
                "has not read the file as it is now: systemd hands it over at a start; run \
                 systemctl restart origin-guard",
            ),
            Self::NotYet => to.write_str(
                "has not read the file as it is now: wait two seconds and ask again; where it \
                 stays so, look for an error in its log",
            ),
        }
    }
}

impl std::error::Error for NotRead {}

/// What tells a file from all others of this machine.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Whether both are there and are not the same file.
fn is_another(one: &Path, other: &Path) -> bool {
    match (identity(one), identity(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}
