//! Which command; each is in a file of its own, or in the library.

mod commands;
mod output;
mod serve;

use std::process::ExitCode;

use origin_guard::auth::keygen;
use origin_guard::cli::{self, Command};
use origin_guard::keys::commands as keys;
use origin_guard::{deploy, documents, rotation, signals};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use commands::{check, demo_backend, health, probe};
use output::{EX_CONFIG, EX_USAGE, fail, print};
use serve::serve;

fn main() -> ExitCode {
    if let Err(error) = signals::survive_file_size_limits() {
        return fail(1, &format!("cannot take signals: {error}"));
    }
    hide_memory();
    match cli::parse(lexopt::Parser::from_env()) {
        Ok(Command::Serve) => serve(),
        Ok(Command::Check(options)) => check(&options),
        Ok(Command::Keygen) => match keygen::secret() {
            Ok(secret) => print(&secret),
            Err(error) => fail(1, &format!("the system gives no random bytes: {error}")),
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
        Ok(Command::Help(command)) => print(&documents::help::of(command)),
        Ok(Command::Version) => print(concat!("origin-guard ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(fault) => fail(EX_USAGE, &fault),
    }
}

/// It holds secrets and keys, for every command: no core dump shows it, nor may other processes
/// of this user look into it (ptrace(2)).
fn hide_memory() {
    // The guard says where this fails, once it has a log.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
