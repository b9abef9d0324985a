//! What is wrong with the environment.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::path::Path;

use crate::finding::Finding;
use crate::keys::RateError;
use crate::net::{Address, LONGEST_UNIX_PATH};
use crate::notations::{DURATION, SIZE};

use super::variables::SECONDS;

/// What is wrong with a value, and what would be right. No secret is a value here.
#[derive(Debug)]
pub enum ValueError {
    /// It is not UTF-8.
    NotUtf8,
    /// Spaces where a path belongs.
    BlankPath,
    /// No number within the bounds.
    Count(String, usize, usize),
    /// No number of bytes.
    Bytes(String),
    /// No time in seconds.
    Seconds(String),
    /// Neither 0 nor 1.
    Switch(String),
    /// No mode in octal.
    Mode(String),
    /// A member of a list is not an address.
    Address(String),
    /// A member of a list is not an address of this machine.
    LocalAddress(String),
    /// The path of a Unix socket is not absolute.
    RelativePath(String),
    /// The same of the address of a running guard.
    LocalRelativePath(String),
    /// The path of a Unix socket is too long.
    LongPath(String),
    /// An address is there twice.
    Repeated(Address),
    /// An address takes what is sent to another one, which is named first.
    Covered(Address, Address),
    /// `none`, and no gateway.
    NoListener,
    /// Nothing answers but what sends clients elsewhere.
    RedirectAlone,
    /// An address that sends clients to https, where none can be.
    RedirectElsewhere(Address),
    /// The operator's address can be reached from other machines.
    RemoteAdmin(Address),
    /// The gateway's address can be reached from other machines.
    RemoteGateway(Address),
    /// The address is another variable's too.
    Taken(Address, &'static str),
    /// A byte of a header's name cannot stand there; its number, from 1.
    NameByte(usize),
    /// HTTP itself uses this header.
    NameOfHttp(String),
    /// The secret has this header already.
    NameOfSecret(String),
    /// A query cannot hold a parameter of this name as it is.
    NotAParameter(String),
    /// The text is not a rate.
    Rate(String, RateError),
    /// It says something of what is forwarded, and nothing is.
    NeedsOrigin,
    /// The answers hold this header already.
    NameOfAnswers(String),
    /// There is no such group.
    NoGroup(String),
    /// The file of groups cannot be read.
    Groups(io::Error),
    /// What another layer says of it.
    Other(Box<dyn Error + Send + Sync>),
}

impl ValueError {
    /// The same with the remedy for what this machine alone is to reach.
    #[must_use]
    pub fn of_this_machine(self) -> Self {
        match self {
            Self::Address(member) => Self::LocalAddress(member),
            Self::RelativePath(member) => Self::LocalRelativePath(member),
            other => other,
        }
    }
}

/// What to write in the place of a member that is no address.
struct AddressRemedy<'a>(&'a str);

impl Display for AddressRemedy<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://") {
            Some(("tls" | "https", _)) => {
                let port = port_of(self.0, 443);
                write!(
                    to,
                    "write tls:ADDRESS:PORT (tls:0.0.0.0:{port}, tls:[::]:{port})"
                )
            }
            scheme => {
                if scheme.is_some() {
                    to.write_str("leave the scheme off, and ")?;
                }
                let port = port_of(self.0, 8888);
                write!(
                    to,
                    "write ADDRESS:PORT (0.0.0.0:{port}, [::]:{port}) or unix:/path \
                     (unix:/run/origin-guard/guard.sock)"
                )
            }
        }
    }
}

/// The relative path that `member` names.
fn path_of(member: &str) -> &str {
    let path = member.strip_prefix("unix:").unwrap_or(member);
    path.strip_prefix("./").unwrap_or(path)
}

/// The port that was meant, as far as that shows.
fn port_of(member: &str, default: u16) -> u16 {
    let last = member.rsplit(':').next().unwrap_or(member);
    last.trim_end_matches('/').parse().unwrap_or(default)
}

