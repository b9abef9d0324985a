//! The search for the end of a head, once over each byte.

use super::error::RequestError;

/// How far a head has been looked through, so that no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    at: usize,
    /// Where the current line began.
    line: usize,
    /// Where the request line begins, and ends (its CR); the end is 0 until it is seen.
    pub(super) start: usize,
    pub(super) request_line_end: usize,
    /// Where the request target begins, and how many spaces came before `at`.
    pub(super) target: usize,
    pub(super) spaces: u8,
}

impl Scan {
    /// Looks for the empty line that ends the head. `Ok(Some(length))` when it is there.
    pub(super) fn find_end(
        &mut self,
        bytes: &[u8],
        limit: usize,
    ) -> Result<Option<usize>, RequestError> {
        loop {
            self.skip_ordinary(bytes, limit);
            if self.at >= bytes.len() {
                return Ok(None);
            }
            if self.at >= limit {
                return Err(self.too_large());
            }
            match bytes[self.at] {
                b'\r' => match bytes.get(self.at + 1) {
                    None => return Ok(None),
                    Some(b'\n') => {
                        if self.at + 2 > limit {
                            return Err(self.too_large());
                        }
                        if self.end_line()? {
                            return Ok(Some(self.at));
                        }
                        continue;
                    }
                    Some(_) => return Err(RequestError::bad("bare_cr")),
                },
                b'\n' => return Err(RequestError::bad("bare_lf")),
                b'\t' => {}
                b' ' => {
                    self.spaces = self.spaces.saturating_add(1);
                    if self.spaces == 1 {
                        self.target = self.at + 1;
                    }
                }
                _ => return Err(RequestError::bad("control_byte")),
            }
            self.at += 1;
        }
    }

    /// Goes on to the next byte that ends the line, may not be in it or, in the request
    /// line, parts it.
    fn skip_ordinary(&mut self, bytes: &[u8], limit: usize) {
        let in_request_line = self.request_line_end == 0;
        let least = if in_request_line { b'!' } else { b' ' };
        let end = bytes.len().min(limit);
        self.at += ordinary(bytes.get(self.at..end).unwrap_or_default(), least);
    }

    /// Why a head that is not at its end at the limit is refused.
    fn too_large(&self) -> RequestError {
        let in_target = self.request_line_end == 0 && self.spaces == 1;
        if in_target {
            RequestError::new(414, "target_too_long")
        } else {
            RequestError::new(431, "head_too_large")
        }
    }

    /// Takes the CRLF at `at`. `Ok(true)` where it ends the head.
    fn end_line(&mut self) -> Result<bool, RequestError> {
        let empty = self.at == self.line;
        if self.request_line_end == 0 {
            match (empty, self.at) {
                // RFC 9112, section 2.2: one empty line before the request line is ignored.
                (true, 0) => self.start = 2,
                (true, _) => return Err(RequestError::bad("empty_lines")),
                (false, at) => self.request_line_end = at,
            }
        } else if empty {
            self.at += 2;
            return Ok(true);
        }
        self.at += 2;
        self.line = self.at;
        Ok(false)
    }
}

/// How many bytes from the start on are `least` or more, and not DEL; `least` is under 128.
fn ordinary(bytes: &[u8], least: u8) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A subtraction borrows into the high bit of each byte that is smaller. A borrow
        // may reach the next byte too, so only the first one found is sure.
        let smaller = word.wrapping_sub(EACH * u64::from(least)) & !word;
        let past_del = word ^ (EACH * 0x7f);
        let del = past_del.wrapping_sub(EACH) & !past_del;
        let found = (smaller | del) & HIGH;
        if found != 0 {
            return 8 * number + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < least || *byte == 0x7f;
    bytes.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}
