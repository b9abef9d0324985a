//! The commands that do one thing and end.

use std::process::ExitCode;

use origin_guard::demo_backend::{self, DemoError};
use origin_guard::net::Address;
use origin_guard::probe::{self, ProbeArgs};
use origin_guard::stderr::say;
use origin_guard::{check, health, rotation};

use crate::output::{EX_CONFIG, EX_USAGE, fail, print};

pub(crate) fn check(options: &check::Options) -> ExitCode {
    let report = match check::run(options) {
        Ok(report) => report,
        Err(error) => return fail(1, &error),
    };
    let text = if options.json {
        report.json()
    } else {
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

pub(crate) fn probe(args: &ProbeArgs) -> ExitCode {
    let announce = |line: &str| {
        say(&format!("origin-guard: {line}"));
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

/// A line for each guard goes to standard output, whatever it says: `docker inspect` shows
/// it.
pub(crate) fn health(named: Vec<String>) -> ExitCode {
    let guards = match rotation::guards(named, &|name: &str| std::env::var_os(name)) {
        Ok(guards) => guards,
        Err(fault) => return fail(fault.status(), &fault),
    };
    let mut ends = ExitCode::SUCCESS;
    for guard in &guards {
        let (line, is_healthy) = match health::ask(guard) {
            Ok(line) => (line, true),
            Err(unhealthy) => (unhealthy.to_string(), false),
        };
        let printed = print(&format!("{line}\n"));
        if !is_healthy {
            ends = ExitCode::FAILURE;
        } else if ends == ExitCode::SUCCESS {
            ends = printed;
        }
    }
    ends
}

pub(crate) fn demo_backend(address: &Address) -> ExitCode {
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
