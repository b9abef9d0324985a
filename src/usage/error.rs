//! What is wrong with a command line.

use std::error::Error;
use std::fmt::{self, Display};

use super::{FLAGS, OTHER_WORDS, Opt, find, first_words, second_words, shown};
use crate::spelling::nearest;

/// What is wrong with a command line. Displays as two short lines: what is wrong, with what
/// was meant where that can be told, and where help is.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError {
    what: String,
    /// The words whose help tells more.
    command: String,
}

impl UsageError {
    /// `command` is that whose help tells more: a command, a group, or nothing.
    #[must_use]
    pub fn new(command: &str, what: &dyn Display) -> Self {
        Self {
            what: what.to_string(),
            command: command.to_owned(),
        }
    }

    /// What the reader of arguments says of those of `command`.
    #[must_use]
    pub fn of_arguments(command: &str, error: &lexopt::Error) -> Self {
        let what = match error {
            lexopt::Error::UnexpectedOption(name) => return Self::unknown_option(command, name),
            lexopt::Error::MissingValue {
                option: Some(option),
            } => {
                let found = options(command).find(|known| format!("--{}", known.name) == *option);
                match found {
                    Some(Opt {
                        form: Some(form), ..
                    }) => {
                        format!("{option} needs a value, such as {}", form.taken[0])
                    }
                    Some(known) => format!("{option} needs a value: {}", shown(known)),
                    None => format!("{option} needs a value"),
                }
            }
            // The value may be a secret.
            lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value"),
            lexopt::Error::UnexpectedArgument(word) => {
                return Self::unexpected_argument(command, &word.to_string_lossy());
            }
            other => other.to_string(),
        };
        Self::new(command, &what)
    }

    fn unexpected_argument(command: &str, word: &str) -> Self {
        if is_word(word) {
            return Self::new(command, &format_args!("unexpected argument {word:?}"));
        }
        let what = format!(
            "{} has too many arguments; a secret or a key is never one, as others see a command \
             line (ps)",
            if command.is_empty() {
                "origin-guard"
            } else {
                command
            }
        );
        Self::new(command, &what)
    }

    fn unknown_option(command: &str, name: &str) -> Self {
        let bare = name.trim_start_matches('-');
        let mut what = match command {
            "" => format!("there is no option {name}"),
            command => format!("{command} has no option {name}"),
        };
        if let Some(meant) = nearest(bare, options(command).map(|option| option.name)) {
            what.extend(["; did you mean --", meant, "?"]);
        }
        Self::new(command, &what)
    }

    /// No command has the name `word`, in the group if there is one.
    #[must_use]
    pub fn unknown_command(group: &str, word: &str) -> Self {
        let said = format!("{group} {word}");
        let said = said.trim();
        let mut others = OTHER_WORDS.iter();
        let other = others.find(|(other, _)| *other == said);
        let meant = other.map(|(_, meant)| (*meant).to_owned()).or_else(|| {
            let known: Vec<_> = match group {
                "" => first_words().into_iter().map(|(first, _)| first).collect(),
                group => second_words(group).map(|(second, _)| second).collect(),
            };
            let near = nearest(word, known.into_iter())?;
            Some(format!("{group} {near}").trim().to_owned())
        });
        let mut what = if is_word(word) {
            format!("unknown command \"{said}\"")
        } else {
            format!("unknown command behind origin-guard {group}")
                .trim_end()
                .to_owned()
        };
        match meant {
            Some(meant) => what.extend(["; did you mean ", &meant, "?"]),
            None if !group.is_empty() => what.extend(["; ", &choice(group)]),
            None => {}
        }
        Self::new(group, &what)
    }

    /// Nothing follows the first word of a group.
    #[must_use]
    pub fn no_command(group: &str) -> Self {
        Self::new(group, &choice(group))
    }
}

/// A longer word is none of a command.
const LONGEST_WORD: usize = 12;

/// Whether it may be shown. What is no word is not, because it may be a key or a secret.
pub(crate) fn is_word(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    text.len() <= LONGEST_WORD && text.bytes().all(is_letter)
}

/// `keys takes add, limit or rm`.
fn choice(group: &str) -> String {
    let words: Vec<_> = second_words(group).map(|(second, _)| second).collect();
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    format!("{group} takes {} or {last}", others.join(", "))
}

/// The options of a command, or of all commands of a group.
fn options(command: &str) -> impl Iterator<Item = &'static Opt> {
    let of_group = find(command).is_none().then(|| second_words(command));
    let of_command = find(command).into_iter();
    let usages = of_command.chain(of_group.into_iter().flatten().map(|(_, usage)| usage));
    let flags = command.is_empty().then_some(FLAGS);
    usages
        .flat_map(|usage| usage.options)
        .chain(flags.into_iter().flatten())
}

impl Display for UsageError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, command } = self;
        match command.as_str() {
            "" => write!(to, "{what}\nsee origin-guard --help"),
            command => write!(to, "{what}\nsee origin-guard {command} --help"),
        }
    }
}

impl Error for UsageError {}
