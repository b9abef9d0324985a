//! The command line.

use std::error::Error;
use std::fmt;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;

use crate::check;
use crate::demo_backend;
use crate::deploy::{Print, PrintFault, UnknownFile};
use crate::documents;
use crate::keys::cli::{self as keys, KeysArgs};
use crate::net::Address;
use crate::probe::{self, ProbeArgs};
use crate::rotation::cli::{self as secret, SecretArgs};
use crate::usage::{self, Parsed, UsageError};

/// From how many bytes on what is no address is not shown: it may be a secret.
const SHOWN: usize = 16;

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
    /// `--help`, of this command or group; of the whole program where it is empty
    Help(&'static str),
    /// `--version`
    Version,
}

/// What is wrong with the command line.
#[derive(Debug)]
pub enum CliError {
    /// It asks for what there is not, or lacks something.
    Usage(UsageError),
    /// There is no such file to print.
    File(UnknownFile),
    /// The file to print does not take this.
    Print(PrintFault),
}

impl fmt::Display for CliError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(to),
            Self::File(error) => error.fmt(to),
            Self::Print(error) => error.fmt(to),
        }
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Usage(error) => Some(error),
            Self::File(error) => Some(error),
            Self::Print(error) => Some(error),
        }
    }
}

impl From<UsageError> for CliError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

/// Reads the command line.
///
/// # Errors
///
/// What is wrong with it, and where help is.
pub fn parse(mut arguments: lexopt::Parser) -> Result<Command, CliError> {
    let fault = |error: lexopt::Error| UsageError::of_arguments("", &error);
    let first = match arguments.next().map_err(fault)? {
        None => return Ok(Command::Serve),
        Some(Short('h') | Long("help")) => return help(&mut arguments),
        Some(Short('V') | Long("version")) => return version(&mut arguments),
        Some(Value(word)) => word.to_string_lossy().into_owned(),
        Some(flag) => return Err(fault(flag.unexpected()).into()),
    };
    let arguments = &mut arguments;
    match first.as_str() {
        "help" => help(arguments),
        "version" => version(arguments),
        "serve" => alone(arguments, "serve", Command::Serve),
        "keygen" => alone(arguments, "keygen", Command::Keygen),
        "check" => check(arguments),
        "demo-backend" => demo_backend(arguments),
        "print" => print(arguments),
        "health" => health(arguments),
        "secret" => Ok(command(secret::parse(arguments)?, Command::Secret)),
        "keys" => Ok(command(keys::parse(arguments)?, Command::Keys)),
        "probe" => Ok(command(probe::parse(arguments)?, Command::Probe)),
        unknown => Err(UsageError::unknown_command("", unknown).into()),
    }
}

fn command<T>(parsed: Parsed<T>, make: fn(T) -> Command) -> Command {
    match parsed {
        Parsed::Help(command) => Command::Help(command),
        Parsed::Command(arguments) => make(arguments),
    }
}

/// `help`, with the command that comes next, if one does.
fn help(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let mut words = Vec::new();
    while let Some(argument) = arguments.next().map_err(|error| fault("", &error))? {
        match argument {
            Value(word) => words.push(word.to_string_lossy().into_owned()),
            Short('h' | 'V') | Long("help" | "version") => {}
            flag => return Err(fault("", &flag.unexpected())),
        }
    }
    let command = words.join(" ");
    match usage::known(&command) {
        Some(command) => Ok(Command::Help(command)),
        None if words.is_empty() => Ok(Command::Help("")),
        None => {
            let group = words.first().filter(|word| usage::known(word).is_some());
            let (group, word) = match group {
                Some(group) => (group.as_str(), words[1..].join(" ")),
                None => ("", command),
            };
            Err(UsageError::unknown_command(group, &word).into())
        }
    }
}

fn version(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    while let Some(argument) = arguments.next().map_err(|error| fault("", &error))? {
        match argument {
            Short('h' | 'V') | Long("help" | "version") => {}
            other => return Err(fault("", &other.unexpected())),
        }
    }
    Ok(Command::Version)
}

/// What the reader of arguments says of those of `command`.
fn fault(command: &str, error: &lexopt::Error) -> CliError {
    UsageError::of_arguments(command, error).into()
}

/// A command that takes nothing.
fn alone(
    arguments: &mut lexopt::Parser,
    name: &'static str,
    command: Command,
) -> Result<Command, CliError> {
    match arguments.next().map_err(|error| fault(name, &error))? {
        None => Ok(command),
        Some(Short('h') | Long("help")) => Ok(Command::Help(name)),
        Some(other) => Err(fault(name, &other.unexpected())),
    }
}

