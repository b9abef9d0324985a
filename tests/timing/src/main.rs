//! Measures the guard function class against class with dudect (Reparaz, Balasch and
//! Verbauwhede, 2017), and a naive comparison as the control that must show.
//!
//! dudect-bencher prints its results and returns none, so each class runs in a process
//! of its own, whose output is read.

mod classes;
mod keys;
mod lots;
mod tls;
#[allow(dead_code, reason = "the fuzzed session uses the rest of it")]
#[path = "../../fuzz/targets/session/client.rs"]
mod tls_client;

use std::process::{Command, ExitCode};

use dudect_bencher::ctbench::{BenchMetadata, BenchName, BenchOpts, run_benches_console};

/// Welch's t from which on the two sides of a class count as different.
const LEAKS: f64 = 5.0;
/// What the control must reach, or the instrument is too dull to be believed.
const CONTROL_SHOWS: f64 = 10.0;

fn main() -> ExitCode {
    if let Some(name) = std::env::args().nth(1) {
        measure(&name);
        return ExitCode::SUCCESS;
    }
    println!("| class | samples | t | |\n| --- | ---: | ---: | --- |");
    let mut good = true;
    for (name, _) in all() {
        let t = measure_apart(name);
        let control = name == classes::CONTROL;
        let verdict = match (control, t.abs()) {
            (false, t) if t < LEAKS => "does not show",
            (false, _) => "**SHOWS**",
            (true, t) if t > CONTROL_SHOWS => "shows, as it must",
            (true, _) => "**DOES NOT SHOW**: the measurement proves nothing",
        };
        good &= !verdict.starts_with('*');
        println!("| {name} | {} | {t:+.2} | {verdict} |", lots::samples());
    }
    if good {
        println!("\nNo class shows (|t| < {LEAKS}); the control does (|t| > {CONTROL_SHOWS}).");
        ExitCode::SUCCESS
    } else {
        println!(
            "\nFAILED: |t| must be under {LEAKS} in each class, over {CONTROL_SHOWS} in the control."
        );
        ExitCode::FAILURE
    }
}

fn all() -> impl Iterator<Item = (&'static str, lots::Measure)> {
    let plain = classes::ALL.into_iter();
    plain.chain(keys::ALL).chain(tls::ALL)
}

fn measure(name: &str) {
    let (name, benchfn) = all()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no class is named {name:?}"));
    let bench = BenchMetadata {
        name: BenchName(name),
        seed: None,
        benchfn,
    };
    run_benches_console(BenchOpts::default(), vec![bench]).expect("prints");
}

/// Runs [`measure`] in a process of its own and reads t from what it prints.
fn measure_apart(name: &str) -> f64 {
    let program = std::env::current_exe().expect("its own path");
    let output = Command::new(program).arg(name).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split("max t = ")
        .nth(1)
        .and_then(|rest| rest.split(',').next()?.trim().parse().ok())
        .unwrap_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("{name} has no result:\n{text}{errors}")
        })
}
