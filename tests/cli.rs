//! The command line by itself: help for each command, errors that are short and name what
//! was meant, and values that are taken as help says.

mod support;

use std::collections::BTreeSet;

use origin_guard::notations::{NOTATIONS, RATE, SPAN};
use origin_guard::usage::{COMMANDS, GROUPS, shown};
use support::command;
use support::keys::{KeyFile, Said};

fn run(arguments: &str) -> Said {
    let mut guard = command();
    guard.args(arguments.split_whitespace());
    guard.output().expect("runs").into()
}

fn refused(arguments: &str) -> String {
    let said = run(arguments);
    assert_eq!(
        (said.status, said.out.as_str()),
        (Some(64), ""),
        "{arguments}: {said:?}"
    );
    said.err
}

#[test]
fn each_command_has_a_help_of_its_own() {
    let whole = run("--help").out;
    let mut all = BTreeSet::new();
    for usage in COMMANDS {
        let name = usage.command;
        let said = run(&format!("{name} --help"));
        assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{name}");
        let help = said.out;
        let first = format!("origin-guard {name} - {}\n", usage.help);
        assert!(help.starts_with(&first), "{name}: {help}");
        for option in usage.options {
            assert!(help.contains(&shown(option)), "{name}: {help}");
            assert!(help.contains(option.help), "{name}: {help}");
            // How a value is written stands where it is asked for.
            let rule = option.form.map_or("", |form| form.rule);
            assert!(help.contains(rule), "{name}: {help}");
        }
        assert!(help.lines().count() <= 30, "{name}: {help}");
        assert!(help.lines().all(|line| line.len() <= 96), "{name}: {help}");
        for other in COMMANDS.iter().filter(|other| other.command != name) {
            assert!(!help.contains(other.help), "{name}: {help}");
        }
        for way in [format!("{name} -h"), format!("help {name}")] {
            assert_eq!(run(&way).out, help, "{way}");
        }
        assert!(all.insert(help), "{name}");
    }
    // What is asked is said where no option names it.
    assert!(run("secret rotate --help").out.contains("ADMIN_LISTEN"));
    for (group, _) in GROUPS {
        let help = run(&format!("{group} --help")).out;
        for usage in COMMANDS {
            let is_of_it = usage.command.starts_with(&format!("{group} "));
            assert_eq!(help.contains(usage.help), is_of_it, "{group}: {help}");
        }
        assert!(help.lines().count() <= 16, "{group}: {help}");
    }
    // Where a command looks for what is not named stands in its help.
    for name in ["secret rotate", "secret status", "secret finish"] {
        let help = run(&format!("{name} --help")).out;
        assert!(
            help.contains("folder with shared-secret; else $SHARED_SECRET_FILE"),
            "{help}"
        );
    }
    for name in ["secret rotate", "secret status", "secret finish", "health"] {
        let help = run(&format!("{name} --help")).out;
        assert!(help.contains("else $ADMIN_LISTEN"), "{help}");
    }
    // Help is asked for where the rest of the line is missing, too.
    let help = run("keys rotate --help").out;
    assert_eq!(run("keys rotate abc --help").out, help);
    assert!(help.contains("rotate ID --overlap SPAN"), "{help}");
    for notation in NOTATIONS {
        assert!(whole.contains(notation.rule), "{}: {whole}", notation.name);
    }
}

#[test]
fn what_help_names_is_taken() {
    // What `print` takes depends on the file; tests/print.rs has it.
    for usage in COMMANDS.iter().filter(|usage| usage.command != "print") {
        for option in usage.options {
            let value = match option.value {
                "ADDRESS" => "127.0.0.1",
                "LIST" | "PORT" => "3000",
                "" => "",
                _ => "x",
            };
            let name = usage.command;
            let said = run(&format!("{name} --{} {value} --help", option.name));
            assert_eq!(said.status, Some(0), "{name} --{}: {said:?}", option.name);
            assert!(said.out.starts_with(&format!("origin-guard {name} - ")));
        }
    }
}

#[test]
fn a_faulty_command_line_gets_short_lines() {
    for (arguments, said, help) in [
        ("keys create", "did you mean keys add?", "keys"),
        ("keys create --help", "did you mean keys add?", "keys"),
        ("keys rotaet x", "did you mean keys rotate?", "keys"),
        (
            "keys delete x",
            "did you mean keys revoke, or keys rm",
            "keys",
        ),
        ("keys", "keys takes add, limit, import", "keys"),
        ("keys add", "keys add needs a consumer's name", "keys add"),
        (
            "keys add a --expire 1d",
            "did you mean --expires?",
            "keys add",
        ),
        (
            "keys add a --rate",
            "--rate needs a value, such as 100/1m",
            "keys add",
        ),
        (
            "keys add a --json",
            "keys add does not take --json",
            "keys add",
        ),
        ("keys list --json=1", "--json takes no value", "keys list"),
        ("keys add a --burst 2", "--burst needs --rate", "keys add"),
        ("secret", "secret takes rotate, status or finish", "secret"),
        ("secret finsh", "did you mean secret finish?", "secret"),
        (
            "secret finish --quiet 1h",
            "did you mean --quiet-for?",
            "secret finish",
        ),
        (
            "secret rotate a b",
            "secret rotate has too many arguments; it makes the secret, or reads it from standard \
             input (--stdin)",
            "secret rotate",
        ),
        (
            "keys add a b",
            "keys add has too many arguments; it makes the key by itself",
            "keys add",
        ),
        ("check --jsno", "did you mean --json?", "check"),
        ("check again", "\"again\"", "check"),
        ("probe", "probe needs a URL", "probe"),
        ("probe --recolve", "did you mean --resolve?", "probe"),
        ("health --admn", "did you mean --admin?", "health"),
        (
            "print --backend a",
            "name the file before --backend",
            "print",
        ),
        ("print unit --bakend a", "did you mean --backend?", "print"),
        (
            "demo-backend nowhere",
            "write one such as 127.0.0.1:3000",
            "demo-backend",
        ),
        (
            "demo-backend nowhere",
            "\"nowhere\" is no address",
            "demo-backend",
        ),
        (
            "demo-backend 3000",
            "3000 is a port alone; write 127.0.0.1:3000",
            "demo-backend",
        ),
        ("keygen again", "\"again\"", "keygen"),
        ("serve --port", "serve has no option --port", "serve"),
        ("kyes", "did you mean keys?", ""),
        ("status", "did you mean health?", ""),
        ("--versoin", "did you mean --version?", ""),
        ("help kyes", "did you mean keys?", ""),
        ("help keys ad", "did you mean keys add?", "keys"),
    ] {
        let errors = refused(arguments);
        let lines: Vec<_> = errors.lines().collect();
        let [first, last] = lines[..] else {
            panic!("{arguments}: {errors}");
        };
        assert!(first.contains(said), "{arguments}: {errors}");
        let help = format!("see origin-guard {help} --help").replace("  ", " ");
        assert_eq!(last, format!("origin-guard: {help}"), "{arguments}");
        assert!(first.len() <= 120, "{arguments}: {errors}");
    }
    assert!(refused("print ngnix").contains("print nginx"));
}

