//! What a running guard says of its secrets at `/status`.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::admin_client::{self, AskError};
use crate::auth::secret_file::SecretFile;
use crate::net::Address;

/// How a guard uses its secrets.
pub(super) struct GuardStatus {
    pub(super) uptime: Duration,
    /// Whether requests have to present a secret there; a gateway alone sends it.
    pub(super) checks: bool,
    read_at: SystemTime,
    /// The current one first.
    pub(super) secrets: Vec<Used>,
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

/// Why a guard does not tell. Displays as what follows its address.
#[derive(Debug)]
pub(super) enum GuardError {
    Ask(AskError),
    Status(u16),
    Json,
}

impl fmt::Display for GuardError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(to),
            Self::Status(404) => to.write_str(
                "does not tell how its secrets are used: it is older, or this is not its \
                 ADMIN_LISTEN",
            ),
            Self::Status(status) => write!(to, "answers with status {status}"),
            Self::Json => to.write_str("answers what no guard does"),
        }
    }
}

impl std::error::Error for GuardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(error) => Some(error),
            Self::Status(_) | Self::Json => None,
        }
    }
}

/// Asks the guard at `address`.
pub(super) fn ask(address: &Address) -> Result<GuardStatus, GuardError> {
    let answer = admin_client::get(address, "/status").map_err(GuardError::Ask)?;
    if answer.status != 200 {
        return Err(GuardError::Status(answer.status));
    }
    let json = serde_json::from_slice(&answer.body).ok();
    json.as_ref().and_then(read).ok_or(GuardError::Json)
}

fn read(json: &Value) -> Option<GuardStatus> {
    let secrets = &json["secrets"];
    let used = secrets["used"].as_array()?.iter();
    Some(GuardStatus {
        uptime: seconds(&json["uptime_seconds"])?,
        checks: secrets["checked"].as_bool()?,
        read_at: SystemTime::UNIX_EPOCH.checked_add(seconds(&secrets["read_at"])?)?,
        secrets: used.map(read_used).collect::<Option<_>>()?,
    })
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

fn seconds(json: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(json.as_f64()?).ok()
}

impl GuardStatus {
    /// Whether it has the secrets that `file` holds now. Guard and file are on one machine,
    /// and have one clock.
    pub(super) fn has_read(&self, file: &SecretFile) -> bool {
        self.secrets.len() == file.secrets && self.read_at >= file.changed
    }
}
