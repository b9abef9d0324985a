//! What is made from the tables of commands and variables: help, the man page, completions
//! for shells, docs/configuration.md.

mod completions;
pub mod help;
mod man;

use crate::config::variables;

/// A document: its name on the command line, what it is, and how it is made.
type Document = (&'static str, &'static str, fn() -> String);

const DOCUMENTS: [Document; 5] = [
    (
        "man",
        "the man page, for man -l or man8/origin-guard.8",
        man::page,
    ),
    (
        "completions-bash",
        "completions, for bash",
        completions::bash,
    ),
    ("completions-zsh", "completions, for zsh", completions::zsh),
    (
        "completions-fish",
        "completions, for fish",
        completions::fish,
    ),
    (
        "configuration",
        "every variable: docs/configuration.md",
        variables::markdown,
    ),
];

/// The document called `name`.
#[must_use]
pub fn find(name: &str) -> Option<fn() -> String> {
    let found = DOCUMENTS.iter().find(|(known, ..)| *known == name);
    found.map(|&(_, _, make)| make)
}

/// A line for each: its name, and what it is.
#[must_use]
pub fn list() -> String {
    let line = |(name, purpose, _): &Document| format!("{name:<16} {purpose}\n");
    DOCUMENTS.iter().map(line).collect()
}

fn names() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.iter().map(|&(name, ..)| name)
}
