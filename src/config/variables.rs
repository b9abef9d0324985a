//! The table of variables.
//!
//! Reading them, `--help`, `check`, the man page, the completions, the search for
//! misspelt names and docs/configuration.md all go by it. A new variable is one entry
//! here and one line where its value is read.

use std::fmt::{self, Display, Write as _};

use crate::http1::names::SHARED_SECRET;
use crate::notations::{self, NOTATIONS};
use crate::private_file::MODES;

/// A variable of the environment.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// What may be written, and from where to where.
    pub form: Form,
    /// What holds where it is not set.
    pub default: Fallback,
    /// One line on what it does.
    pub help: &'static str,
}

/// A chapter of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The shared secret.
    Secret,
    /// Where it listens.
    Listeners,
    /// The backend that is guarded.
    Backend,
    /// TLS.
    Tls,
    /// API keys.
    Gateway,
    /// What it logs.
    Logs,
    /// What it uses.
    Limits,
}

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A secret.
    Secret,
    /// A path of a file.
    Path,
    /// Paths of files, with commas.
    Paths,
    /// The name of a header field.
    FieldName,
    /// Addresses to listen at, with commas.
    Addresses,
    /// Addresses, networks or `unix`, with commas.
    Networks,
    /// URLs of backends, with commas.
    Backends,
    /// URLs of origins, with commas.
    Origins,
    /// The name of a host.
    Host,
    /// The name of a parameter of a query.
    Parameter,
    /// Origins of web pages, with commas.
    WebOrigins,
    /// A count of requests in a span of time.
    Rate,
    /// `allow`.
    Allow,
    /// DNS names or URIs, with commas.
    Names,
    /// `secret` or `certificate`.
    Require,
    /// Paths of URLs, with commas.
    UrlPaths,
    /// `0` or `1`.
    Switch,
    /// A file's mode in octal.
    Mode,
    /// A group's name or number.
    Group,
    /// A whole number within these bounds.
    Count(usize, usize),
    /// A number of bytes, at least one.
    Bytes,
    /// A duration in seconds.
    Seconds,
}

