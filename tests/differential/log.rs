//! What the guard has logged of what it has forwarded.

use crate::support::Guard;

/// Longest path that a log line shows, in bytes.
const SHOWN: usize = 256;

/// One line of the access log.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) forwarded: bool,
}

/// All lines so far.
pub(crate) fn lines(guard: &Guard) -> Vec<Line> {
    let log = guard.log();
    let requests = log
        .iter()
        .filter_map(|line| line.split_once("request method="));
    requests
        .map(|(_, line)| {
            let value = |name: &str| {
                let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("{line}"));
                rest.split(' ').next().unwrap_or_default().to_owned()
            };
            Line {
                method: line.split(' ').next().unwrap_or_default().to_owned(),
                path: value(" path="),
                status: value(" status=").parse().expect("a status"),
                forwarded: line.contains(" backend="),
            }
        })
        .collect()
}

/// The path of `target` as the log shows it.
pub(crate) fn shown(target: &[u8]) -> String {
    let path = target
        .split(|&byte| byte == b'?')
        .next()
        .unwrap_or_default();
    let show = |&byte: &u8| {
        if byte.is_ascii_graphic() {
            char::from(byte)
        } else {
            '?'
        }
    };
    path.iter().take(SHOWN).map(show).collect()
}
