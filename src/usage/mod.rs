//! The table of commands, from which `--help`, the man page and the completions are made.

mod error;

pub use error::UsageError;
pub(crate) use error::is_word;

use crate::notations::{Notation, RATE, SPAN};

/// A command.
pub struct Usage {
    /// Its words.
    pub command: &'static str,
    /// What follows them.
    pub arguments: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its options.
    pub options: &'static [Opt],
}

/// What stands behind a command, where its name does not say it.
const ARGUMENTS: &[(&str, &str, &str)] = &[
    (
        "secret ",
        "FILE",
        "the file, or the folder with shared-secret; else $SHARED_SECRET_FILE",
    ),
    (
        "secret rotate",
        "$ADMIN_LISTEN",
        "asked whether the guard of FILE sends it: then its origin comes first",
    ),
];

impl Usage {
    /// Its arguments, and what each of them is, as far as that has to be said.
    pub fn explained_arguments(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let own = ARGUMENTS
            .iter()
            .filter(|(begin, ..)| self.command.starts_with(begin));
        own.map(|&(_, argument, help)| (argument, help))
    }
}

/// An option, such as `--name HOST`.
#[derive(Clone, Copy)]
pub struct Opt {
    /// Its name without the hyphens.
    pub name: &'static str,
    /// What follows it; nothing for a switch.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
    /// How its value is written, where that has units.
    pub form: Option<&'static Notation>,
    /// Whether the command needs it.
    pub is_required: bool,
}

const fn option(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt {
        name,
        value,
        help,
        form: None,
        is_required: false,
    }
}

const fn required(option: Opt) -> Opt {
    Opt {
        is_required: true,
        ..option
    }
}

const fn span(name: &'static str, help: &'static str) -> Opt {
    Opt {
        form: Some(&SPAN),
        ..option(name, "SPAN", help)
    }
}

const fn rate(help: &'static str) -> Opt {
    Opt {
        form: Some(&RATE),
        ..option("rate", "RATE", help)
    }
}

const KEYS_FILE: Opt = option(
    "file",
    "PATH",
    "the file of keys, in place of API_KEYS_FILE",
);

const ADMIN: Opt = option(
    "admin",
    "ADDRESS",
    "a running guard, repeatable; else $ADMIN_LISTEN, or the unit's socket",
);

const BURST: Opt = option(
    "burst",
    "NUMBER",
    "requests at once, such as 20; else the rate's count",
);
const JSON: Opt = option("json", "", "as JSON");

/// What the program is.
pub const PURPOSE: &str = "lets an origin accept traffic from its gateway alone";

/// First words that others follow, and what these are about.
pub const GROUPS: [(&str, &str); 2] = [("keys", "API keys"), ("secret", "the shared secret")];

/// Words that other programs have for these commands.
pub const OTHER_WORDS: &[(&str, &str)] = &[
    ("keys create", "keys add"),
    ("keys new", "keys add"),
    ("keys make", "keys add"),
    ("keys generate", "keys add"),
    (
        "keys delete",
        "keys revoke, or keys rm for all of a consumer's",
    ),
    (
        "keys remove",
        "keys revoke, or keys rm for all of a consumer's",
    ),
    ("keys disable", "keys revoke"),
    ("keys ls", "keys list"),
    ("keys get", "keys show"),
    ("keys info", "keys show"),
    ("keys check", "keys verify"),
    ("keys renew", "keys rotate"),
    ("keys roll", "keys rotate"),
    ("keys rate", "keys limit"),
    ("keys update", "keys limit"),
    ("secret new", "secret rotate, or keygen to print one"),
    ("secret generate", "secret rotate, or keygen to print one"),
    ("secret show", "secret status"),
    ("secret remove", "secret finish"),
    ("run", "serve"),
    ("start", "serve"),
    ("test", "check"),
    ("validate", "check"),
    ("generate", "keygen"),
    ("status", "health"),
];

