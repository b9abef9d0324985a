//! Commands and help.

use std::error::Error;
use std::fmt::{self, Write as _};

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;

use crate::check;
use crate::config::variables;
use crate::demo_backend;
use crate::deploy::{Print, PrintFault, UnknownFile};
use crate::keys::cli::{self as keys, KeysArgs};
use crate::net::Address;
use crate::probe::{self, ProbeArgs, ProbeUsageError};
use crate::rotation::cli::{self as secret, SecretArgs};
use crate::usage::UsageError;
use crate::{documents, usage};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// `serve`, or nothing
    Serve,
    /// `check`
    Check(check::Options),
    /// `keygen`
    Keygen,
    /// `print`, with the file that it names, if it names one
    Print(Option<Print>),
    /// `print`, with the document that it names
    Document(fn() -> String),
    /// `demo-backend`, at this address
    DemoBackend(Address),
    /// `keys`
    Keys(KeysArgs),
    /// `probe`
    Probe(ProbeArgs),
    /// `secret`
    Secret(SecretArgs),
    /// `health`, with what each `--admin` names
    Health(Vec<String>),
    /// `--help`
    Help,
    /// `--version`
    Version,
}

/// The width of `--help`, in bytes.
const WIDTH: usize = 88;

/// What `print NAME` takes.
const OPTIONS: [&str; 6] = ["backend", "name", "cert", "key", "socket", "role"];

/// What `--help` prints.
#[must_use]
pub fn help() -> String {
    let mut text = format!("origin-guard - {}\n\nusage:\n", usage::PURPOSE);
    for usage in usage::COMMANDS {
        let command = format!("{} {}", usage.command, usage.arguments);
        line(&mut text, 2, &command, usage.help);
        for option in usage.options {
            line(&mut text, 4, &usage::shown(option), option.help);
        }
    }
    for flag in usage::FLAGS {
        line(&mut text, 2, &usage::shown(flag), flag.help);
    }
    for paragraph in usage::SERVED {
        text.push('\n');
        wrap(&mut text, paragraph);
    }
    text.push_str("\nvariables, and their defaults:\n");
    text.push_str(&variables::help());
    text.push_str("\nexit status:\n");
    for (status, meaning) in usage::EXIT_STATUS {
        line(&mut text, 2, &status.to_string(), meaning);
    }
    text
}

/// A name, indented, and beside it what it means.
fn line(text: &mut String, indent: usize, name: &str, meaning: &str) {
    let name = format!("{:indent$}{}", "", name.trim_end());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name:<24} {meaning}");
}

fn wrap(text: &mut String, paragraph: &str) {
    let mut width = 0;
    for word in paragraph.split(' ') {
        if width + 1 + word.len() > WIDTH {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text.push('\n');
}

/// What is wrong with the command line.
#[derive(Debug)]
pub enum CliError {
    /// It cannot be read.
    Arguments(lexopt::Error),
    /// There is no such command.
    UnknownCommand(String),
    /// There is more than one command.
    TwoCommands,
    /// What should be an address is none.
    Address(String),
    /// There is no such file to print.
    File(UnknownFile),
    /// The file to print does not take this.
    Print(PrintFault),
    /// What follows `keys` or `secret` is wrong.
    Group(UsageError),
    /// What follows `probe` is wrong.
    Probe(ProbeUsageError),
}

impl fmt::Display for CliError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => error.fmt(to)?,
            Self::UnknownCommand(word) => write!(to, "unknown command {word:?}")?,
            Self::TwoCommands => to.write_str("more than one command")?,
            Self::Address(text) => write!(
                to,
                "{text:?} is no address; write one such as {}",
                demo_backend::ADDRESS
            )?,
            // These four name their remedy.
            Self::File(error) => return error.fmt(to),
            Self::Print(error) => return error.fmt(to),
            Self::Group(error) => return error.fmt(to),
            Self::Probe(error) => error.fmt(to)?,
        }
        to.write_str("; see origin-guard --help")
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Arguments(error) => error.source(),
            Self::Group(error) => Some(error),
            Self::Probe(error) => Some(error),
            _ => None,
        }
    }
}

impl From<lexopt::Error> for CliError {
    fn from(error: lexopt::Error) -> Self {
        Self::Arguments(error)
    }
}

