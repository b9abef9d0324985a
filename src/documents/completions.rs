//! What shells complete: commands, options, names of files.

use std::fmt::Write as _;

use crate::deploy;
use crate::usage::{COMMANDS, FLAGS, GROUPS, HELP, Usage, first_words, second_words};

fn files() -> String {
    let names: Vec<_> = deploy::names().chain(super::names()).collect();
    names.join(" ")
}

fn options(usage: &Usage) -> String {
    let options = usage.options.iter().chain([&HELP]);
    let options: Vec<_> = options.map(|option| format!("--{}", option.name)).collect();
    options.join(" ")
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// For `~/.local/share/bash-completion/completions/origin-guard`.
pub(super) fn bash() -> String {
    let flags: String = FLAGS.iter().fold(String::new(), |mut text, flag| {
        // Writing to a string cannot fail.
        let _ = write!(text, " --{}", flag.name);
        text
    });
    let mut text = String::from(
        "# bash completions; `origin-guard print completions-bash` prints them.\n\
         _origin_guard() {\n\
         \x20   local words=\n\
         \x20   case \"${COMP_WORDS[1]-} ${COMP_WORDS[2]-}\" in\n",
    );
    for usage in COMMANDS.iter().filter(|usage| usage.command.contains(' ')) {
        let _ = writeln!(
            text,
            "    \"{}\") ((COMP_CWORD > 2)) && words=\"{}\" ;;",
            usage.command,
            options(usage)
        );
    }
    let first = words(first_words().into_iter().map(|(first, _)| first));
    let _ = write!(
        text,
        "    esac\n\
         \x20   case \"$COMP_CWORD ${{COMP_WORDS[1]-}}\" in\n\
         \x20   \"1 \"*) words=\"{first}{flags}\" ;;\n",
    );
    for (group, _) in GROUPS {
        let second = words(second_words(group).map(|(second, _)| second));
        let _ = writeln!(text, "    \"2 {group}\") words=\"{second}\" ;;");
    }
    let _ = writeln!(text, "    \"2 print\") words=\"{}\" ;;", files());
    let alone = COMMANDS.iter().filter(|usage| !usage.command.contains(' '));
    for usage in alone {
        let (command, options) = (usage.command, options(usage));
        let _ = writeln!(text, "    *\" {command}\") words=\"{options}\" ;;");
    }
    text.push_str(
        "    esac\n\
         \x20   COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n\
         }\n\
         complete -o default -F _origin_guard origin-guard\n",
    );
    text
}

/// For `_origin-guard` in a folder of `$fpath`.
pub(super) fn zsh() -> String {
    let described = |pairs: Vec<(&str, &str)>| {
        let pairs = pairs.into_iter();
        let pairs: Vec<_> = pairs
            .map(|(word, help)| format!("'{word}:{}'", help.replace('\'', "")))
            .collect();
        pairs.join(" ")
    };
    let mut text = format!(
        "#compdef origin-guard\n\
         # zsh completions; `origin-guard print completions-zsh` prints them.\n\
         local -a commands {}\n\
         commands=({})\n",
        words(GROUPS.iter().map(|(group, _)| *group)),
        described(first_words())
    );
    for (group, _) in GROUPS {
        let second = second_words(group).map(|(word, usage)| (word, usage.help));
        let _ = writeln!(text, "{group}=({})", described(second.collect()));
    }
    text.push_str(
        "if ((CURRENT == 2)); then\n\
         \x20   _describe command commands\n\
         \x20   compadd -- --help --version\n",
    );
    for (group, _) in GROUPS {
        let _ = writeln!(
            text,
            "elif ((CURRENT == 3)) && [[ $words[2] == {group} ]]; then\n    \
             _describe command {group}"
        );
    }
    let _ = write!(
        text,
        "elif ((CURRENT == 3)) && [[ $words[2] == print ]]; then\n\
         \x20   compadd -- {}\n\
         else\n\
         \x20   case \"$words[2] $words[3]\" in\n",
        files()
    );
    for usage in COMMANDS {
        let pattern = match usage.command.split_once(' ') {
            Some(_) => format!("\"{}\"", usage.command),
            None => format!("\"{} \"*", usage.command),
        };
        let _ = writeln!(text, "    {pattern}) compadd -- {} ;;", options(usage));
    }
    text.push_str("    esac\n    _files\nfi\n");
    text
}

/// For `~/.config/fish/completions/origin-guard.fish`.
pub(super) fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut text = String::from(
        "# fish completions; `origin-guard print completions-fish` prints them.\n\
         complete -c origin-guard -f\n",
    );
    for (first, help) in first_words() {
        let _ = writeln!(
            text,
            "complete -c origin-guard -n __fish_use_subcommand -a {first} -d {}",
            quoted(help)
        );
    }
    for flag in FLAGS {
        let _ = writeln!(
            text,
            "complete -c origin-guard -n __fish_use_subcommand -l {} -d {}",
            flag.name,
            quoted(flag.help)
        );
    }
    let _ = writeln!(
        text,
        "complete -c origin-guard -n '__fish_seen_subcommand_from print' -a {}",
        quoted(&files())
    );
    for (group, _) in GROUPS {
        let all = words(second_words(group).map(|(second, _)| second));
        for (second, usage) in second_words(group) {
            let _ = writeln!(
                text,
                "complete -c origin-guard -n '__fish_seen_subcommand_from {group}; and not \
                 __fish_seen_subcommand_from {all}' -a {second} -d {}",
                quoted(usage.help)
            );
        }
    }
    for usage in COMMANDS {
        let seen = match usage.command.split_once(' ') {
            Some((first, second)) => format!(
                "__fish_seen_subcommand_from {first}; and __fish_seen_subcommand_from {second}"
            ),
            None => format!("__fish_seen_subcommand_from {}", usage.command),
        };
        for option in usage.options.iter().chain([&HELP]) {
            let value = if option.value.is_empty() {
                ""
            } else {
                " -r -F"
            };
            let _ = writeln!(
                text,
                "complete -c origin-guard -n '{seen}' -l {}{value} -d {}",
                option.name,
                quoted(option.help)
            );
        }
    }
    text
}