/// All commands.
pub const COMMANDS: &[Usage] = &[
    Usage {
        command: "serve",
        arguments: "",
        help: "answer requests; so does origin-guard without a command",
        options: &[],
    },
    Usage {
        command: "check",
        arguments: "",
        help: "is all in order? names what is wrong, with the remedy",
        options: &[
            option("local", "", "bind nothing and connect to nothing"),
            option(
                "unit",
                "NAME",
                "as that service of systemd would be started",
            ),
            option("strict", "", "a warning is a failure, with exit status 1"),
            option("json", "", "as JSON"),
        ],
    },
    Usage {
        command: "keygen",
        arguments: "",
        help: "print a fresh secret",
        options: &[],
    },
    Usage {
        command: "secret rotate",
        arguments: "[FILE]",
        help: "put a fresh secret first in a file of secrets; the others stay good",
        options: &[
            ADMIN,
            option("print", "", "print it, too, as keygen does"),
            option("stdin", "", "take it from standard input"),
            option(
                "force",
                "",
                "also where a rotation is under way, or this guard sends the secret",
            ),
        ],
    },
    Usage {
        command: "secret status",
        arguments: "[FILE]",
        help: "tell how often, when and by whom each secret was used last",
        options: &[ADMIN],
    },
    Usage {
        command: "secret finish",
        arguments: "[FILE]",
        help: "remove the previous secrets, if nobody uses them any more",
        options: &[
            ADMIN,
            span(
                "quiet-for",
                "since when nobody must have used them; else 1h",
            ),
            option("force", "", "ask no guard"),
        ],
    },
    Usage {
        command: "health",
        arguments: "",
        help: "ask each running guard how it is; status 0 or 1",
        options: &[ADMIN],
    },
    Usage {
        command: "print",
        arguments: "[FILE]",
        help: "print a file for systemd, a proxy or a shell; alone, list them",
        options: &[
            option("backend", "HOST:PORT", "what it asks; for unit, a URL"),
            option("name", "HOST", "the name that clients ask for"),
            option("cert", "FILE", "the certificate, with --key"),
            option("key", "FILE", "the certificate's key"),
            option("socket", "PATH", "the guard's socket"),
            option(
                "role",
                "ROLE",
                "for socket: plain, tls, gateway, gateway-tls, redirect or admin",
            ),
        ],
    },
    Usage {
        command: "probe",
        arguments: "URL",
        help: "ask an origin from outside: does it let in the gateway alone?",
        options: &[
            option(
                "secret-file",
                "PATH",
                "what the gateway sends; it goes over https or to loopback alone",
            ),
            option(
                "ca-file",
                "PATH",
                "the authorities to trust, in PEM, in place of ORIGIN_CA",
            ),
            option(
                "resolve",
                "ADDRESS",
                "ask at this address (or ADDRESS:PORT), not where DNS leads",
            ),
            option(
                "header",
                "NAME",
                "the header that holds it, in place of SECRET_HEADER",
            ),
            option(
                "backend-ports",
                "LIST",
                "ports of the same host to ask directly: 3000,8080",
            ),
            option(
                "http-port",
                "PORT",
                "where plain HTTP may be open beside https; else 80",
            ),
            option("json", "", "as JSON"),
        ],
    },
    Usage {
        command: "demo-backend",
        arguments: "[127.0.0.1:3000]",
        help: "answer with what reaches it: a backend to try with",
        options: &[],
    },
    Usage {
        command: "keys add",
        arguments: "CONSUMER",
        help: "make an API key and print it, once",
        options: &[
            Opt {
                form: Some(&SPAN),
                ..option(
                    "expires",
                    "WHEN",
                    "a span, or in UTC 2027-01-31 or 2027-01-31T12:00:00Z",
                )
            },
            option("metadata", "JSON", "an object, sent as X-Consumer-Metadata"),
            rate("how many requests the consumer may send, by all its keys"),
            BURST,
            KEYS_FILE,
        ],
    },
    Usage {
        command: "keys limit",
        arguments: "CONSUMER",
        help: "set how many requests the consumer may send, by all its keys",
        options: &[
            required(rate("how many they are; none removes the limit")),
            BURST,
            KEYS_FILE,
        ],
    },
    Usage {
        command: "keys import",
        arguments: "",
        help: "take in keys that a consumer has, one a line on standard input",
        options: &[
            required(option("consumer", "CONSUMER", "whose they are")),
            KEYS_FILE,
        ],
    },
    Usage {
        command: "keys list",
        arguments: "",
        help: "print id, state, times, last use and consumer of each key",
        options: &[
            span("unused", "only good keys that were not used for so long"),
            JSON,
            KEYS_FILE,
        ],
    },
    Usage {
        command: "keys show",
        arguments: "ID",
        help: "print all that is known of a key, but the key",
        options: &[JSON, KEYS_FILE],
    },
    Usage {
        command: "keys revoke",
        arguments: "ID",
        help: "end a key, within two seconds",
        options: &[KEYS_FILE],
    },
    Usage {
        command: "keys rotate",
        arguments: "ID",
        help: "make and print a key in its place, made to be good as long",
        options: &[
            required(span(
                "overlap",
                "how long the old one is good too, such as 24h",
            )),
            KEYS_FILE,
        ],
    },
    Usage {
        command: "keys rm",
        arguments: "CONSUMER",
        help: "remove all keys that the consumer has",
        options: &[KEYS_FILE],
    },
    Usage {
        command: "keys verify",
        arguments: "",
        help: "tell id and consumer of the key on standard input, or its fault",
        options: &[KEYS_FILE],
    },
];

