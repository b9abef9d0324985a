//! Reads `tests/http/corpus.txt`, whose head describes its format.

use super::SECRET;

/// One input and what must become of it.
pub struct Entry {
    /// Its line in the file.
    pub line: usize,
    /// What it is.
    pub name: String,
    /// The statuses of all answers, in order.
    pub statuses: Vec<u16>,
    /// Whether the connection stays.
    pub kept: bool,
    /// The bytes to send.
    pub input: Vec<u8>,
}

/// All entries of the corpus.
pub fn entries() -> Vec<Entry> {
    let text = include_str!("../http/corpus.txt");
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    lines.map(|(index, line)| entry(index + 1, line)).collect()
}

fn entry(line: usize, text: &str) -> Entry {
    let mut columns = text.splitn(4, " | ");
    let mut column = || {
        columns
            .next()
            .unwrap_or_else(|| panic!("line {line}: a column is missing"))
    };
    let (outcome, _source, name, input) = (column(), column(), column(), column());
    let (statuses, fate) = outcome.split_once(' ').expect("statuses and fate");
    Entry {
        line,
        name: name.to_owned(),
        statuses: statuses
            .split(',')
            .filter(|status| *status != "-")
            .map(|status| status.parse().expect("a status"))
            .collect(),
        kept: match fate {
            "kept" => true,
            "closed" => false,
            _ => panic!("line {line}: {fate:?} is neither kept nor closed"),
        },
        input: unescape(input),
    }
}

/// The bytes that an input of the corpus stands for.
pub fn unescape(mut text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(first) = text.chars().next() {
        let mut rest = &text[first.len_utf8()..];
        match first {
            '⏎' => bytes.extend(b"\r\n"),
            '\\' => {
                let escape = rest.chars().next().expect("an escape");
                rest = &rest[1..];
                match escape {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two hex digits"));
                        rest = &rest[2..];
                    }
                    other => panic!("an unknown escape {other:?}"),
                }
            }
            '{' => {
                let (inside, behind) = rest.split_once('}').expect("a closing brace");
                rest = behind;
                if inside == "secret" {
                    bytes.extend(SECRET.as_bytes());
                } else {
                    let (part, times) = inside.rsplit_once('*').expect("a repetition");
                    bytes.extend(unescape(part).repeat(times.parse().expect("a count")));
                }
            }
            other => bytes.extend(other.to_string().as_bytes()),
        }
        text = rest;
    }
    bytes
}
