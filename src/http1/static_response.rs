//! Answers that are always the same but for their date: printed once a second, then copied.

use std::cell::RefCell;
use std::time::SystemTime;

use super::encode::{Reply, print};
use super::framing::KeepAlive;

/// An answer that is always the same but for its `Date`. To be a `static`: it is known by
/// its address.
pub struct StaticResponse {
    make: fn() -> Reply,
}

impl StaticResponse {
    /// `make` makes the same response each time, with the date of that time.
    #[must_use]
    pub const fn new(make: fn() -> Reply) -> Self {
        Self { make }
    }

    /// The response itself.
    #[must_use]
    pub fn response(&self) -> Reply {
        (self.make)()
    }
}

/// What one thread has printed in the current second.
struct Printed {
    /// Since 1970.
    second: u64,
    copies: Vec<Copied>,
}

struct Copied {
    of: &'static StaticResponse,
    is_head: bool,
    keep_alive: KeepAlive,
    bytes: Box<[u8]>,
}

/// Appends the bytes of `response` to `out`; what was printed in the second of `now` is copied.
pub(crate) fn copy(
    response: &'static StaticResponse,
    now: SystemTime,
    is_head: bool,
    keep_alive: KeepAlive,
    out: &mut Vec<u8>,
) {
    thread_local! {
        static PRINTED: RefCell<Printed> = const {
            RefCell::new(Printed { second: 0, copies: Vec::new() })
        };
    }
    let second = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    PRINTED.with_borrow_mut(|printed| {
        if printed.second != second {
            printed.copies.clear();
            printed.second = second;
        }
        let known = printed.copies.iter().find(|copied| {
            std::ptr::eq(copied.of, response)
                && copied.is_head == is_head
                && copied.keep_alive == keep_alive
        });
        if let Some(copied) = known {
            return out.extend_from_slice(&copied.bytes);
        }
        let start = out.len();
        print((response.make)(), is_head, keep_alive, out);
        printed.copies.push(Copied {
            of: response,
            is_head,
            keep_alive,
            bytes: out[start..].into(),
        });
    });
}
