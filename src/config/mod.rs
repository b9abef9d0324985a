//! The environment -> [`Config`]; every fault named at once.

mod gateway;
mod group;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::auth::secret_source::{Loaded, Source};
use crate::auth::secrets::{Digest, Secrets, Text};
use crate::http1::forwarded::TrustedProxies;
use crate::http1::framing::is_framing;
use crate::http1::token::is_token_byte;
use crate::net::{Address, SocketAccess};
use crate::server::Limits;

pub use gateway::Gateway;

/// Longest time that a variable may set: a year.
const LONGEST: f64 = 31_536_000.0;

/// Longest path of a Unix socket, in bytes (unix(7)).
const LONGEST_PATH: usize = 107;

/// What the environment asks for.
pub struct Config {
    /// `LISTEN`; nothing where it is `none`.
    pub listen: Vec<Address>,
    /// Whether `LISTEN` is set; the default gives way to inherited sockets.
    pub listen_is_set: bool,
    /// `ADMIN_LISTEN`; none unless it is set.
    pub admin_listen: Vec<Address>,
    /// `ADMIN_ALLOW_REMOTE=1`.
    pub admin_allow_remote: bool,
    /// `SOCKET_MODE` and `SOCKET_GROUP`.
    pub socket_access: SocketAccess,
    /// `SECRET_HEADER`.
    pub header: String,
    /// Where the secrets come from.
    pub source: Source,
    /// The secrets that are there now, the current one first.
    pub secrets: Vec<Digest>,
    /// The text of the current one, where the gateway's door hands it out.
    pub secret_text: Option<Text>,
    /// The gateway's door, where `GATEWAY_LISTEN` opens it.
    pub gateway: Option<Gateway>,
    /// `WORKERS`.
    pub workers: usize,
    /// The variables named like the limits.
    pub limits: Limits,
    /// `DRAIN_TIMEOUT`.
    pub drain_timeout: Duration,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `ACCESS_LOG=1`.
    pub access_log: bool,
    /// What is legal and likely a mistake, a line each.
    pub warnings: Vec<String>,
    /// Each variable and its effective value, the secret's redacted.
    pub effective: Vec<(&'static str, String)>,
}

/// What is wrong with the environment, a line each: variable, fault, remedy.
#[derive(Debug)]
pub struct Faults(Vec<String>);

impl Display for Faults {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| writeln!(to, "{fault}"))
    }
}

