//! The command line of `origin-guard probe`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

use super::plan::MOST_PORTS;
use super::target::{Target, TargetError};
use crate::decimal::decimal;
use crate::usage::{Parsed, UsageError};

const HTTP_PORT: u16 = 80;
const BACKEND_PORTS: &str = "--backend-ports";

/// What is to be asked, and how.
#[derive(Clone, Debug)]
pub struct ProbeArgs {
    /// The origin.
    pub(super) target: Target,
    /// `--secret-file`: without it what needs the right secret is left out.
    pub(super) secret_file: Option<PathBuf>,
    /// `--ca-file`, the authorities to trust; else `ORIGIN_CA` names it, else the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// `--resolve`: where to ask in place of where DNS leads.
    pub(super) resolve: Option<Place>,
    /// `--header`; else `SECRET_HEADER` names it.
    pub(super) header: Option<String>,
    /// `--backend-ports`: asked directly.
    pub(super) backend_ports: Vec<u16>,
    /// `--http-port`: where plain HTTP may be open beside https.
    pub(super) http_port: u16,
    /// `--json`.
    pub(super) json: bool,
}

/// Where to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    /// In place of the URL's.
    pub(super) port: Option<u16>,
}

impl ProbeArgs {
    /// The port that is asked as the URL's.
    pub(super) fn port(&self) -> u16 {
        let port = self.resolve.and_then(|place| place.port);
        port.unwrap_or_else(|| self.target.port())
    }
}

/// What is wrong with the command line.
#[derive(Debug)]
pub enum ProbeUsageError {
    /// No URL is named.
    NoUrl,
    /// Two are.
    TwoUrls,
    /// The URL cannot be asked.
    Url(TargetError),
    /// An option is there twice.
    Repeated(&'static str),
    /// A port is none.
    Port(&'static str, String),
    /// What is to be asked in place of where DNS leads is no address.
    Place(String),
    /// There are too many ports.
    TooManyPorts(usize),
    /// A port that this option names is the URL's own.
    OwnPort(&'static str, u16),
}

impl fmt::Display for ProbeUsageError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl => to.write_str("probe needs a URL such as https://origin.example/orders"),
            Self::TwoUrls => to.write_str("probe asks one origin at a time; name one URL"),
            Self::Url(error) => error.fmt(to),
            Self::Repeated(option) => write!(to, "{option} is there twice; name it once"),
            Self::Port(option, text) => {
                write!(
                    to,
                    "{option}: {text:?} is not a port; write 1 to 65535, in digits alone"
                )
            }
            Self::Place(text) => write!(
                to,
                "--resolve: {text:?} is not an address; write one such as 203.0.113.7, \
                 2001:db8::7, 203.0.113.7:8443 or [2001:db8::7]:8443"
            ),
            Self::TooManyPorts(count) => write!(
                to,
                "--backend-ports: {count} are more than {MOST_PORTS}; name fewer"
            ),
            Self::OwnPort(option, port) => write!(
                to,
                "{option}: {port} is the URL's own port; name where {} listens",
                match *option {
                    BACKEND_PORTS => "the backend",
                    _ => "plain HTTP",
                }
            ),
        }
    }
}

impl std::error::Error for ProbeUsageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ProbeUsageError> for UsageError {
    fn from(error: ProbeUsageError) -> Self {
        Self::new("probe", &error)
    }
}

/// Reads what follows `probe`.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub fn parse(arguments: &mut lexopt::Parser) -> Result<Parsed<ProbeArgs>, UsageError> {
    let fault = |error: lexopt::Error| UsageError::of_arguments("probe", &error);
    let (mut target, mut secret_file, mut header) = (None, None, None);
    let (mut ca_file, mut resolve) = (None, None);
    let (mut backend_ports, mut http_port, mut json) = (None, None, false);
    while let Some(argument) = arguments.next().map_err(fault)? {
        match argument {
            Short('h') | Long("help") => return Ok(Parsed::Help("probe")),
            Long("json") => json = true,
            Long("secret-file") => {
                let path = PathBuf::from(arguments.value().map_err(fault)?);
                once("--secret-file", &mut secret_file, path)?;
            }
            Long("ca-file") => {
                let path = PathBuf::from(arguments.value().map_err(fault)?);
                once("--ca-file", &mut ca_file, path)?;
            }
            Long("resolve") => {
                let text = arguments.value().map_err(fault)?;
                let place = place(&text.to_string_lossy())?;
                once("--resolve", &mut resolve, place)?;
            }
            Long("header") => {
                let name = arguments
                    .value()
                    .map_err(fault)?
                    .to_string_lossy()
                    .into_owned();
                once("--header", &mut header, name)?;
            }
            Long("backend-ports") => {
                let list = arguments.value().map_err(fault)?;
                let ports = ports(&list.to_string_lossy())?;
                once("--backend-ports", &mut backend_ports, ports)?;
            }
            Long("http-port") => {
                let text = arguments.value().map_err(fault)?;
                let port = port("--http-port", &text.to_string_lossy())?;
                once("--http-port", &mut http_port, port)?;
            }
            Value(url) => {
                let url = Target::parse(&url.to_string_lossy()).map_err(ProbeUsageError::Url)?;
                if target.replace(url).is_some() {
                    return Err(ProbeUsageError::TwoUrls.into());
                }
            }
            flag => return Err(fault(flag.unexpected())),
        }
    }
    let target = target.ok_or(ProbeUsageError::NoUrl)?;
    let args = ProbeArgs {
        target,
        secret_file,
        ca_file,
        resolve,
        header,
        backend_ports: backend_ports.unwrap_or_default(),
        http_port: http_port.unwrap_or(HTTP_PORT),
        json,
    };
    if args.backend_ports.contains(&args.port()) {
        return Err(ProbeUsageError::OwnPort(BACKEND_PORTS, args.port()).into());
    }
    if http_port == Some(args.port()) {
        return Err(ProbeUsageError::OwnPort("--http-port", args.port()).into());
    }
    Ok(Parsed::Command(args))
}

/// An address, or one with a port.
fn place(text: &str) -> Result<Place, ProbeUsageError> {
    let alone = |ip| Place { ip, port: None };
    let with_port = |address: SocketAddr| Place {
        ip: address.ip(),
        port: Some(address.port()),
    };
    let place = text.parse().map(alone);
    let place = place.or_else(|_| text.parse().map(with_port)).ok();
    let place = place.filter(|place| place.port != Some(0));
    place.ok_or_else(|| ProbeUsageError::Place(text.to_owned()))
}

fn once<T>(option: &'static str, slot: &mut Option<T>, value: T) -> Result<(), ProbeUsageError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ProbeUsageError::Repeated(option)),
    }
}

fn ports(list: &str) -> Result<Vec<u16>, ProbeUsageError> {
    let mut ports = Vec::new();
    for text in list.split(',') {
        let port = port("--backend-ports", text.trim())?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    if ports.len() > MOST_PORTS {
        return Err(ProbeUsageError::TooManyPorts(ports.len()));
    }
    Ok(ports)
}

fn port(option: &'static str, text: &str) -> Result<u16, ProbeUsageError> {
    let port = decimal(text).filter(|&port| port > 0);
    port.ok_or_else(|| ProbeUsageError::Port(option, text.to_owned()))
}
