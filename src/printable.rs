//! Text of strangers on one line of a terminal: names of processes and files, fields of
//! answers, names in certificates.

use std::fmt::{self, Write as _};

/// Displays a text with escapes (`\n`, `\u{1b}`) in the place of what begins another line,
/// moves the cursor or turns the direction of writing.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_printable(character) {
                to.write_char(character)?;
            } else {
                character.escape_default().fmt(to)?;
            }
        }
        Ok(())
    }
}

/// The text of [`Printable`].
#[must_use]
pub fn printable(text: &str) -> String {
    Printable(text).to_string()
}

/// Neither a control (C0, DEL, C1), nor one that ends a line or sets the direction of
/// writing (Unicode Standard Annex #9, section 2).
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_moves_the_cursor_or_the_line_is_escaped() {
        let text = "é \"a\\b\"\r\nok\u{1b}[31m\u{7}\u{7f}\u{9b}\u{202e}\u{2028}\u{2066}";
        let shown = "é \"a\\b\"\\r\\nok\\u{1b}[31m\\u{7}\\u{7f}\\u{9b}\\u{202e}\\u{2028}\\u{2066}";
        assert_eq!(printable(text), shown);
        // It can be applied again.
        assert_eq!(printable(shown), shown);
    }
}
