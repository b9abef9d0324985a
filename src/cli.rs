//! Commands and help.

use std::net::SocketAddr;

use lexopt::Arg::{Long, Short, Value};

use crate::config::variables;
use crate::demo_backend;
use crate::deploy::Print;
use crate::keys::cli::{self as keys, KeysArgs};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `serve`, or nothing
    Serve,
    /// `check`
    Check,
    /// `keygen`
    Keygen,
    /// `print`, with the file that it names, if it names one
    Print(Option<Print>),
    /// `demo-backend`, at this address
    DemoBackend(SocketAddr),
    /// `keys`
    Keys(KeysArgs),
    /// `--help`
    Help,
    /// `--version`
    Version,
}

/// What `print NAME` takes.
const OPTIONS: [&str; 5] = ["backend", "name", "cert", "key", "socket"];

/// What `--help` prints.
#[must_use]
pub fn help() -> String {
    let variables = variables::help();
    [
        COMMANDS,
        "variables, and their defaults:\n",
        &variables,
        EXIT_STATUS,
    ]
    .concat()
}

/// The commands and what is served.
const COMMANDS: &str = "\
origin-guard - lets an origin accept traffic from its gateway alone

usage: origin-guard [serve]   serve
       origin-guard check     validate the configuration and print it
       origin-guard keygen    print a fresh secret
       origin-guard print     print a file for systemd or a proxy; alone, list them
         print FILE [--backend HOST:PORT] [--name HOST] [--cert FILE --key FILE]
                    [--socket PATH]
                              a proxy's, fitted to your machine, SECRET_HEADER and
                              API_KEY_HEADER
         print unit --backend URL
                              the service in front of that backend
       origin-guard demo-backend [127.0.0.1:3000]
                              answer with what reaches it: a backend to try with
       origin-guard keys      add, list, revoke, rotate, rm, verify: API keys
       origin-guard --help | --version

GET /protected is answered with 200 where the header X-Shared-Secret holds the
secret, and with 401 where it does not; so is /verify, which a proxy asks about each
request, whatever its method. GET /healthz answers 200 to anyone.

A gateway asks /authorize, on a door of its own (GATEWAY_LISTEN), about each
request: 200 with X-Shared-Secret, X-Consumer and X-Consumer-Metadata where its
API key is good, 401 where it is not.

keys, in the file that API_KEYS_FILE or --file PATH names; a running guard sees
each change within two seconds:
  keys add CONSUMER   make one and print it, once
    --expires WHEN    90d, 12h, 30m; 2027-01-31, its first second in UTC; or
                      2027-01-31T12:00:00Z             [never]
    --metadata JSON   an object, sent as X-Consumer-Metadata
  keys list [--json]  id, state, times and consumer of each
  keys revoke ID      end one at once
  keys rotate ID --overlap 24h
                      make and print one in its place; the old one is good for
                      the overlap, the new one as long as the old one was made to
  keys rm CONSUMER    remove all that the consumer has
  keys verify         tell whose the key on stdin is; exit status 1 if it is not
                      good, and why

";

/// How a command ends.
const EXIT_STATUS: &str = "
exit status: 0 after SIGTERM or SIGINT, 1 where an address or a file cannot be
had, or a key is not good; 64 for a faulty command line, 78 for a faulty variable
or file of keys
";

/// Reads the command line.
///
/// # Errors
///
/// What is wrong with it, and where help is.
pub fn parse(mut arguments: lexopt::Parser) -> Result<Command, String> {
    let mut command = None;
    while let Some(argument) = arguments.next().map_err(|error| with_help(&error))? {
        let next = match argument {
            Short('h') | Long("help") => Command::Help,
            Short('V') | Long("version") => Command::Version,
            Value(word) if word == "serve" => Command::Serve,
            Value(word) if word == "check" => Command::Check,
            Value(word) if word == "keygen" => Command::Keygen,
            Value(word) if word == "demo-backend" => demo_backend(&mut arguments)?,
            Value(word) if word == "print" => print(&mut arguments)?,
            Value(word) if word == "keys" => keys::parse(&mut arguments)
                .map_err(|error| error.to_string())?
                .map_or(Command::Help, Command::Keys),
            Value(word) => {
                let word = word.to_string_lossy();
                return Err(with_help(&format!("unknown command {word:?}")));
            }
            flag => return Err(with_help(&flag.unexpected())),
        };
        match command {
            None => command = Some(next),
            Some(Command::Help | Command::Version) => {}
            Some(_) if next == Command::Help => command = Some(next),
            Some(_) => return Err(with_help(&"more than one command")),
        }
    }
    Ok(command.unwrap_or(Command::Serve))
}

/// `demo-backend` with the address that comes next, or its own.
fn demo_backend(arguments: &mut lexopt::Parser) -> Result<Command, String> {
    let address = match arguments.next().map_err(|error| with_help(&error))? {
        None => demo_backend::ADDRESS,
        Some(Value(address)) => {
            let address = address.to_string_lossy();
            address.parse().map_err(|_| {
                let own = demo_backend::ADDRESS;
                with_help(&format!(
                    "{address:?} is no address; write one such as {own}"
                ))
            })?
        }
        Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(flag) => return Err(with_help(&flag.unexpected())),
    };
    Ok(Command::DemoBackend(address))
}

/// `print` with the file whose name and options come next.
fn print(arguments: &mut lexopt::Parser) -> Result<Command, String> {
    let mut print = None;
    while let Some(argument) = arguments.next().map_err(|error| with_help(&error))? {
        print = Some(match (argument, print) {
            (Value(name), None) => {
                Print::new(&name.to_string_lossy()).map_err(|fault| fault.to_string())?
            }
            (Long(option), Some(print)) if OPTIONS.contains(&option) => {
                let option = option.to_owned();
                let value = arguments.value().map_err(|error| with_help(&error))?;
                let value = value.to_string_lossy();
                Print::with(print, &option, &value).map_err(|fault| fault.to_string())?
            }
            (Short('h') | Long("help"), _) => return Ok(Command::Help),
            (argument, _) => return Err(with_help(&argument.unexpected())),
        });
    }
    let checked = print.map(Print::checked).transpose();
    checked
        .map(Command::Print)
        .map_err(|fault| fault.to_string())
}

fn with_help(fault: &dyn std::fmt::Display) -> String {
    format!("{fault}; see origin-guard --help")
}
