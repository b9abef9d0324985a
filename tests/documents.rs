//! The man page and the completions, read by what reads them.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use origin_guard::config::variables::VARIABLES;
use origin_guard::notations::NOTATIONS;
use origin_guard::private_file::MODES;
use origin_guard::usage::COMMANDS;
use support::folder::Folder;
use support::{command, installed};

fn print(name: &str, to: &Path) {
    let output = command().args(["print", name]).output().expect("runs");
    assert!(output.status.success(), "{name}");
    std::fs::write(to, output.stdout).expect("written");
}

fn text(output: &Output) -> String {
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn the_man_page_is_good_roff_and_names_everything() {
    if !installed("man", "apt install man-db") {
        return;
    }
    let folder = Folder::new("man");
    let page = folder.path.join("origin-guard.8");
    print("man", &page);
    let output = Command::new("man")
        .args(["--warnings=all", "--local-file"])
        .arg(&page)
        .env("MANWIDTH", "200")
        .env("LC_ALL", "C.UTF-8")
        .output();
    let shown = text(&output.expect("man"));
    for usage in COMMANDS {
        assert!(
            shown.contains(&format!("origin-guard {}", usage.command)),
            "{shown}"
        );
        for option in usage.options {
            assert!(shown.contains(&format!("--{}", option.name)), "{shown}");
        }
    }
    for notation in NOTATIONS {
        assert!(shown.contains(notation.rule), "{}", notation.name);
    }
    for (modes, meaning) in MODES {
        assert!(shown.contains(modes) && shown.contains(meaning), "{shown}");
    }
    for variable in VARIABLES {
        assert!(
            shown.contains(variable.name) && shown.contains(variable.help),
            "{shown}"
        );
    }
}

/// What each shell offers where `line` ends.
fn cases() -> [(&'static str, &'static [&'static str], &'static str); 12] {
    [
        ("origin-guard ke", &["keygen", "keys"], "serve"),
        ("origin-guard keys ro", &["rotate"], "revoke"),
        ("origin-guard keys add alice --ex", &["--expires"], "--json"),
        (
            "origin-guard keys rotate x --over",
            &["--overlap"],
            "--expires",
        ),
        ("origin-guard print no-n", &["no-network"], "unit"),
        ("origin-guard check --st", &["--strict"], "--json"),
        ("origin-guard secret ro", &["rotate"], "revoke"),
        (
            "origin-guard secret finish x --qu",
            &["--quiet-for"],
            "--print",
        ),
        ("origin-guard health --ad", &["--admin"], "--file"),
        ("origin-guard keys verify --he", &["--help"], "--file"),
        ("origin-guard serve --he", &["--help"], "--admin"),
        ("origin-guard check --he", &["--help"], "--json"),
    ]
}

fn check(shell: &str, complete: impl Fn(&str) -> String) {
    for (line, offered, other) in cases() {
        let said = complete(line);
        let words: Vec<_> = said.split_whitespace().collect();
        for word in offered {
            assert!(words.contains(word), "{shell}: {line}: {said}");
        }
        assert!(!words.contains(&other), "{shell}: {line}: {said}");
    }
}

#[test]
fn bash_completes() {
    let folder = Folder::new("bash");
    let file = folder.path.join("origin-guard");
    print("completions-bash", &file);
    check("bash", |line| {
        let script = "source \"$0\"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                      _origin_guard; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let output = Command::new("bash")
            .args(["-uc", script])
            .arg(&file)
            .arg(line)
            .output();
        text(&output.expect("bash"))
    });
}

#[test]
fn fish_completes() {
    if !installed("fish", "apt install fish") {
        return;
    }
    let folder = Folder::new("fish");
    let file = folder.path.join("origin-guard.fish");
    print("completions-fish", &file);
    check("fish", |line| {
        let script = format!("source {}; complete -C '{line}'", file.display());
        let output = Command::new("fish")
            .args(["--no-config", "-c", &script])
            .env("HOME", &folder.path)
            .output();
        text(&output.expect("fish"))
    });
}

#[test]
fn zsh_completes() {
    if !installed("zsh", "apt install zsh") {
        return;
    }
    let folder = Folder::new("zsh");
    print("completions-zsh", &folder.path.join("_origin-guard"));
    // The completion runs as zsh runs it; what it would offer is printed.
    let script = r#"
        _describe() { print -l -- ${${(P)2}%%:*} }
        compadd() { shift; print -l -- "$@" }
        _files() { }
        words=(${(z)1}) CURRENT=${#${(z)1}}
        functions[completion]="$(<$2)"
        completion | grep -- "^${words[-1]}" || true
    "#;
    check("zsh", |line| {
        let output = Command::new("zsh")
            .args(["-fc", script, "zsh", line])
            .arg(folder.path.join("_origin-guard"))
            .output();
        text(&output.expect("zsh"))
    });
}
