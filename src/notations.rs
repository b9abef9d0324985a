//! How spans, durations, sizes, rates and networks are written, for help, the man page,
//! docs/configuration.md and errors. The tests hold the examples against what is taken.

use std::fmt::{self, Write as _};

/// A kind of value.
#[derive(Debug)]
pub struct Notation {
    /// What it is called.
    pub name: &'static str,
    /// How it is written.
    pub rule: &'static str,
    /// Some that are taken.
    pub taken: &'static [&'static str],
    /// Some that are not, though they look like it.
    pub refused: &'static [&'static str],
}

/// Of time, for options of commands.
pub const SPAN: Notation = Notation {
    name: "span",
    rule: "a whole number with one unit: s, m, h, d or w",
    taken: &["90d", "1h", "30m", "3w", "0s"],
    refused: &["90", "5m30", "1h30m", "1.5h", "500ms", "90D"],
};

/// Of time, for variables.
pub const DURATION: Notation = Notation {
    name: "duration",
    rule: "seconds, whole or with a fraction; an s may follow (an hour is 3600)",
    taken: &["10", "0.5", "75s"],
    refused: &["1h", "5m", "500ms", "10 s", "1e3", "+5"],
};

/// Of bytes.
pub const SIZE: Notation = Notation {
    name: "size",
    rule: "bytes, in digits alone",
    taken: &["65536", "1000000"],
    refused: &["64k", "10M", "1e6", "64KiB", "+65536"],
};

/// Requests in a span of time.
pub const RATE: Notation = Notation {
    name: "rate",
    rule: "requests in a span of s, m, h or d (1s to 1d); burst= is at once",
    taken: &["100/1m", "5/1s burst=20", "1000/1d"],
    refused: &["100", "100/m", "5/500ms", "100/2d"],
};

/// Addresses of clients.
pub const NETWORK: Notation = Notation {
    name: "network",
    rule: "an address, or the first one of a network with its prefix; or unix",
    taken: &["203.0.113.7", "10.0.0.0/8", "2001:db8::/32", "unix"],
    refused: &[
        "10.1.2.3/8",
        "10.0.0.*",
        "lb.example",
        "203.0.113.7:443",
        "10.0.0.0/+8",
    ],
};

/// All that have units, or look as if they had.
pub const NOTATIONS: [&Notation; 5] = [&DURATION, &SPAN, &SIZE, &RATE, &NETWORK];

/// What to write in place of a faulty value. Displays as `write RULE, such as EXAMPLES`.
pub struct Remedy<'a>(&'a Notation);

impl Notation {
    /// What to write in place of a faulty value.
    #[must_use]
    pub const fn remedy(&self) -> Remedy<'_> {
        Remedy(self)
    }

    /// What is wrong with `text`, the value of `option`.
    pub(crate) fn fault(&self, option: &str, text: &str) -> String {
        let (name, remedy) = (self.name, self.remedy());
        format!("{option}: {text:?} is not a {name}; {remedy}")
    }

    /// The lines of help.
    pub(crate) fn write_help(&self, text: &mut String) {
        let Self {
            name, rule, taken, ..
        } = self;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<22} {rule}\n{:25}{}", "", taken.join(", "));
    }
}

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notation { rule, taken, .. } = self.0;
        write!(to, "write {rule}, such as ")?;
        let (last, others) = taken.split_last().unwrap_or((&"", &[]));
        write!(to, "{} or {last}", others.join(", "))
    }
}

/// The section of docs/configuration.md.
pub(crate) fn markdown() -> String {
    let code = |examples: &[&str]| {
        let examples = examples.iter().map(|example| format!("`{example}`"));
        examples.collect::<Vec<_>>().join(", ")
    };
    let mut text = String::from(
        "\n## How values are written\n\n| a | is written as | such as | and not |\n\
         | --- | --- | --- | --- |\n",
    );
    for Notation {
        name,
        rule,
        taken,
        refused,
    } in NOTATIONS
    {
        let (taken, refused) = (code(taken), code(refused));
        let _ = writeln!(text, "| {name} | {rule} | {taken} | {refused} |");
    }
    text + "\nVariables take durations; the options of commands (`keys add --expires`, `keys rotate\n\
            --overlap`, `keys list --unused`, `secret finish --quiet-for`) take spans.\n"
}
