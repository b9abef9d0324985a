//! The printed rule for gitleaks, by its own pattern: it finds every key, and nothing else.

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use origin_guard::keys::text::{self, Key};
use support::{command, installed};

/// The pattern of the printed rule.
fn pattern() -> String {
    let output = command()
        .args(["print", "gitleaks"])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, rest) = text.split_once("regex = '''").expect("a pattern");
    rest.split_once("'''").expect("its end").0.to_owned()
}

/// What the pattern finds in `text`. GNU grep reads it as RE2 does: it has classes, counts
/// and the bounds of words alone.
fn found(pattern: &str, text: &str) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C")
        .args(["-oE", "-e", pattern])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = grep.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("taken");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn every_key_is_found_wherever_it_stands() {
    if !installed("grep", "apt install grep") {
        return;
    }
    let pattern = pattern();
    for _ in 0..20 {
        let key = Key::fresh().expect("randomness");
        let key = std::str::from_utf8(key.as_bytes())
            .expect("ASCII")
            .to_owned();
        for line in [
            "KEY",
            "Authorization: Bearer KEY",
            "curl -H 'X-API-Key: KEY' https://api.example",
            "API_KEY=KEY",
            "\"key\":\"KEY\",",
            "https://api.example/?api_key=KEY&x=1",
            "key: KEY # a comment",
            "(KEY)",
            "KEY.",
            "a\tKEY\tb",
        ] {
            let text = line.replace("KEY", &key);
            assert_eq!(found(&pattern, &text), [key.as_str()], "{line}");
        }
        let two = format!("{key},{key}");
        assert_eq!(found(&pattern, &two).len(), 2);
    }
}

#[test]
fn what_is_no_key_is_not_found() {
    if !installed("grep", "apt install grep") {
        return;
    }
    let pattern = pattern();
    let key = Key::fresh().expect("randomness");
    let key = std::str::from_utf8(key.as_bytes())
        .expect("ASCII")
        .to_owned();
    let digest = data_encoding::HEXLOWER.encode(&text::digest(key.as_bytes()));
    for text in [
        key.to_uppercase(),
        key[1..].to_owned(),
        key[..key.len() - 1].to_owned(),
        format!("{key}a"),
        format!("{key}_b"),
        format!("x{key}"),
        key.replace("og_", "og-"),
        key.replacen('_', "", 1),
        format!("og_{}1_aaaaaa", "a".repeat(31)),
        "og_[a-z2-7]{32}_[a-z2-7]{6}".into(),
        "og_image_alt_text_in_a_template_of_a_page".into(),
        digest,
        "the id ab2cd3ef4g of a key".into(),
    ] {
        assert_eq!(found(&pattern, &text), Vec::<String>::new(), "{text}");
    }
}