#[test]
fn what_may_be_a_key_or_a_secret_is_not_shown() {
    let hush = "hush0123456789abcdefghij";
    for before in [
        "",
        "keys",
        "keys show",
        "keys revoke",
        "secret",
        "help",
        "keys list",
        "keys add a",
        "keys rotate a --overlap 1h",
        "keys rm a",
        "secret rotate",
        "secret rotate a",
        "secret status",
        "secret status a",
        "secret finish a",
        "keygen",
        "check",
        "serve",
        "health",
        "version",
        "demo-backend",
        "print",
        "print unit",
        "probe",
        "probe https://a.example",
    ] {
        let errors = refused(&format!("{before} {hush}"));
        assert!(!errors.contains("hush"), "{before}: {errors}");
    }
    for option in ["probe http://127.0.0.1:1 --secret-file", "keys list --file"] {
        let said = run(&format!("{option} {hush}"));
        assert!(
            said.status != Some(0) && !said.err.contains("hush"),
            "{said:?}"
        );
        assert!(said.err.contains("may be a secret"), "{said:?}");
    }
    let said = command()
        .args(["check", "--local"])
        .env("SHARED_SECRET_FILE", hush)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(
        !said.contains("hush") && said.contains("may be a secret"),
        "{said}"
    );
    for command in ["secret status a", "keys revoke a", "keygen", "print unit"] {
        let errors = refused(&format!("{command} {hush}"));
        assert!(errors.contains("others"), "{command}: {errors}");
    }
    let errors = refused(&format!("keys list --json={hush}"));
    assert!(!errors.contains("hush"), "{errors}");
}

#[test]
fn spans_and_rates_are_taken_as_help_says() {
    let file = KeyFile::new("notations");
    let id = file.id(&file.add("acme", &[]));
    let guard = ["--admin", "127.0.0.1:1"];
    let secrets = file.folder.write("secrets", "one-0123456789abcdef\n");
    let secrets = secrets.to_str().expect("UTF-8");
    // Status 64 says that the command line is faulty: what is taken ends with another one.
    let of_span = |value: &str| {
        let mut finish = command();
        finish.args(["secret", "finish", secrets, "--quiet-for", value]);
        finish.args(guard);
        [
            ("--expires", file.run(&["add", "acme", "--expires", value])),
            ("--unused", file.run(&["list", "--unused", value])),
            ("--overlap", file.run(&["rotate", &id, "--overlap", value])),
            ("--quiet-for", finish.output().expect("runs").into()),
        ]
    };
    let is_refused = |option: &str, value: &str, said: &Said| {
        if said.status != Some(64) {
            return false;
        }
        assert!(said.err.contains(option), "{value}: {said:?}");
        true
    };
    for value in SPAN.taken {
        for (option, said) in of_span(value) {
            // A key cannot end when it begins.
            let is_over = (option, *value) == ("--expires", "0s");
            assert_eq!(
                is_refused(option, value, &said),
                is_over,
                "{option} {value}: {said:?}"
            );
        }
    }
    for value in SPAN.refused {
        for (option, said) in of_span(value) {
            assert!(
                is_refused(option, value, &said),
                "{option} {value}: {said:?}"
            );
            let names = said.err.contains(SPAN.rule) && said.err.contains(SPAN.taken[0]);
            assert!(names, "{option} {value}: {said:?}");
        }
    }
    for value in RATE.taken {
        file.must(&["limit", "acme", "--rate", value]);
    }
    for value in RATE.refused {
        for command in ["limit", "add"] {
            let said = file.run(&[command, "acme", "--rate", value]);
            assert!(is_refused("--rate", value, &said), "{value}: {said:?}");
            let names = said.err.contains(RATE.rule) && said.err.contains("100/1m");
            assert!(names, "{value}: {said:?}");
        }
    }
    let said = file.run(&["limit", "acme", "--rate", "5/1m", "--burst", "1k"]);
    assert!(is_refused("--burst", "1k", &said), "{said:?}");
    assert!(said.err.contains("digits alone, such as 20"), "{said:?}");
}
