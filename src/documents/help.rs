//! What `--help` prints: of the whole program, of a group of commands, of one command.

use std::fmt::Write as _;

use crate::config::variables;
use crate::usage::{
    self, COMMANDS, EXIT_STATUS, FLAGS, GROUPS, Opt, PURPOSE, SERVED, Usage, second_words, shown,
    synopsis,
};

/// The width of paragraphs, in bytes.
const WIDTH: usize = 88;

/// What `--help` prints.
#[must_use]
pub fn whole() -> String {
    let mut text = format!("origin-guard - {PURPOSE}\n\nusage:\n");
    for usage in COMMANDS {
        let command = format!("{} {}", usage.command, usage.arguments);
        line(&mut text, 2, &command, usage.help);
        options(&mut text, 4, usage.options);
    }
    options(&mut text, 2, FLAGS);
    for paragraph in SERVED {
        text.push('\n');
        wrap(&mut text, "", paragraph.split(' '));
    }
    text.push_str("\nvariables, and their defaults:\n");
    text.push_str(&variables::help());
    text.push_str("\nexit status:\n");
    for (status, meaning) in EXIT_STATUS {
        line(&mut text, 2, &status.to_string(), meaning);
    }
    text
}

/// What `COMMAND --help` prints, where `command` is a command, a group of them, or nothing.
#[must_use]
pub fn of(command: &str) -> String {
    if let Some(usage) = usage::find(command) {
        return of_command(usage);
    }
    match GROUPS.iter().find(|(group, _)| *group == command) {
        Some((group, about)) => of_group(group, about),
        None => whole(),
    }
}

fn of_group(group: &str, about: &str) -> String {
    let mut text =
        format!("origin-guard {group} - {about}\n\nusage: origin-guard {group} COMMAND\n\n");
    for (second, usage) in second_words(group) {
        let command = format!("{second} {}", usage.arguments);
        line(&mut text, 2, &command, usage.help);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n`origin-guard {group} COMMAND --help` tells of one, with its options."
    );
    text
}

fn of_command(usage: &Usage) -> String {
    let Usage {
        command,
        arguments,
        help,
        options: all,
    } = usage;
    let mut text = format!("origin-guard {command} - {help}\n\n");
    let first = format!("usage: origin-guard {command}");
    let arguments = Some((*arguments).to_owned()).filter(|arguments| !arguments.is_empty());
    let words: Vec<_> = arguments
        .into_iter()
        .chain(all.iter().map(synopsis))
        .collect();
    wrap(&mut text, &first, words.iter().map(String::as_str));
    let explained: Vec<_> = usage.explained_arguments().collect();
    if !explained.is_empty() {
        text.push_str("\narguments:\n");
    }
    for (argument, help) in explained {
        line(&mut text, 2, argument, help);
    }
    if !all.is_empty() {
        text.push_str("\noptions:\n");
        options(&mut text, 2, all);
    }
    let mut forms: Vec<_> = all.iter().filter_map(|option| option.form).collect();
    forms.dedup_by_key(|form| form.name);
    if !forms.is_empty() {
        text.push_str("\nhow values are written:\n");
        for form in forms {
            form.write_help(&mut text);
        }
    }
    text.push_str("\n`origin-guard --help` tells of all commands, variables and exit statuses.\n");
    text
}

fn options(text: &mut String, indent: usize, options: &[Opt]) {
    for option in options {
        line(text, indent, &shown(option), option.help);
    }
}

/// A name, indented, and beside it what it means.
fn line(text: &mut String, indent: usize, name: &str, meaning: &str) {
    let name = format!("{:indent$}{}", "", name.trim_end());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name:<24} {meaning}");
}

/// `first` and `words`, in lines that are not too long.
fn wrap<'a>(text: &mut String, first: &str, words: impl Iterator<Item = &'a str>) {
    let mut width = first.len();
    text.push_str(first);
    for word in words {
        if width + 1 + word.len() > WIDTH {
            let indent = if first.is_empty() { "" } else { "  " };
            text.extend(["\n", indent]);
            width = indent.len();
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text.push('\n');
}
