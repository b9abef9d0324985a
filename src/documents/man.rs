//! The man page (man(7)).

use std::fmt::Write as _;

use crate::config::variables::VARIABLES;
use crate::notations::{NOTATIONS, Notation};
use crate::private_file::MODES;
use crate::usage::{COMMANDS, EXIT_STATUS, FLAGS, PURPOSE, SERVED, Usage, shown, synopsis};

/// What is said of no table.
const FILES_AND_SIGNALS: &str = "\
.SH SIGNALS
.TP
SIGTERM, SIGINT
finish what is being answered, for DRAIN_TIMEOUT at the most, and end; a second one ends at once
.TP
SIGHUP
read the secrets, keys, certificates and networks again; what is faulty leaves what there was
.SH FILES
.TP
/etc/origin\\-guard/shared\\-secret
the secrets for the unit, one a line, the current one first
.TP
/etc/systemd/system/origin\\-guard.service, origin\\-guard.socket
what print unit and print socket print
.SH SEE ALSO
.BR systemd.socket (5),
.BR systemd.exec (5),
.BR fail2ban (1)
";

pub(super) fn page() -> String {
    let mut page = format!(
        ".TH ORIGIN\\-GUARD 8 \"\" \"origin\\-guard {}\"\n\
         .SH NAME\norigin\\-guard \\- {}\n.SH SYNOPSIS\n",
        escaped(env!("CARGO_PKG_VERSION")),
        escaped(PURPOSE)
    );
    for usage in COMMANDS {
        let Usage {
            command, arguments, ..
        } = usage;
        let options = usage.options.iter();
        let options = options.map(|option| format!(" {}", synopsis(option)));
        let rest = format!("{arguments}{}", options.collect::<String>());
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            ".B origin\\-guard {}\n{}\n.br",
            escaped(command),
            escaped(rest.trim())
        );
    }
    page.push_str(".SH DESCRIPTION\n");
    for paragraph in SERVED {
        let _ = writeln!(page, "{}\n.PP", escaped(paragraph));
    }
    page.push_str(".SH COMMANDS\n");
    for usage in COMMANDS {
        entry(&mut page, &join(usage.command, usage.arguments), usage.help);
        page.push_str(".RS\n");
        for (argument, help) in usage.explained_arguments() {
            entry(&mut page, argument, help);
        }
        for option in usage.options {
            entry(&mut page, &shown(option), option.help);
        }
        page.push_str(".RE\n");
    }
    for flag in FLAGS {
        entry(&mut page, &shown(flag), flag.help);
    }
    page.push_str(".SH ENVIRONMENT\n");
    for variable in VARIABLES {
        let meaning = format!(
            "{} ({}) [{}]",
            variable.help, variable.form, variable.default
        );
        entry(&mut page, variable.name, &meaning);
    }
    page.push_str(".SH VALUES\nThese are written as follows.\n");
    for Notation {
        name, rule, taken, ..
    } in NOTATIONS
    {
        entry(
            &mut page,
            name,
            &format!("{rule}; such as {}", taken.join(", ")),
        );
    }
    page.push_str(".SH MODES\nFiles that hold secrets or keys are taken by their mode.\n");
    for (modes, meaning) in MODES {
        entry(&mut page, modes, meaning);
    }
    page.push_str(".SH EXIT STATUS\n");
    for (status, meaning) in EXIT_STATUS {
        entry(&mut page, &status.to_string(), meaning);
    }
    page.push_str(FILES_AND_SIGNALS);
    // A request on an empty line would be printed as it is.
    page.replace("\n\n", "\n")
}

fn join(first: &str, second: &str) -> String {
    format!("{first} {second}").trim_end().to_owned()
}

fn entry(page: &mut String, name: &str, meaning: &str) {
    let _ = writeln!(page, ".TP\n.B {}\n{}", escaped(name), escaped(meaning));
}

/// Text as it is to be read: a hyphen that may be copied, and no request at its start.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}
