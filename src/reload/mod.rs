//! What is read again while the guard serves: secrets, keys and certificates, at SIGHUP and
//! when their files change. A faulty file leaves what there was.
//!
//! Each kind of file has a thread of its own. So a file whose storage hangs does not keep
//! the others from being read, and a key that was revoked stops being good.

mod allow_from;
mod certificates;
mod counters;
mod faulty;
mod keys;
mod pending;
mod secrets;
mod watch;

use std::io::{self, ErrorKind, Read as _};
use std::sync::Arc;

use crate::auth::secret_source::Source;
use crate::auth::secrets::Secrets;
use crate::keys::Keys;
use crate::net::tls::server::TlsServer;
use crate::private_file::Fingerprint;
use crate::server::AllowList;
use crate::signals;

use certificates::Certificates;
pub(crate) use counters::{TABLES, failed_files};
pub(crate) use faulty::{FaultyFile, faulty_files};
use pending::Pending;
use secrets::SecretFile;
use watch::{Request, spawn};

/// Reloads from now on. `seen` is the state of the secret file when it was read.
///
/// # Errors
///
/// If the system denies the signal handler or a thread.
pub fn start(
    source: Source,
    seen: Option<Fingerprint>,
    secrets: Arc<Secrets>,
    keys: Option<Arc<Keys>>,
    tls: Option<Arc<TlsServer>>,
    allow_from: Option<Arc<AllowList>>,
) -> io::Result<()> {
    let mut signals = signals::reload_requests()?;
    let secrets = SecretFile {
        source,
        seen,
        secrets,
    };
    let mut threads = vec![spawn("secrets", secrets)?];
    if let Some(keys) = keys {
        threads.push(spawn("keys", keys)?);
    }
    if let Some(tls) = tls {
        threads.push(spawn("certificates", Certificates::new(tls))?);
    }
    if let Some(list) = allow_from.filter(|list| list.path().is_some()) {
        threads.push(spawn("allow_from", list)?);
    }
    std::thread::Builder::new()
        .name("reload".into())
        .spawn(move || {
            let all = Arc::default();
            let mut number = 0;
            loop {
                match signals.read(&mut [0; 256]) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    _ => return,
                }
                number += 1;
                let request = Request {
                    number,
                    _pending: Pending::begin(&all),
                };
                for thread in &threads {
                    // A thread that has panicked takes none, and has logged it.
                    let _ = thread.send(request.clone());
                }
            }
        })?;
    Ok(())
}
