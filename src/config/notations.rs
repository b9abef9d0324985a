//! How durations, sizes, rates and networks are written, for `--help` and
//! docs/configuration.md. The tests hold the examples against what is taken.

use std::fmt::Write as _;

/// A kind of value.
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

/// All that have units, or look as if they had.
pub const NOTATIONS: [Notation; 4] = [
    Notation {
        name: "duration",
        rule: "seconds, whole or not, with an s or without; an hour is 3600",
        taken: &["10", "0.5", "75s"],
        refused: &["1h", "5m", "500ms", "10 s"],
    },
    Notation {
        name: "size",
        rule: "bytes, in digits alone",
        taken: &["65536", "1000000"],
        refused: &["64k", "10M", "1e6", "64KiB"],
    },
    Notation {
        name: "rate",
        rule: "requests in a span of s, m, h or d (1d at most); burst= is at once",
        taken: &["100/1m", "5/1s burst=20", "1000/1d"],
        refused: &["100", "100/m", "5/500ms", "100/2d"],
    },
    Notation {
        name: "network",
        rule: "an address, or the first one of a network with its prefix; or unix",
        taken: &["203.0.113.7", "10.0.0.0/8", "2001:db8::/32", "unix"],
        refused: &["10.1.2.3/8", "10.0.0.*", "lb.example", "203.0.113.7:443"],
    },
];

/// The lines of `--help`.
pub(super) fn help() -> String {
    let mut text = String::new();
    for Notation {
        name, rule, taken, ..
    } in &NOTATIONS
    {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<22} {rule}\n{:25}{}", "", taken.join(", "));
    }
    text
}

/// The section of docs/configuration.md.
pub(super) fn markdown() -> String {
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
    } in &NOTATIONS
    {
        let (taken, refused) = (code(taken), code(refused));
        let _ = writeln!(text, "| {name} | {rule} | {taken} | {refused} |");
    }
    text
}
