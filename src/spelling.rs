//! What was meant by a word that is misspelt.

/// How many letters may be wrong.
pub(crate) const LETTERS: usize = 2;
/// Shorter words differ from too many others in one letter, or in two.
const SHORT: usize = 3;
const LONG: usize = 5;

/// The one of `known` that is likely meant by `word`: from which it differs in two letters at
/// most, or of which, and of no other, it is the beginning.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.collect();
    let letters = match word.len() {
        0..SHORT => 0,
        SHORT..LONG => 1,
        LONG.. => LETTERS,
    };
    let near = known
        .iter()
        .map(|known| (distance(word.as_bytes(), known.as_bytes()), *known))
        .min()
        .filter(|&(distance, _)| distance <= letters);
    let begun = || {
        let mut begun = known.iter().filter(|known| known.starts_with(word));
        let first = begun.next().filter(|_| !word.is_empty())?;
        begun.next().is_none().then_some(*first)
    };
    near.map(|(_, known)| known).or_else(begun)
}

/// How many letters must be changed, added, left out, or swapped with the next one, to
/// make `from` into `to` (optimal string alignment).
pub(crate) fn distance(from: &[u8], to: &[u8]) -> usize {
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
    use super::nearest;

    #[test]
    fn a_slip_or_the_beginning_of_one_word_is_found() {
        let known = ["add", "list", "limit", "rotate", "revoke", "rm"];
        for (word, wanted) in [
            ("lsit", Some("list")),
            ("ad", Some("add")),
            ("rot", Some("rotate")),
            ("rotaet", Some("rotate")),
            ("r", None),
            ("li", None),
            ("", None),
            ("metrics", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), wanted, "{word}");
        }
    }
}
