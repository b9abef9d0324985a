//! Which addresses lead to what: the configuration -> doors.

use std::sync::Arc;

use crate::auth::secrets::Secrets;
use crate::auth::shared_secret::Guard;
use crate::config::Config;
use crate::handlers::admin::Admin;
use crate::handlers::gateway::Gateway;
use crate::handlers::origin::Origin;
use crate::net::{Inherited, SelfCheckSocket};
use crate::server::ListenerGroup;
use crate::systemd::InheritedSocket;

/// The `FileDescriptorName=` of a socket for the operator; any other leads to the origin.
const ADMIN: &str = "admin";

/// The doors that are to be opened; the way in for the watchdog is the operator's.
#[must_use]
pub fn listener_groups(
    config: &Config,
    inherited: Vec<InheritedSocket>,
    secrets: &Arc<Secrets>,
    private: &Arc<SelfCheckSocket>,
) -> Vec<ListenerGroup> {
    let (for_admin, for_origin): (Vec<_>, Vec<_>) = inherited
        .into_iter()
        .partition(|passed| passed.name == ADMIN);
    let sockets =
        |passed: Vec<InheritedSocket>| passed.into_iter().map(|passed| passed.socket).collect();
    let admin = ListenerGroup {
        addresses: config.admin_listen.clone(),
        inherited: sockets(for_admin),
        private: Some(Arc::clone(private)),
        handler: Arc::new(Admin),
    };
    let origin = origin(config, sockets(for_origin), secrets);
    let gateway = gateway(config, secrets);
    [origin, admin].into_iter().chain(gateway).collect()
}

/// The default of `LISTEN` gives way to `inherited` sockets.
fn origin(config: &Config, inherited: Vec<Inherited>, secrets: &Arc<Secrets>) -> ListenerGroup {
    let addresses = if config.listen_is_set || inherited.is_empty() {
        config.listen.clone()
    } else {
        Vec::new()
    };
    ListenerGroup {
        addresses,
        inherited,
        private: None,
        handler: Arc::new(Origin {
            guard: Guard::new(&config.header, Arc::clone(secrets)),
            trusted_proxies: config.trusted_proxies.clone(),
            access_log: config.access_log,
        }),
    }
}

fn gateway(config: &Config, secrets: &Arc<Secrets>) -> Option<ListenerGroup> {
    let gateway = config.gateway.as_ref()?;
    Some(ListenerGroup {
        addresses: gateway.listen.clone(),
        inherited: Vec::new(),
        private: None,
        handler: Arc::new(Gateway {
            key_header: gateway.key_header.clone(),
            secret_header: config.header.clone(),
            keys: gateway.keys.clone(),
            secrets: Arc::clone(secrets),
            trusted_proxies: config.trusted_proxies.clone(),
            access_log: config.access_log,
        }),
    })
}