/// `check` with its options.
fn check(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let fault = |error: lexopt::Error| fault("check", &error);
    let mut options = check::Options::default();
    while let Some(argument) = arguments.next().map_err(fault)? {
        match argument {
            Long("local") => options.local = true,
            Long("strict") => options.strict = true,
            Long("json") => options.json = true,
            Long("within-unit") => options.within_unit = true,
            Long("unit") => {
                let unit = arguments.value().map_err(fault)?;
                options.unit = Some(unit.to_string_lossy().into_owned());
            }
            Short('h') | Long("help") => return Ok(Command::Help("check")),
            argument => return Err(fault(argument.unexpected())),
        }
    }
    Ok(Command::Check(options))
}

/// `demo-backend` with the address that comes next, or its own.
fn demo_backend(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let fault = |error: lexopt::Error| fault("demo-backend", &error);
    let mut address = None;
    while let Some(argument) = arguments.next().map_err(fault)? {
        match argument {
            Value(text) if address.is_none() => {
                address = Some(text.to_string_lossy().into_owned());
            }
            Short('h') | Long("help") => return Ok(Command::Help("demo-backend")),
            other => return Err(fault(other.unexpected())),
        }
    }
    let Some(text) = address else {
        return Ok(Command::DemoBackend(demo_backend::ADDRESS));
    };
    let path = text.strip_prefix("unix:");
    let unix = path.filter(|path| path.starts_with('/'));
    let tcp = || text.parse().ok().map(Address::Tcp);
    let address = unix.map(|path| Address::Unix(path.into())).or_else(tcp);
    let address = address.ok_or_else(|| {
        let example = demo_backend::ADDRESS;
        let what = match text.parse::<u16>() {
            Ok(port) => format!("{port} is a port alone; write 127.0.0.1:{port}"),
            // Longer ones may be a secret, and are not shown.
            Err(_) if text.len() < SHOWN && !text.is_empty() => {
                format!("{text:?} is no address; write one such as {example} or unix:/path")
            }
            Err(_) => format!("this is no address; write one such as {example} or unix:/path"),
        };
        UsageError::new("demo-backend", &what)
    })?;
    Ok(Command::DemoBackend(address))
}

/// `health` with the guards that it names.
fn health(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let fault = |error: lexopt::Error| fault("health", &error);
    let mut admin = Vec::new();
    while let Some(argument) = arguments.next().map_err(fault)? {
        match argument {
            Long("admin") => {
                let value = arguments.value().map_err(fault)?;
                admin.push(value.string().map_err(fault)?);
            }
            Short('h') | Long("help") => return Ok(Command::Help("health")),
            argument => return Err(fault(argument.unexpected())),
        }
    }
    Ok(Command::Health(admin))
}

/// `print` with the file whose name and options come next.
fn print(arguments: &mut lexopt::Parser) -> Result<Command, CliError> {
    let fault = |error: lexopt::Error| fault("print", &error);
    let options = usage::find("print").map_or(&[][..], |usage| usage.options);
    let is_option = |name: &str| options.iter().any(|option| option.name == name);
    let mut print: Option<Print> = None;
    let mut document = None;
    while let Some(argument) = arguments.next().map_err(fault)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help("print")),
            Value(name) if print.is_none() && document.is_none() => {
                let name = name.to_string_lossy();
                document = documents::find(&name);
                if document.is_none() {
                    print = Some(Print::new(&name).map_err(CliError::File)?);
                }
            }
            Long(option) if is_option(option) => {
                let option = option.to_owned();
                if print.is_none() {
                    let what = match document {
                        Some(_) => {
                            format!("--{option}: this file is fitted to nothing; leave it out")
                        }
                        None => format!("name the file before --{option}"),
                    };
                    return Err(UsageError::new("print", &what).into());
                }
                let value = arguments.value().map_err(fault)?;
                let value = value.to_string_lossy();
                let with = print.take().map(|print| print.with(&option, &value));
                print = with.transpose().map_err(CliError::Print)?;
            }
            argument => return Err(fault(argument.unexpected())),
        }
    }
    if let Some(document) = document {
        return Ok(Command::Document(document));
    }
    let checked = print.map(Print::checked).transpose();
    checked.map(Command::Print).map_err(CliError::Print)
}
