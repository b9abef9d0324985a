//! The doors that the configuration opens: addresses, and what answers there.

use std::sync::Arc;

use crate::config::Config;
use crate::guard::Guard;
use crate::routes::gateway::Gateway;
use crate::routes::origin::Origin;
use crate::secret::Secrets;
use crate::server::{Door, Inherited};

/// The origin's door, which has the inherited sockets, and where it is configured the
/// gateway's.
#[must_use]
pub fn open(config: &Config, inherited: Vec<Inherited>, secrets: &Arc<Secrets>) -> Vec<Door> {
    let origin = origin(config, inherited, secrets);
    let gateway = gateway(config, secrets);
    [origin].into_iter().chain(gateway).collect()
}

fn origin(config: &Config, inherited: Vec<Inherited>, secrets: &Arc<Secrets>) -> Door {
    let addresses = if config.listen_is_set || inherited.is_empty() {
        config.listen.clone()
    } else {
        Vec::new()
    };
    Door {
        addresses,
        inherited,
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