/// What holds where a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// As if this were written.
    Value(&'static str),
    /// As many as the machine has cores.
    Cores,
    /// Nothing, and what that means.
    Nothing(&'static str),
}

/// Shortest and longest time that a variable may set, in seconds; a year.
pub const SECONDS: (f64, f64) = (0.001, 31_536_000.0);

use Fallback::{Cores, Nothing, Value};
use Form::{
    Addresses, Allow, Backends, Bytes, Count, FieldName, Group, Host, Mode, Names, Networks,
    Origins, Parameter, Path, Paths, Require, Seconds, Secret, Switch, UrlPaths, WebOrigins,
};

/// All variables, by topic.
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    Variable { name: "SHARED_SECRET", topic: Topic::Secret, form: Secret, default: Nothing("none: 500"),
        help: "what the gateway sends; `origin-guard keygen` prints a fresh one" },
    Variable { name: "SHARED_SECRET_PREVIOUS", topic: Topic::Secret, form: Secret, default: Nothing("none"),
        help: "one that is accepted too, while it is replaced" },
    Variable { name: "SHARED_SECRET_FILE", topic: Topic::Secret, form: Path, default: Nothing("none"),
        help: "instead of both: one secret a line, the current first; # for comments" },
    Variable { name: "SECRET_HEADER", topic: Topic::Secret, form: FieldName, default: Value(SHARED_SECRET),
        help: "the header that holds the secret" },

    Variable { name: "LISTEN", topic: Topic::Listeners, form: Addresses, default: Value("0.0.0.0:8888"),
        help: "where requests arrive; redirect:ADDR:PORT sends to https; none" },
    Variable { name: "ADMIN_LISTEN", topic: Topic::Listeners, form: Addresses, default: Nothing("none"),
        help: "the operator's page, /metrics and /status: loopback or unix:" },
    Variable { name: "ADMIN_ALLOW_REMOTE", topic: Topic::Listeners, form: Switch, default: Value("0"),
        help: "1 lets ADMIN_LISTEN be reached from other machines" },
    Variable { name: "PROXY_PROTOCOL", topic: Topic::Listeners, form: Networks, default: Nothing("none"),
        help: "load balancers that have to begin with the PROXY protocol" },
    Variable { name: "ALLOW_FROM", topic: Topic::Listeners, form: Networks, default: Nothing("everybody"),
        help: "peers that may connect to LISTEN: the gateway's; others get 403" },
    Variable { name: "ALLOW_FROM_FILE", topic: Topic::Listeners, form: Path, default: Nothing("none"),
        help: "the same in a file, one a line; read again when it changes" },
    Variable { name: "SOCKET_MODE", topic: Topic::Listeners, form: Mode, default: Value("0660"),
        help: "who may connect to the Unix sockets that it makes" },
    Variable { name: "SOCKET_GROUP", topic: Topic::Listeners, form: Group, default: Nothing("its own"),
        help: "the group of these sockets: that of your proxy" },

    Variable { name: "BACKEND", topic: Topic::Backend, form: Backends, default: Nothing("none"),
        help: "what is guarded: all that LISTEN lets in goes there" },
    Variable { name: "PUBLIC_PATHS", topic: Topic::Backend, form: UrlPaths, default: Nothing("none"),
        help: "paths that GET and HEAD reach without the secret" },
    Variable { name: "MAX_BODY_BYTES", topic: Topic::Backend, form: Bytes, default: Nothing("no limit"),
        help: "bytes of a request's body" },
    Variable { name: "BODY_TIMEOUT", topic: Topic::Backend, form: Seconds, default: Value("30"),
        help: "seconds without a byte of a request's body" },
    Variable { name: "BACKEND_CONNECT_TIMEOUT", topic: Topic::Backend, form: Seconds, default: Value("2"),
        help: "seconds to connect to a backend" },
    Variable { name: "BACKEND_TIMEOUT", topic: Topic::Backend, form: Seconds, default: Value("60"),
        help: "seconds to the answer, then between its bytes" },
    Variable { name: "BACKEND_IDLE_TIMEOUT", topic: Topic::Backend, form: Seconds, default: Value("1.5"),
        help: "seconds that an unused connection to a backend is kept" },
    Variable { name: "TUNNEL_IDLE_TIMEOUT", topic: Topic::Backend, form: Seconds, default: Value("3600"),
        help: "seconds in which a WebSocket sends nothing" },

    Variable { name: "TLS_CERT", topic: Topic::Tls, form: Paths, default: Nothing("none"),
        help: "certificate chains in PEM for tls: addresses; chosen by name" },
    Variable { name: "TLS_KEY", topic: Topic::Tls, form: Paths, default: Nothing("none"),
        help: "their keys, in the same order: PKCS#8, SEC1 or PKCS#1" },
    Variable { name: "TLS_CLIENT_CA", topic: Topic::Tls, form: Path, default: Nothing("none"),
        help: "makes clients of LISTEN present a certificate that it has issued" },
    Variable { name: "TLS_CLIENT_NAMES", topic: Topic::Tls, form: Names, default: Nothing("any"),
        help: "whose: one of these is in its subjectAltName" },
    Variable { name: "TLS_CLIENT_CRL", topic: Topic::Tls, form: Paths, default: Nothing("none"),
        help: "lists of revoked ones, one for each authority of the chain" },
    Variable { name: "ACME_WEBROOT", topic: Topic::Tls, form: Path, default: Nothing("none"),
        help: "folder of challenges (certbot --webroot) for redirect: addresses" },
    Variable { name: "PLAINTEXT", topic: Topic::Tls, form: Allow, default: Nothing("a warning"),
        help: "allow says that LISTEN without TLS is meant" },
    Variable { name: "REQUIRE", topic: Topic::Tls, form: Require, default: Value("secret"),
        help: "certificate lets requests with a certificate in without the secret" },
    Variable { name: "ORIGIN", topic: Topic::Gateway, form: Origins, default: Nothing("none"),
        help: "where what GATEWAY_LISTEN lets in is forwarded, with the secret" },
    Variable { name: "ORIGIN_PLAINTEXT", topic: Topic::Gateway, form: Allow, default: Nothing("none"),
        help: "allow lets the secret cross a network without TLS" },
    Variable { name: "ORIGIN_HOST", topic: Topic::Gateway, form: Host, default: Nothing("its own"),
        help: "whose name the origin is asked for; keep is the client's" },
    Variable { name: "ORIGIN_CA", topic: Topic::Gateway, form: Path, default: Nothing("the system's"),
        help: "certificates of the authorities that are trusted, in PEM" },
    Variable { name: "ORIGIN_SERVER_NAME", topic: Topic::Gateway, form: Host, default: Nothing("its own"),
        help: "whose certificate the origin must show" },
    Variable { name: "ORIGIN_CLIENT_CERT", topic: Topic::Gateway, form: Path, default: Nothing("none"),
        help: "a certificate that the origin is shown, in PEM" },
    Variable { name: "ORIGIN_CLIENT_KEY", topic: Topic::Gateway, form: Path, default: Nothing("none"),
        help: "its key" },
    Variable { name: "GATEWAY_LISTEN", topic: Topic::Gateway, form: Addresses, default: Nothing("none"),
        help: "where the gateway answers; loopback or unix: unless ORIGIN is set" },
    Variable { name: "API_KEYS_FILE", topic: Topic::Gateway, form: Path, default: Nothing("none: 500"),
        help: "the file of API keys that `origin-guard keys` makes" },
    Variable { name: "API_KEY_HEADER", topic: Topic::Gateway, form: FieldName, default: Value("Authorization"),
        help: "the header that holds the key; Authorization with the scheme Bearer" },
    Variable { name: "API_KEY_QUERY", topic: Topic::Gateway, form: Parameter, default: Nothing("none"),
        help: "a parameter of the query that may hold the key; needs ORIGIN" },
    Variable { name: "RATE_LIMIT", topic: Topic::Gateway, form: Form::Rate, default: Nothing("none"),
        help: "requests of each consumer that has no rate of its own" },
    Variable { name: "MAX_CONCURRENT", topic: Topic::Gateway, form: Count(1, 1_000_000), default: Nothing("no limit"),
        help: "requests that each consumer may have under way; needs ORIGIN" },
    Variable { name: "CORS_ORIGINS", topic: Topic::Gateway, form: WebOrigins, default: Nothing("none"),
        help: "whose pages may read the answers; needs ORIGIN" },

    Variable { name: "TRUSTED_PROXIES", topic: Topic::Logs, form: Networks, default: Nothing("none"),
        help: "whose X-Forwarded-For names the client" },
    Variable { name: "ACCESS_LOG", topic: Topic::Logs, form: Switch, default: Value("0"),
        help: "1 logs every request" },

    Variable { name: "WORKERS", topic: Topic::Limits, form: Count(1, 256), default: Cores,
        help: "threads that answer" },
    Variable { name: "MAX_CONNECTIONS", topic: Topic::Limits, form: Count(1, 1_000_000), default: Value("10000"),
        help: "connections at once; past it one is closed for another" },
    Variable { name: "MAX_HEAD_BYTES", topic: Topic::Limits, form: Count(1024, 1_048_576), default: Value("65536"),
        help: "bytes of a request's head" },
    Variable { name: "HEAD_TIMEOUT", topic: Topic::Limits, form: Seconds, default: Value("10"),
        help: "seconds for a request's head" },
    Variable { name: "IDLE_TIMEOUT", topic: Topic::Limits, form: Seconds, default: Value("75"),
        help: "seconds between requests" },
    Variable { name: "WRITE_TIMEOUT", topic: Topic::Limits, form: Seconds, default: Value("10"),
        help: "seconds in which a reader takes nothing" },
    Variable { name: "DRAIN_TIMEOUT", topic: Topic::Limits, form: Seconds, default: Value("5"),
        help: "seconds to finish after SIGTERM or SIGINT" },
];

