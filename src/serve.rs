//! Configure, bind, serve, drain.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use origin_guard::app::{self, InheritedSockets, Relays};
use origin_guard::config::{Config, ConfigError, Environment};
use origin_guard::finding::Level;
use origin_guard::key_uses::Recorder;
use origin_guard::log::{self as events, Prefix};
use origin_guard::net::SelfCheckSocket;
use origin_guard::net::resolve::Resolver;
use origin_guard::server::Server;
use origin_guard::systemd::{self, InheritedSocket, watchdog};
use origin_guard::{reload, signals, status};

use crate::output::{EX_CONFIG, fail};

/// Serves until a signal ends it.
pub(crate) fn serve() -> ExitCode {
    let inherited = systemd::inherited_sockets();
    let (inherited, warnings) = match inherited {
        Ok(sockets) => {
            let warnings: Vec<_> = sockets
                .iter()
                .filter_map(InheritedSocket::warning)
                .collect();
            match InheritedSockets::sort(sockets) {
                Ok(sockets) => (sockets, warnings),
                Err(error) => return fail(1, &error),
            }
        }
        Err(error) => return fail(1, &error),
    };
    let mut config = match read_config(&inherited) {
        Ok(config) => config,
        Err(faults) => return fail(EX_CONFIG, &faults),
    };
    config.warnings.extend(warnings);
    config.warnings.extend(inherited.warnings.clone());
    let prefix = if systemd::stderr_is_journal() {
        Prefix::Priority
    } else {
        Prefix::Time
    };
    if let Err(error) = events::start(prefix) {
        return fail(1, &format!("cannot start logging: {error}"));
    }
    status::start();
    log_panics();
    deny_core_dumps();
    let version = env!("CARGO_PKG_VERSION");
    log::info!("starting version={version} pid={}", std::process::id());
    log::info!("config {}", config.on_one_line());
    for found in &config.warnings {
        match found.level {
            Level::Note => log::info!("note {found}"),
            Level::Warning | Level::Fault => log::warn!("warning {found}"),
        }
    }

    let served = bind_and_run(config, inherited);
    // The count of what was left out comes before the last word.
    events::flush();
    match served {
        Ok(0) => log::info!("stopped"),
        Ok(left) => log::warn!("stopped unfinished={left}"),
        Err(failure) => {
            log::error!("failed {failure}");
            events::flush();
            return ExitCode::FAILURE;
        }
    }
    events::flush();
    ExitCode::SUCCESS
}

/// Why it does not serve.
#[derive(Debug)]
struct Failure {
    /// What was being done.
    doing: String,
    error: Box<dyn Error>,
}

impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "to {}: {}", self.doing, self.error)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

fn failed<E: Into<Box<dyn Error>>>(doing: &str) -> impl FnOnce(E) -> Failure {
    move |error| Failure {
        doing: doing.to_owned(),
        error: error.into(),
    }
}

fn bind_and_run(mut config: Config, inherited: InheritedSockets) -> Result<usize, Failure> {
    let stop = signals::stop_requests().map_err(failed("take signals"))?;
    let secrets = Arc::new(config.take_secrets());
    let keys = config
        .gateway
        .as_ref()
        .and_then(|gateway| gateway.keys.clone());
    let (source, seen) = (config.source.clone(), config.secrets.seen);
    let (tls, allow_from) = (config.tls.clone(), config.allow_from.clone());
    reload::start(source, seen, Arc::clone(&secrets), keys, tls, allow_from)
        .map_err(failed("reload"))?;
    let recorder = record_key_uses(&config).map_err(failed("write down which keys are used"))?;
    let private = SelfCheckSocket::new().map_err(failed("name the socket of the self-check"))?;
    let private = Arc::new(private);
    let relays = Relays::new(&mut config).map_err(failed("name the guard to itself"))?;
    let overview = app::overview(&config, &inherited, &secrets, &relays);
    if !config.admin_listen.is_empty() || inherited.have_admin() {
        overview.sample().map_err(failed("watch itself"))?;
    }
    let groups = app::listener_groups(&config, inherited, &secrets, &private, &relays, &overview)
        .map_err(failed("take the sockets of a socket unit"))?;
    let server = Server::bind(groups, config.limits, config.workers)
        .map_err(|setup| failed(&setup.doing)(setup.error))?;
    for address in server.addresses() {
        log::info!("listening address={address}");
    }
    let listeners = server.addresses().cloned().collect();
    overview.listeners.get_or_init(|| listeners);
    for relay in relays.iter() {
        relay
            .upstream
            .resolve_names(Resolver::default())
            .map_err(failed("resolve the names of backends"))?;
    }
    systemd::ready();
    watchdog::start(private, config.workers, status::line).map_err(failed("start the watchdog"))?;
    let unfinished = server.run(stop, config.drain_timeout, systemd::stopping);
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    unfinished.map_err(failed("wait for connections"))
}

/// `None` where there are no keys.
fn record_key_uses(config: &Config) -> io::Result<Option<Recorder>> {
    let Some(gateway) = &config.gateway else {
        return Ok(None);
    };
    let (Some(keys), Some(path)) = (&gateway.keys, &gateway.key_uses) else {
        return Ok(None);
    };
    Recorder::start(Arc::clone(keys), path.clone()).map(Some)
}

fn read_config(inherited: &InheritedSockets) -> Result<Config, ConfigError> {
    Config::read(&Environment {
        inherited: inherited.roles(),
        ..Environment::of_process()
    })
}

/// The default hook prints the message of a panic, which may hold anything.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        log::error!("panic at={}", place.unwrap_or_default());
    }));
}

/// A core dump would hold what clients presented, and the environment.
fn deny_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        log::warn!("core_dumps_possible error=\"{error}\"");
    }
}
