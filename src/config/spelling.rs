//! Variables that look like ours and are not.

use super::variables::VARIABLES;

/// systemd's own (`sd_listen_fds(3)`).
const FOREIGN: [&str; 4] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
];
/// How many letters may be wrong.
const LETTERS: usize = 2;

/// The variable that `name` is likely meant to be: one from which it differs in two
/// letters at most, or with which it begins. `None` where it is one, or looks like none.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let names = || VARIABLES.iter().map(|variable| variable.name);
    if FOREIGN.contains(&name) || names().any(|known| known == name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let near = names()
        .map(|known| (distance(upper.as_bytes(), known.as_bytes()), known))
        .min()
        .filter(|&(distance, _)| distance <= LETTERS);
    let begins = || {
        let begun = names().filter(|known| {
            let rest = upper.strip_prefix(known);
            rest.is_some_and(|rest| rest.starts_with('_'))
        });
        begun.max_by_key(|known| known.len())
    };
    near.map(|(_, known)| known).or_else(begins)
}

/// How many letters must be changed, added, left out, or swapped with the next one, to
/// make `from` into `to` (optimal string alignment).
fn distance(from: &[u8], to: &[u8]) -> usize {
    if from.len().abs_diff(to.len()) > LETTERS {
        return LETTERS + 1;
    }
    let width = to.len() + 1;
    let mut two_above = vec![0; width];
    let mut above: Vec<usize> = (0..width).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1; width];
        for (column, wanted) in to.iter().enumerate() {
            let mut least = (above[column] + usize::from(letter != wanted))
                .min(above[column + 1] + 1)
                .min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && from[row - 1] == *wanted && to[column - 1] == *letter;
            if swapped {
                least = least.min(two_above[column - 1] + 1);
            }
            current[column + 1] = least;
        }
        two_above = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_slip_of_two_letters_is_found() {
        for (written, wanted) in [
            ("SHARED_SECERT", "SHARED_SECRET"),
            ("SHARE_SECRET", "SHARED_SECRET"),
            ("shared_secret", "SHARED_SECRET"),
            ("MAX_CONECTION", "MAX_CONNECTIONS"),
            ("WORKER", "WORKERS"),
            ("LISTEN_ADDRESS", "LISTEN"),
            ("SHARED_SECRET_FILE_PATH", "SHARED_SECRET_FILE"),
        ] {
            assert_eq!(meant(written), Some(wanted), "{written}");
        }
    }

    #[test]
    fn what_is_right_or_foreign_is_let_alone() {
        for name in [
            "LISTEN",
            "LISTEN_FDS",
            "LISTEN_PID",
            "PATH",
            "HOME",
            "LANG",
            "TERM",
            "",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
