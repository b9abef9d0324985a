//! Answers that are always the same but for their date: printed once a second, then copied.

use std::cell::RefCell;
use std::time::SystemTime;

use super::Reply;
use super::answer::print;
use super::head::Persistence;

/// What answers a request.
pub enum Answer {
    /// The same to everyone.
    Prepared(&'static Prepared),
    /// Made for this request.
    Made(Reply),
}

impl Answer {
    /// The response itself.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        match self {
            Self::Prepared(prepared) => (prepared.make)(),
            Self::Made(reply) => reply,
        }
    }

    /// Its status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Prepared(prepared) => (prepared.make)().status_code().0,
            Self::Made(reply) => reply.status_code().0,
        }
    }
}

/// An answer that is always the same but for its `Date`. To be a `static`: it is known by
/// its address.
pub struct Prepared {
    make: fn() -> Reply,
}

impl Prepared {
    /// `make` makes the same response each time, with the date of that time.
    #[must_use]
    pub const fn new(make: fn() -> Reply) -> Self {
        Self { make }
    }
}

impl From<&'static Prepared> for Answer {
    fn from(prepared: &'static Prepared) -> Self {
        Self::Prepared(prepared)
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Made(reply)
    }
}

/// What one thread has printed in the current second.
struct Printed {
    /// Since 1970.
    second: u64,
    copies: Vec<Copied>,
}

struct Copied {
    of: &'static Prepared,
    is_head: bool,
    persistence: Persistence,
    bytes: Box<[u8]>,
}

/// Appends the bytes of `prepared` to `out`.
pub(super) fn copy(
    prepared: &'static Prepared,
    is_head: bool,
    persistence: Persistence,
    out: &mut Vec<u8>,
) {
    thread_local! {
        static PRINTED: RefCell<Printed> = const {
            RefCell::new(Printed { second: 0, copies: Vec::new() })
        };
    }
    let second = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    PRINTED.with_borrow_mut(|printed| {
        if printed.second != second {
            printed.copies.clear();
            printed.second = second;
        }
        let known = printed.copies.iter().find(|copied| {
            std::ptr::eq(copied.of, prepared)
                && copied.is_head == is_head
                && copied.persistence == persistence
        });
        if let Some(copied) = known {
            return out.extend_from_slice(&copied.bytes);
        }
        let start = out.len();
        print((prepared.make)(), is_head, persistence, out);
        printed.copies.push(Copied {
            of: prepared,
            is_head,
            persistence,
            bytes: out[start..].into(),
        });
    });
}