/// The variable called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

impl Display for Topic {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Secret => "The secret",
            Self::Listeners => "Listeners",
            Self::Backend => "The backend",
            Self::Tls => "TLS",
            Self::Gateway => "API keys",
            Self::Logs => "Logs",
            Self::Limits => "Limits",
        })
    }
}

impl Display for Form {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => to.write_str("printable ASCII; under 16 bytes it earns a warning"),
            Self::Path => to.write_str("path of a file"),
            Self::Paths => to.write_str("paths of files, with commas"),
            Self::FieldName => to.write_str("name of a header"),
            Self::Addresses => to.write_str("ADDR:PORT, tls:ADDR:PORT or unix:/path, with commas"),
            Self::Networks => to.write_str("addresses, networks (10.0.0.0/8) or unix, with commas"),
            Self::Backends => to.write_str("http://HOST:PORT or http://unix:/path, with commas"),
            Self::Origins => to.write_str("https://HOST, or http:// on this machine, with commas"),
            Self::Host => to.write_str("name of a host"),
            Self::Names => to.write_str("DNS names or URIs (spiffe://...), with commas"),
            Self::Require => to.write_str("secret or certificate"),
            Self::Parameter => to.write_str("letters, digits, - . _ and ~"),
            Self::WebOrigins => to.write_str("such as https://app.example, with commas"),
            Self::Rate => to.write_str("rate, such as 100/1m"),
            Self::Allow => to.write_str("allow"),
            Self::UrlPaths => to.write_str("paths, such as /healthz,/favicon.ico"),
            Self::Switch => to.write_str("0 or 1"),
            Self::Mode => to.write_str("octal, 0000 to 0777"),
            Self::Group => to.write_str("name or number of a group"),
            Self::Count(least, most) => write!(to, "{least} to {most}"),
            Self::Bytes => to.write_str("size, 1 or more"),
            Self::Seconds => write!(to, "duration, {} to {}", SECONDS.0, SECONDS.1),
        }
    }
}