impl Display for ValueError {
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlankPath => to.write_str(
                "it holds spaces alone; write the path of a file, or leave the variable out",
            ),
            Self::NotUtf8 => to.write_str("its value is not UTF-8; write it in ASCII"),
            Self::Count(text, least, most) => write!(
                to,
                "{text:?} is not a whole number from {least} to {most}; write one in digits alone, \
                 without a unit"
            ),
            Self::Bytes(text) => write!(
                to,
                "{text:?} is not a number of bytes, 1 or more; {}, or leave it out for no limit",
                SIZE.remedy()
            ),
            Self::Seconds(text) => write!(
                to,
                "{text:?} is not a time from {} to {} seconds; {}",
                SECONDS.0,
                SECONDS.1,
                DURATION.remedy()
            ),
            Self::Switch(text) => write!(to, "{text:?} is neither 0 nor 1; write one of them"),
            Self::Mode(text) => write!(
                to,
                "{text:?} is not a mode from 0000 to 0777; write it like 0660"
            ),
            Self::Address(member) => {
                write!(
                    to,
                    "{member:?} is not an address; {}",
                    AddressRemedy(member)
                )
            }
            Self::LocalAddress(member) => {
                let port = port_of(member, 9100);
                write!(
                    to,
                    "{member:?} is not an address; write ADDRESS:PORT (127.0.0.1:{port}, [::1]:{port}) or \
                     unix:/path (unix:/run/origin-guard/admin.sock)"
                )
            }
            Self::RelativePath(member) => {
                let path = Path::new(path_of(member));
                let name = path.file_name().unwrap_or("guard.sock".as_ref());
                write!(
                    to,
                    "{member:?} is not an absolute path; write the path from / on, as in \
                     unix:/run/origin-guard/{}",
                    name.display()
                )
            }
            Self::LocalRelativePath(member) => {
                let path = path_of(member);
                let absolute = std::path::absolute(path);
                let absolute = absolute.unwrap_or_else(|_| Path::new("/run").join(path));
                write!(
                    to,
                    "{member:?} is not an absolute path; write the path from / on, as in unix:{}",
                    absolute.display()
                )
            }
            Self::LongPath(path) => write!(
                to,
                "the path {path} has {} bytes, and a Unix socket at most {LONGEST_UNIX_PATH}; choose a \
                 shorter one",
                path.len()
            ),
            Self::Repeated(address) => write!(to, "{address} is there twice; name it once"),
            Self::Covered(address, wildcard) => write!(
                to,
                "{wildcard} takes what is sent to {address} too; leave {address} out"
            ),
            Self::RedirectAlone => to.write_str(
                "redirect: sends clients to https, and nothing listens there; add an address \
                 that begins with tls:",
            ),
            Self::RedirectElsewhere(address) => {
                write!(to, "{address} can be in LISTEN alone; write it there")
            }
            Self::NoListener => to.write_str(
                "with none this guard listens nowhere; write an address, or set GATEWAY_LISTEN",
            ),
            Self::RemoteAdmin(address) => write!(
                to,
                "{address} can be reached from other machines; write {}127.0.0.1:{} or \
                 unix:/run/origin-guard/admin.sock, or set ADMIN_ALLOW_REMOTE=1",
                if address.is_tls() { "tls:" } else { "" },
                address.socket_addr().map_or(9100, |at| at.port())
            ),
            Self::RemoteGateway(address) => write!(
                to,
                "{address} can be reached from other machines, and the answers there hold the \
                 secret; write unix:/run/origin-guard-gateway.sock or a loopback address such as \
                 127.0.0.1:{}, or set ORIGIN, if this guard should forward requests itself",
                address.socket_addr().map_or(8889, |at| at.port())
            ),
            Self::Taken(address, other) => write!(
                to,
                "{address} is in {other} too; each listener needs an address of its own"
            ),
            Self::NameByte(at) => write!(
                to,
                "byte {at} cannot stand in a header's name; use letters, digits and hyphens"
            ),
            Self::NameOfHttp(name) => write!(
                to,
                "{name} has a meaning of its own in HTTP; choose another header"
            ),
            Self::NameOfSecret(name) => write!(
                to,
                "{name} holds the secret already (SECRET_HEADER); choose another header for \
                 the key"
            ),
            Self::NotAParameter(name) => write!(
                to,
                "{name:?} cannot name a query parameter; use letters, digits, - . _ and ~ alone"
            ),
            Self::Rate(text, error) => write!(to, "{text:?} {error}"),
            Self::NeedsOrigin => {
                to.write_str("it does nothing without ORIGIN; set ORIGIN, or leave it out")
            }
            Self::NameOfAnswers(name) => write!(
                to,
                "the gateway sets {name} in its own answers; choose another header"
            ),
            Self::NoGroup(name) => write!(
                to,
                "this machine has no group {name:?}; make it (groupadd --system {name}) or write \
                 a number"
            ),
            Self::Groups(error) => write!(
                to,
                "/etc/group cannot be read: {error}; write the group's number"
            ),
            Self::Other(error) => error.fmt(to),
        }
    }
}

impl Error for ValueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Groups(error) => Some(error),
            Self::Other(error) => error.source(),
            _ => None,
        }
    }
}

/// What is wrong with the environment, a line each: variable, fault, remedy.
#[derive(Debug)]
pub struct ConfigError {
    /// At least one.
    pub faults: Vec<Finding>,
}

impl Display for ConfigError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults
            .iter()
            .try_for_each(|fault| writeln!(to, "{fault}"))
    }
}

impl Error for ConfigError {}