impl Config {
    /// Reads the variables by way of `variable`, [`std::env::var_os`] as a rule.
    /// `inherits_gateway` says that a socket unit opens the gateway's listener.
    ///
    /// # Errors
    ///
    /// Every fault of every variable.
    pub fn read(
        variable: impl Fn(&str) -> Option<OsString>,
        inherits_gateway: bool,
    ) -> Result<Self, Faults> {
        let mut reader = Reader {
            variable: &variable,
            faults: Vec::new(),
            warnings: Vec::new(),
            effective: Vec::new(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (source, loaded) = reader.secrets();
        let header = reader.header();
        let gateway = reader.gateway(&header, inherits_gateway);
        let listen_is_set = variable("LISTEN").is_some_and(|text| !text.is_empty());
        let listen = reader.value("LISTEN", "0.0.0.0:8888", |list| match list {
            "none" if gateway.is_some() => Ok(Vec::new()),
            "none" => Err("none leaves no door; leave it out, or set GATEWAY_LISTEN".into()),
            _ => addresses(list),
        });
        let socket_access = SocketAccess {
            mode: reader.socket_mode(),
            group: reader.value("SOCKET_GROUP", "", group::id),
        };
        let admin_allow_remote = reader.value("ADMIN_ALLOW_REMOTE", "0", switch);
        let admin_listen = reader.admin_listen(admin_allow_remote);
        reader.each_address_once(&listen, gateway.as_ref(), &admin_listen);
        let workers = reader.value("WORKERS", &cores.to_string(), count(1, 256));
        if workers > cores {
            reader.warnings.push(format!(
                "WORKERS: {workers} threads share {cores} cores; more than one for each core \
                 costs memory and answers no sooner"
            ));
        }
        let limits = Limits {
            max_connections: reader.value("MAX_CONNECTIONS", "10000", count(1, 1_000_000)),
            head_bytes: reader.value("MAX_HEAD_BYTES", "65536", count(1024, 1024 * 1024)),
            head_timeout: reader.value("HEAD_TIMEOUT", "10", seconds),
            idle_timeout: reader.value("IDLE_TIMEOUT", "75", seconds),
            write_timeout: reader.value("WRITE_TIMEOUT", "10", seconds),
        };
        let drain_timeout = reader.value("DRAIN_TIMEOUT", "5", seconds);
        let trusted_proxies = reader.value("TRUSTED_PROXIES", "", |list| {
            TrustedProxies::parse(list).map_err(|error| error.to_string())
        });
        let access_log = reader.value("ACCESS_LOG", "0", switch);
        if !reader.faults.is_empty() {
            return Err(Faults(reader.faults));
        }
        Ok(Self {
            listen,
            listen_is_set,
            admin_listen,
            admin_allow_remote,
            socket_access,
            header,
            source,
            secrets: loaded.digests,
            secret_text: loaded.current.filter(|_| gateway.is_some()),
            gateway,
            workers,
            limits,
            drain_timeout,
            trusted_proxies,
            access_log,
            warnings: reader.warnings,
            effective: reader.effective,
        })
    }
}

impl Config {
    /// Takes the secrets out, for the guard; with the text of the current one where there
    /// is a gateway's door.
    #[must_use]
    pub fn take_secrets(&mut self) -> Secrets {
        let digests = std::mem::take(&mut self.secrets);
        match self.gateway {
            None => Secrets::new(digests),
            Some(_) => Secrets::with_text(digests, self.secret_text.take()),
        }
    }

    /// The effective values as `NAME=value`, quoted where they hold a space.
    #[must_use]
    pub fn on_one_line(&self) -> String {
        let one = |(name, value): &(&str, String)| {
            if value.contains(' ') {
                format!("{name}={value:?}")
            } else {
                format!("{name}={value}")
            }
        };
        self.effective.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    faults: Vec<String>,
    warnings: Vec<String>,
    effective: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    /// The variable's text. One that is empty counts as unset.
    fn text(&mut self, name: &'static str) -> Option<String> {
        match (self.variable)(name)?.into_string() {
            Ok(text) if text.is_empty() => None,
            Ok(text) => Some(text),
            Err(_) => {
                self.fault(name, "its value is not UTF-8; write it in ASCII");
                None
            }
        }
    }

    fn fault(&mut self, name: &str, fault: impl Display) {
        self.faults.push(format!("{name}: {fault}"));
    }

    /// The variable, or the default, parsed. After a fault it is the default's value,
    /// so that the other variables are looked at too.
    fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let value = parse(text.trim()).unwrap_or_else(|fault| {
            self.fault(name, fault);
            parse(default).expect("a default is valid")
        });
        self.effective.push((name, text));
        value
    }

    fn secrets(&mut self) -> (Source, Loaded) {
        let loaded = Source::find(self.variable)
            .and_then(|source| Ok((source.load(self.variable)?, source)));
        let (mut loaded, source) = match loaded {
            Ok(loaded) => loaded,
            Err(fault) => {
                self.faults.push(fault);
                return (Source::Unset, Loaded::default());
            }
        };
        self.warnings.append(&mut loaded.warnings);
        if source == Source::Unset {
            self.warnings.push(
                "SHARED_SECRET is not set: every request for /protected is answered with 500; \
                 set it to what the gateway sends"
                    .into(),
            );
        }
        let count = loaded.digests.len();
        self.effective.push(("secret_source", source.to_string()));
        self.effective
            .push(("secrets", format!("{count} (not shown)")));
        (source, loaded)
    }

    fn socket_mode(&mut self) -> u32 {
        let mode = self.value("SOCKET_MODE", "0660", |text| {
            u32::from_str_radix(text, 8)
                .ok()
                .filter(|&mode| mode <= 0o777)
                .ok_or_else(|| format!("{text:?} is no mode from 0000 to 0777; write it like 0660"))
        });
        if mode & 0o002 != 0 {
            self.warnings.push(format!(
                "SOCKET_MODE: {mode:04o} lets everyone on this machine connect; write 0660 and \
                 set SOCKET_GROUP to the group of your proxy"
            ));
        }
        mode
    }

    fn admin_listen(&mut self, remote: bool) -> Vec<Address> {
        self.value("ADMIN_LISTEN", "", |list| {
            if list.is_empty() {
                return Ok(Vec::new());
            }
            let addresses = addresses(list)?;
            match addresses.iter().find(|address| !address.is_local()) {
                Some(open) if !remote => Err(format!(
                    "{open} can be reached from other machines; write 127.0.0.1:PORT or \
                     unix:/path, or set ADMIN_ALLOW_REMOTE=1"
                )),
                _ => Ok(addresses),
            }
        })
    }

    fn header(&mut self) -> String {
        self.value("SECRET_HEADER", "X-Shared-Secret", |name| {
            field_name(name)?;
            Ok(name.to_owned())
        })
    }

    fn each_address_once(
        &mut self,
        listen: &[Address],
        gateway: Option<&Gateway>,
        admin: &[Address],
    ) {
        let gateway = gateway.map_or(&[][..], |gateway| &gateway.listen);
        for (name, addresses, first, others) in [
            ("GATEWAY_LISTEN", gateway, "LISTEN", listen),
            ("ADMIN_LISTEN", admin, "LISTEN", listen),
            ("ADMIN_LISTEN", admin, "GATEWAY_LISTEN", gateway),
        ] {
            let shared = |address: &&Address| is_fixed(address) && others.contains(address);
            if let Some(address) = addresses.iter().find(shared) {
                self.fault(
                    name,
                    format!("{address} is in {first} too; each door needs an address of its own"),
                );
            }
        }
    }
}

/// Whether `name` can be that of a field which a client or a gateway sets.
fn field_name(name: &str) -> Result<(), String> {
    if let Some(at) = name.bytes().position(|byte| !is_token_byte(byte)) {
        return Err(format!(
            "the byte at position {at} cannot stand in a header's name; \
             use letters, digits and hyphens"
        ));
    }
    if is_framing(name) || name.eq_ignore_ascii_case("host") {
        return Err(format!(
            "{name} has a meaning of its own in HTTP; choose another header"
        ));
    }
    Ok(())
}

/// Whether no other address is it: with port 0 the system chooses one.
fn is_fixed(address: &Address) -> bool {
    !matches!(address, Address::Tcp(address) if address.port() == 0)
}

fn addresses(list: &str) -> Result<Vec<Address>, String> {
    const REMEDY: &str = "write ADDRESS:PORT (0.0.0.0:8888, [::]:8888) or unix:/path";
    let mut addresses = Vec::new();
    for member in list.split(',').map(str::trim) {
        let address = if let Some(path) = member.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("{member:?} is no absolute path; {REMEDY}"));
            }
            if path.len() > LONGEST_PATH {
                return Err(format!(
                    "the path of {member} has {} bytes; a Unix socket has at most {LONGEST_PATH}",
                    path.len()
                ));
            }
            Address::Unix(PathBuf::from(path))
        } else {
            let address = SocketAddr::from_str(member)
                .map_err(|_| format!("{member:?} is no address; {REMEDY}"))?;
            Address::Tcp(address)
        };
        if addresses.contains(&address) && is_fixed(&address) {
            return Err(format!("{member} is there twice; name it once"));
        }
        addresses.push(address);
    }
    let wildcard_port = |v6: bool| {
        addresses.iter().find_map(|address| match address {
            Address::Tcp(a) if a.ip().is_unspecified() && a.is_ipv6() == v6 => Some(a.port()),
            _ => None,
        })
    };
    match (wildcard_port(false), wildcard_port(true)) {
        (Some(v4), Some(v6)) if v4 == v6 && v4 != 0 => Err(format!(
            "[::]:{v6} takes IPv4 too, so 0.0.0.0:{v4} is taken; leave 0.0.0.0:{v4} out"
        )),
        _ => Ok(addresses),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("{text:?} is neither 0 nor 1")),
    }
}

fn count(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        text.parse()
            .ok()
            .filter(|count| (least..=most).contains(count))
            .ok_or_else(|| {
                format!("{text:?} is no number from {least} to {most}; write one in digits")
            })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.strip_suffix('s')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|seconds| (0.001..=LONGEST).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| {
            format!("{text:?} is no time in seconds, more than 0; write it like 10 or 0.5")
        })
}