impl Display for Fallback {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Value(text) | Nothing(text) => text,
            Cores => "the cores",
        })
    }
}

/// The lines of `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::new();
    for variable in VARIABLES {
        let Variable {
            name,
            form,
            default,
            help,
            ..
        } = variable;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<22} {help}\n{:25}{form} [{default}]", "");
    }
    text.push_str("\nhow values are written:\n");
    for notation in NOTATIONS {
        notation.write_help(&mut text);
    }
    text.push_str("\nmodes of files that hold secrets or keys:\n");
    for (modes, meaning) in MODES {
        let _ = writeln!(text, "  {modes:<22} {meaning}");
    }
    text
}

/// docs/configuration.md.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION) + &notations::markdown();
    text.push_str(FILES);
    for (modes, meaning) in MODES {
        let modes = modes.replace(", ", "`, `");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{modes}` | {meaning} |");
    }
    let mut topic = None;
    for variable in VARIABLES {
        if topic.replace(variable.topic) != Some(variable.topic) {
            let topic = variable.topic;
            let _ = write!(
                text,
                "\n## {topic}\n\n| variable | meaning | form | default |\n| --- | --- | --- | --- |\n"
            );
        }
        let Variable {
            name,
            form,
            default,
            help,
            ..
        } = variable;
        let default = match default {
            Value(value) => format!("`{value}`"),
            other => other.to_string(),
        };
        let _ = writeln!(text, "| `{name}` | {help} | {form} | {default} |");
    }
    text
}

const FILES: &str = "
## Modes of files that hold secrets or keys

They hold for `SHARED_SECRET_FILE`, `API_KEYS_FILE`, `TLS_KEY` and `ORIGIN_CLIENT_KEY`, and for
what a unit takes a credential from. The owner is root or the user that runs the guard; another
one, `nobody` (65534) too, earns a warning, because that user can change the file. A user namespace
shows owners that it does not know as 65534: where it has no such user itself (`/proc/self/uid_map`),
that is no warning. The message names the whole path, the mode, owner and group that were found, and
the command that mends them, after which the guard can still read it. The other files hold no
secret: everyone may read them, `ALLOW_FROM_FILE` earns a warning where its group can write to it,
and none of them is taken where everyone can. A folder above such a file to which everyone can write, without the
sticky bit, is a warning, because everyone can put another file in its place.

| mode | what is made of it |
| --- | --- |
";

const INTRODUCTION: &str = "\
# Configuration

origin-guard is configured by variables of its environment. `origin-guard check` reads
them as the server does, names every fault at once, and prints what holds, without any
secret. `make docs` writes this page from the table in `src/config/variables.rs`.

A relative path begins in the folder where the guard starts; systemd's is `/`, unless the
unit says otherwise. An error names the path as it is written and, in parentheses, the whole one. A variable that is empty counts as not set.

A variable that is not in these tables earns a warning where it looks like one of them: two
letters at most are different, it is the beginning of one up to its plural
(`TRUSTED_PROXY`), it begins with the whole name of one (`TLS_CERTIFICATE`,
`LISTEN_ADDRESS`), or it says `ADDRESS` for `LISTEN` (`ADMIN_ADDRESS`).
systemd's credential `shared-secret` is found by itself.
";
