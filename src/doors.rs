//! Which addresses lead to what: the configuration -> doors.

use std::sync::Arc;

use crate::config::Config;
use crate::guard::Guard;
use crate::routes::admin::Admin;
use crate::routes::origin::Origin;
use crate::secret::Secrets;
use crate::server::{Door, Private};
use crate::systemd::Passed;

/// The `FileDescriptorName=` of a socket for the operator; any other leads to the origin.
const ADMIN: &str = "admin";

/// The doors that are to be opened. The default of `LISTEN` gives way to `inherited`
/// sockets.
#[must_use]
pub fn open(
    config: Config,
    inherited: Vec<Passed>,
    secrets: Arc<Secrets>,
    private: Arc<Private>,
) -> Vec<Door> {
    let (for_admin, for_origin): (Vec<_>, Vec<_>) = inherited
        .into_iter()
        .partition(|passed| passed.name == ADMIN);
    let sockets = |passed: Vec<Passed>| passed.into_iter().map(|passed| passed.socket).collect();
    let admin = Door {
        addresses: config.admin_listen,
        inherited: sockets(for_admin),
        private: Some(private),
        service: Arc::new(Admin),
    };
    let gives_way = !config.listen_is_set && !for_origin.is_empty();
    let origin = Door {
        addresses: if gives_way { Vec::new() } else { config.listen },
        inherited: sockets(for_origin),
        private: None,
        service: Arc::new(Origin {
            guard: Guard::new(&config.header, secrets),
            trusted_proxies: config.trusted_proxies,
            access_log: config.access_log,
        }),
    };
    vec![origin, admin]
}
