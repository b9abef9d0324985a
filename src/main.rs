//! What the process does, read top to bottom: configure, bind, serve, drain.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use origin_guard::app::{InheritedSockets, Relays};
use origin_guard::auth::keygen;
use origin_guard::cli::{self, Command};
use origin_guard::config::{Config, ConfigError, Environment};
use origin_guard::demo_backend::{self, DemoError};
use origin_guard::key_uses::Recorder;
use origin_guard::keys::commands as keys;
use origin_guard::log::Prefix;
use origin_guard::net::resolve::Resolver;
use origin_guard::net::{Address, SelfCheckSocket};
use origin_guard::probe::{self, ProbeArgs};
use origin_guard::server::Server;
use origin_guard::systemd::InheritedSocket;
use origin_guard::systemd::watchdog;
use origin_guard::{app, check, health, log as events, reload, rotation, signals, status, systemd};
use origin_guard::{deploy, documents};

// sysexits(3)
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    if let Err(error) = signals::survive_file_size_limits() {
        return fail(1, &format!("cannot take signals: {error}"));
    }
    match cli::parse(lexopt::Parser::from_env()) {
        Ok(Command::Serve) => serve(),
        Ok(Command::Check(options)) => check(&options),
        Ok(Command::Keygen) => match keygen::secret() {
            Ok(secret) => print(&secret),
            Err(error) => fail(1, &format!("no randomness to be had: {error}")),
        },
        Ok(Command::DemoBackend(address)) => demo_backend(&address),
        Ok(Command::Print(Some(file))) => match file.text(&|name| std::env::var_os(name)) {
            Ok(text) => print(&text),
            Err(fault) if fault.is_configuration() => fail(EX_CONFIG, &fault),
            Err(fault) => fail(EX_USAGE, &fault),
        },
        Ok(Command::Document(make)) => print(&make()),
        Ok(Command::Print(None)) => print(&[deploy::list(), documents::list()].concat()),
        Ok(Command::Keys(command)) => match keys::run(command, |name| std::env::var_os(name)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => fail(fault.status(), &fault),
        },
        Ok(Command::Probe(args)) => probe(&args),
        Ok(Command::Secret(command)) => {
            match rotation::run(command, |name| std::env::var_os(name)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(fault) => fail(fault.status(), &fault),
            }
        }
        Ok(Command::Health(named)) => health(named),
        Ok(Command::Help) => print(&cli::help()),
        Ok(Command::Version) => print(concat!("origin-guard ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(fault) => fail(EX_USAGE, &fault),
    }
}

fn serve() -> ExitCode {
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
    for warning in &config.warnings {
        log::warn!("warning {warning}");
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
    if let Some(relay) = &relays.backend
        // What a socket unit listens at is known only now.
        && let Some(url) = relay.upstream.is_own_listener(server.addresses())
    {
        let own = "it is the guard itself; write where the backend listens";
        return Err(failed(&format!("forward to {}", url.name()))(own));
    }
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

fn check(options: &check::Options) -> ExitCode {
    use std::io::Write as _;
    let report = match check::run(options) {
        Ok(report) => report,
        Err(error) => return fail(1, &error),
    };
    let text = if options.json {
        report.json()
    } else {
        // Where this cannot be written, the exit status says it.
        let _ = write!(std::io::stderr(), "{}", report.complaints());
        report.text()
    };
    let printed = print(&text);
    if report.has_faults() {
        ExitCode::from(EX_CONFIG)
    } else if options.strict && report.has_warnings() {
        ExitCode::FAILURE
    } else {
        printed
    }
}

fn probe(args: &ProbeArgs) -> ExitCode {
    use std::io::Write as _;
    let announce = |line: &str| {
        let _ = writeln!(std::io::stderr(), "origin-guard: {line}");
    };
    let report = match probe::run(args, |name| std::env::var_os(name), announce) {
        Ok(report) => report,
        Err(fault) => return fail(EX_CONFIG, &fault),
    };
    let printed = print(&report.text());
    if printed == ExitCode::SUCCESS {
        ExitCode::from(report.status())
    } else {
        printed
    }
}

/// The one line goes to standard output, whatever it says: `docker inspect` shows it.
fn health(named: Vec<String>) -> ExitCode {
    let guards = match rotation::guards(named, &|name: &str| std::env::var_os(name)) {
        Ok(guards) => guards,
        Err(fault) => return fail(fault.status(), &fault),
    };
    match health::ask(&guards) {
        Ok(line) => print(&line),
        Err(unhealthy) => {
            print(&format!("{unhealthy}\n"));
            ExitCode::FAILURE
        }
    }
}

fn demo_backend(address: &Address) -> ExitCode {
    let served = demo_backend::run(address, |url| {
        // Whoever started it may wait for this line to learn the port.
        print(&format!("{url}\n"));
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ DemoError::NotLoopback(_)) => fail(EX_USAGE, &error),
        Err(error) => fail(1, &error),
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
    let mut stdout = std::io::stdout().lock();
    // What has not been flushed has not been written: a pipe or a full disk says so then.
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("cannot write to standard output: {error}")),
    }
}

fn fail(status: u8, fault: &dyn std::fmt::Display) -> ExitCode {
    use std::io::Write as _;
    let mut stderr = std::io::stderr().lock();
    for line in fault.to_string().lines() {
        // Where this cannot be written either, the exit status says it.
        let _ = writeln!(stderr, "origin-guard: {line}");
    }
    ExitCode::from(status)
}
