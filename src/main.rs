//! What the process does, read top to bottom: configure, bind, serve, drain.

use std::process::ExitCode;
use std::sync::Arc;

use origin_guard::auth::keygen;
use origin_guard::cli::{self, Command};
use origin_guard::config::Config;
use origin_guard::deploy;
use origin_guard::keys::commands as keys;
use origin_guard::net::SelfCheckSocket;
use origin_guard::server::Server;
use origin_guard::systemd::InheritedSocket;
use origin_guard::systemd::watchdog;
use origin_guard::{app, log as events, metrics, reload, signals, systemd};

// sysexits(3)
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    match cli::parse(lexopt::Parser::from_env()) {
        Ok(Command::Serve) => serve(),
        Ok(Command::Check) => check(),
        Ok(Command::Keygen) => match keygen::secret() {
            Ok(secret) => print(&secret),
            Err(error) => fail(1, &format!("no randomness to be had: {error}")),
        },
        Ok(Command::Print(Some(file))) => print(file),
        Ok(Command::Print(None)) => print(&deploy::list()),
        Ok(Command::Keys(command)) => match keys::run(command, |name| std::env::var_os(name)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => fail(fault.status(), &fault),
        },
        Ok(Command::Help) => print(cli::HELP),
        Ok(Command::Version) => print(concat!("origin-guard ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(fault) => fail(EX_USAGE, &fault),
    }
}

fn serve() -> ExitCode {
    let config = match Config::read(|name| std::env::var_os(name)) {
        Ok(config) => config,
        Err(faults) => return fail(EX_CONFIG, &faults),
    };
    let inherited = systemd::inherited_sockets();
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    if let Err(error) = events::start(journal) {
        return fail(1, &format!("cannot start logging: {error}"));
    }
    metrics::start();
    log_panics();
    deny_core_dumps();
    let version = env!("CARGO_PKG_VERSION");
    log::info!("starting version={version} pid={}", std::process::id());
    log::info!("config {}", config.on_one_line());
    for warning in &config.warnings {
        log::warn!("warning {warning}");
    }

    let served = inherited.and_then(|inherited| bind_and_run(config, inherited));
    // The count of what was left out comes before the last word.
    events::flush();
    match served {
        Ok(0) => log::info!("stopped"),
        Ok(left) => log::warn!("stopped unfinished={left}"),
        Err(fault) => {
            log::error!("failed {fault}");
            events::flush();
            return ExitCode::FAILURE;
        }
    }
    events::flush();
    ExitCode::SUCCESS
}

fn bind_and_run(mut config: Config, inherited: Vec<InheritedSocket>) -> Result<usize, String> {
    let no_signals = |error| format!("to take signals: {error}");
    let stop = signals::stop_requests().map_err(no_signals)?;
    let secrets = Arc::new(config.take_secrets());
    let keys = config
        .gateway
        .as_ref()
        .and_then(|gateway| gateway.keys.clone());
    reload::start(config.source.clone(), Arc::clone(&secrets), keys).map_err(no_signals)?;
    let private =
        SelfCheckSocket::new().map_err(|error| format!("to name the private door: {error}"))?;
    let private = Arc::new(private);
    let groups = app::listener_groups(&config, inherited, &secrets, &private);
    let server = Server::bind(groups, config.limits, config.workers)
        .map_err(|setup| format!("to {}: {}", setup.doing, setup.error))?;
    for address in server.addresses() {
        log::info!("listening address={address}");
    }
    systemd::ready();
    watchdog::start(private, config.workers)
        .map_err(|error| format!("to start the watchdog: {error}"))?;
    server
        .run(stop, config.drain_timeout, systemd::stopping)
        .map_err(|error| format!("to wait for connections: {error}"))
}

fn check() -> ExitCode {
    match Config::read(|name| std::env::var_os(name)) {
        Ok(config) => {
            for warning in &config.warnings {
                eprintln!("warning: {warning}");
            }
            let mut text = String::new();
            for (name, value) in &config.effective {
                text.push_str(&[name, "=", value, "\n"].concat());
            }
            print(&text)
        }
        Err(faults) => fail(EX_CONFIG, &faults),
    }
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

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(status: u8, fault: &dyn std::fmt::Display) -> ExitCode {
    for line in fault.to_string().lines() {
        eprintln!("origin-guard: {line}");
    }
    ExitCode::from(status)
}