/// Reads the command line.
///
/// # Errors
///
/// What is wrong with it, and where help is.
pub fn parse(mut arguments: lexopt::Parser) -> Result<Command, CliError> {
    let mut command = None;
    while let Some(argument) = arguments.next()? {
        let next = match argument {
            Short('h') | Long("help") => Command::Help,
            Value(word) if command.is_none() && word == "help" => Command::Help,
            Value(word) if command.is_none() && word == "version" => Command::Version,
            Short('V') | Long("version") => Command::Version,
            Value(word) if word == "serve" => Command::Serve,
            Value(word) if word == "check" => check(&mut arguments)?,
            Value(word) if word == "keygen" => Command::Keygen,
            Value(word) if word == "demo-backend" => demo_backend(&mut arguments)?,
            Value(word) if word == "print" => print(&mut arguments)?,
            Value(word) if word == "health" => health(&mut arguments)?,
            Value(word) if word == "secret" => {
                let secret = secret::parse(&mut arguments);
                secret
                    .map_err(CliError::Group)?
                    .map_or(Command::Help, Command::Secret)
            }
            Value(word) if word == "keys" => {
                let keys = keys::parse(&mut arguments);
                keys.map_err(CliError::Group)?
                    .map_or(Command::Help, Command::Keys)
            }
            Value(word) if word == "probe" => {
                let probe = probe::parse(&mut arguments);
                probe
                    .map_err(CliError::Probe)?
                    .map_or(Command::Help, Command::Probe)
            }
            Value(word) => {
                let word = word.to_string_lossy().into_owned();
                return Err(CliError::UnknownCommand(word));
            }
            flag => return Err(flag.unexpected().into()),
        };
        match command {
            None => command = Some(next),
            Some(Command::Help | Command::Version) => {}
            Some(_) if matches!(next, Command::Help) => command = Some(next),
            Some(_) => return Err(CliError::TwoCommands),
        }
    }
    Ok(command.unwrap_or(Command::Serve))
}

/// `check` with its options.
fn check(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let mut options = check::Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("local") => options.local = true,
            Long("strict") => options.strict = true,
            Long("json") => options.json = true,
            Long("within-unit") => options.within_unit = true,
            Long("unit") => {
                let unit = arguments.value()?.to_string_lossy().into_owned();
                options.unit = Some(unit);
            }
            Short('h') | Long("help") => return Ok(Command::Help),
            argument => return Err(argument.unexpected().into()),
        }
    }
    Ok(Command::Check(options))
}

/// `demo-backend` with the address that comes next, or its own.
fn demo_backend(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let address = match arguments.next()? {
        None => demo_backend::ADDRESS,
        Some(Value(address)) => {
            let text = address.to_string_lossy();
            let path = text.strip_prefix("unix:");
            let unix = path.filter(|path| path.starts_with('/'));
            let tcp = || text.parse().ok().map(Address::Tcp);
            let address = unix.map(|path| Address::Unix(path.into())).or_else(tcp);
            address.ok_or_else(|| CliError::Address(text.into_owned()))?
        }
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(flag) => return Err(flag.unexpected().into()),
    };
    Ok(Command::DemoBackend(address))
}

/// `health` with the guards that it names.
fn health(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let mut admin = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("admin") => admin.push(arguments.value()?.string()?),
            Short('h') | Long("help") => return Ok(Command::Help),
            argument => return Err(argument.unexpected().into()),
        }
    }
    Ok(Command::Health(admin))
}

/// `print` with the file whose name and options come next.
fn print(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let mut print = None;
    while let Some(argument) = arguments.next()? {
        print = Some(match (argument, print) {
            (Value(name), None) => {
                let name = name.to_string_lossy();
                if let Some(document) = documents::find(&name) {
                    return Ok(Command::Document(document));
                }
                Print::new(&name).map_err(CliError::File)?
            }
            (Long(option), Some(print)) if OPTIONS.contains(&option) => {
                let option = option.to_owned();
                let value = arguments.value()?;
                let value = value.to_string_lossy();
                Print::with(print, &option, &value).map_err(CliError::Print)?
            }
            (Short('h') | Long("help"), _) => return Ok(Command::Help),
            (argument, _) => return Err(argument.unexpected().into()),
        });
    }
    let checked = print.map(Print::checked).transpose();
    checked.map(Command::Print).map_err(CliError::Print)
}
