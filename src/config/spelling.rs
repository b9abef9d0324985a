//! Variables that look like ours and are not.

use super::variables::VARIABLES;
use crate::spelling::{LETTERS, distance};

/// systemd's own (`sd_listen_fds(3)`), and what many programs call their key.
const FOREIGN: [&str; 5] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "API_KEY",
];
/// What others call what is LISTEN here.
const ADDRESSES: [&str; 3] = ["_ADDRESS", "_ADDR", "_BIND"];

/// The variable that `name` is likely meant to be: one from which it differs in two
/// letters at most, of which it is the beginning, with which it begins, or which has LISTEN
/// where it has ADDRESS. `None` where it is one, or looks like none.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let names = || VARIABLES.iter().map(|variable| variable.name);
    if FOREIGN.contains(&name) || names().any(|known| known == name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let near = names()
        .map(|known| (distance(upper.as_bytes(), known.as_bytes()), known))
        .min()
        .filter(|&(distance, _)| distance <= LETTERS);
    let stem = stem(&upper);
    // One word alone may be anybody's, as ORIGINAL or API.
    let has_words = |name: &str| name.trim_end_matches('_').contains('_');
    let beginning = || names().find(|known| has_words(stem) && known.starts_with(stem));
    let begins = || {
        let begun = names().filter(|known| {
            let rest = upper.strip_prefix(known);
            rest.is_some_and(|rest| rest.starts_with('_') || has_words(known))
        });
        begun.max_by_key(|known| known.len())
    };
    let listens = || {
        let mut ends = ADDRESSES.iter();
        let place = ends.find_map(|end| upper.strip_suffix(end))?;
        names().find(|known| known.strip_suffix("_LISTEN") == Some(place))
    };
    near.map(|(_, known)| known)
        .or_else(beginning)
        .or_else(begins)
        .or_else(listens)
}

/// A name without the ending by which its singular and its plural differ.
fn stem(name: &str) -> &str {
    let endings = ["IES", "Y", "S"].iter();
    let mut stems = endings.filter_map(|ending| name.strip_suffix(ending));
    stems.next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_slip_of_two_letters_is_found() {
        for (written, wanted) in [
            ("SHARED_SECERT", "SHARED_SECRET"),
            ("SHARE_SECRET", "SHARED_SECRET"),
            ("shared_secret", "SHARED_SECRET"),
            ("MAX_CONECTION", "MAX_CONNECTIONS"),
            ("WORKER", "WORKERS"),
            ("LISTEN_ADDRESS", "LISTEN"),
            ("SHARED_SECRET_FILE_PATH", "SHARED_SECRET_FILE"),
            ("SHARED_SECRET_PREV", "SHARED_SECRET_PREVIOUS"),
            ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
            ("TLS_CERTIFICATE", "TLS_CERT"),
            ("TLS_CERTS", "TLS_CERT"),
            ("ADMIN_ADDRESS", "ADMIN_LISTEN"),
            ("GATEWAY_BIND", "GATEWAY_LISTEN"),
            ("MAX_BODY", "MAX_BODY_BYTES"),
            ("BACKEND_CONNECT", "BACKEND_CONNECT_TIMEOUT"),
            ("API_KEYS", "API_KEYS_FILE"),
        ] {
            assert_eq!(meant(written), Some(wanted), "{written}");
        }
    }

    #[test]
    fn what_is_right_or_foreign_is_let_alone() {
        for name in [
            "LISTEN",
            "LISTEN_FDS",
            "LISTEN_PID",
            "PATH",
            "HOME",
            "LANG",
            "TERM",
            "LISTEN_FDNAMES",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "LOG_LEVEL",
            "API_KEY",
            "API_URL",
            "ACCESS_TOKEN",
            "ADMIN_EMAIL",
            "ADMIN_PASSWORD",
            "BIND_ADDRESS",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "http_proxy",
            "MAIL",
            "MAX_",
            "MAX_S",
            "ORIGINAL_PATH",
            "ORIGINAL_XDG_CURRENT_DESKTOP",
            "REQUIREMENTS",
            "TLS_",
            "HOSTNAME",
            "HOSTTYPE",
            "INVOCATION_ID",
            "JOURNAL_STREAM",
            "NOTIFY_SOCKET",
            "STATE_DIRECTORY",
            "CREDENTIALS_DIRECTORY",
            "RUNTIME_DIRECTORY",
            "LOGS_DIRECTORY",
            "MEMORY_PRESSURE_WATCH",
            "SYSTEMD_EXEC_PID",
            "WATCHDOG_PID",
            "WATCHDOG_USEC",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
            "KUBERNETES_SERVICE_PORT",
            "GATEWAY_PORT",
            "SSH_AUTH_SOCK",
            "SUDO_COMMAND",
            "",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
