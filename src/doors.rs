//! Which addresses lead to what: the configuration -> doors.

use std::sync::Arc;

use crate::config::Config;
use crate::guard::Guard;
use crate::routes::admin::Admin;
use crate::routes::gateway::Gateway;
use crate::routes::origin::Origin;
use crate::secret::Secrets;
use crate::server::{Door, Inherited, Private};
use crate::systemd::Passed;

/// The `FileDescriptorName=` of a socket for the operator; any other leads to the origin.
const ADMIN: &str = "admin";

/// The doors that are to be opened; the way in for the watchdog is the operator's.
#[must_use]
pub fn open(
    config: &Config,
    inherited: Vec<Passed>,
    secrets: &Arc<Secrets>,
    private: &Arc<Private>,
) -> Vec<Door> {
    let (for_admin, for_origin): (Vec<_>, Vec<_>) = inherited
        .into_iter()
        .partition(|passed| passed.name == ADMIN);
    let sockets = |passed: Vec<Passed>| passed.into_iter().map(|passed| passed.socket).collect();
    let admin = Door {
        addresses: config.admin_listen.clone(),
        inherited: sockets(for_admin),
        private: Some(Arc::clone(private)),
        service: Arc::new(Admin),
    };
    let origin = origin(config, sockets(for_origin), secrets);
    let gateway = gateway(config, secrets);
    [origin, admin].into_iter().chain(gateway).collect()
}

/// The default of `LISTEN` gives way to `inherited` sockets.
fn origin(config: &Config, inherited: Vec<Inherited>, secrets: &Arc<Secrets>) -> Door {
    let addresses = if config.listen_is_set || inherited.is_empty() {
        config.listen.clone()
    } else {
        Vec::new()
    };
    Door {
        addresses,
        inherited,
        private: None,
        service: Arc::new(Origin {
            guard: Guard::new(&config.header, Arc::clone(secrets)),
            trusted_proxies: config.trusted_proxies.clone(),
            access_log: config.access_log,
        }),
    }
}

fn gateway(config: &Config, secrets: &Arc<Secrets>) -> Option<Door> {
    let gateway = config.gateway.as_ref()?;
    Some(Door {
        addresses: gateway.listen.clone(),
        inherited: Vec::new(),
        private: None,
        service: Arc::new(Gateway {
            key_header: gateway.key_header.clone(),
            secret_header: config.header.clone(),
            keys: gateway.keys.clone(),
            secrets: Arc::clone(secrets),
            trusted_proxies: config.trusted_proxies.clone(),
            access_log: config.access_log,
        }),
    })
}