/// What every command takes.
pub const HELP: Opt = option("help", "", "print help; after a command, that command's");

/// What every command line may hold.
pub const FLAGS: &[Opt] = &[HELP, option("version", "", "print the version")];

/// What is served, a paragraph each.
pub const SERVED: &[&str] = &[
    "With BACKEND=http://127.0.0.1:3000 it stands in front of that backend: requests that hold \
     the secret in the header X-Shared-Secret reach it without the secret, others get 401. \
     Nothing else is served at LISTEN.",
    "Without BACKEND GET /protected is answered with 200 where the header X-Shared-Secret holds the secret, and \
     with 401 where it does not; so is /verify, which a proxy asks about each request, whatever \
     its method. GET /healthz answers 200 to anyone.",
    "A gateway asks /authorize, at an address of its own (GATEWAY_LISTEN), about each request: 200 \
     with X-Shared-Secret, X-Consumer and X-Consumer-Metadata where its API key is good, 401 where \
     it is not. A running guard sees each change of its file of keys within two seconds.",
];

/// How commands end (sysexits(3)).
pub const EXIT_STATUS: &[(u8, &str)] = &[
    (0, "all is well; also after SIGTERM or SIGINT"),
    (
        1,
        "what is needed cannot be had or is bad; a probe gets in; --strict warns",
    ),
    (2, "probe: nothing got through, and not all could be told"),
    (64, "the command line is faulty"),
    (
        78,
        "a variable or a file of keys is faulty; check found a fault",
    ),
];

/// `[--name VALUE]`, without brackets where the command needs it.
#[must_use]
pub fn synopsis(option: &Opt) -> String {
    if option.is_required {
        shown(option)
    } else {
        format!("[{}]", shown(option))
    }
}

/// `--name VALUE`.
#[must_use]
pub fn shown(option: &Opt) -> String {
    match option.value {
        "" => format!("--{}", option.name),
        value => format!("--{} {value}", option.name),
    }
}

/// The command of these words, such as `keys add`.
#[must_use]
pub fn find(command: &str) -> Option<&'static Usage> {
    COMMANDS.iter().find(|usage| usage.command == command)
}

/// The command or group of this name as the table has it.
pub(crate) fn known(command: &str) -> Option<&'static str> {
    let groups = GROUPS.iter().map(|(group, _)| *group);
    let mut names = COMMANDS.iter().map(|usage| usage.command).chain(groups);
    names.find(|known| *known == command)
}

/// The second words of the commands whose first one is `group`, with the commands.
pub fn second_words(group: &str) -> impl Iterator<Item = (&'static str, &'static Usage)> {
    COMMANDS.iter().filter_map(move |usage| {
        let (first, second) = usage.command.split_once(' ')?;
        (first == group).then_some((second, usage))
    })
}

/// First words, each once, and what they do.
#[must_use]
pub fn first_words() -> Vec<(&'static str, &'static str)> {
    let mut words: Vec<(&str, &str)> = Vec::new();
    for usage in COMMANDS {
        let (first, help) = match usage.command.split_once(' ') {
            Some((first, _)) => (first, about(first)),
            None => (usage.command, usage.help),
        };
        if !words.iter().any(|(known, _)| *known == first) {
            words.push((first, help));
        }
    }
    words
}

/// What the commands are about whose first word is `group`.
fn about(group: &str) -> &'static str {
    let mut groups = GROUPS.iter();
    let found = groups.find(|(known, _)| *known == group);
    found.map_or("", |(_, about)| about)
}

/// What follows a first word: a command, or a question for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// Help is asked for: of this command, or of the group of this name.
    Help(&'static str),
    /// What the command is to do.
    Command(T),
}
