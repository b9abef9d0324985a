//! The bytes that are sent both ways, the same as in pattern.py.

use std::collections::HashMap;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};

const LENGTH: usize = 65_536;

static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bytes = (0..LENGTH).map(|at| u8::try_from(at % 251).expect("a byte"));
    bytes.collect()
});

/// Repeated blocks, `left` bytes of them.
pub(crate) struct Pattern {
    left: u64,
    at: usize,
}

impl Pattern {
    pub(crate) fn of(length: u64) -> Self {
        Self {
            left: length,
            at: 0,
        }
    }

    /// Starts at a byte that is not the first.
    pub(crate) fn from(start: u64, length: u64) -> Self {
        Self {
            left: length,
            at: usize::try_from(start % LENGTH as u64).expect("within a block"),
        }
    }

    /// As many bytes as there are, up to the length of `buffer`.
    pub(crate) fn fill(&mut self, mut buffer: &mut [u8]) -> usize {
        let whole = buffer.len();
        while !buffer.is_empty() {
            match self.read(buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => buffer = &mut buffer[read..],
            }
        }
        whole - buffer.len()
    }

    /// Requires that `body` is this, to its end.
    pub(crate) fn assert_is(mut self, mut body: impl Read) {
        let (mut came, mut expected) = (vec![0; LENGTH], vec![0; LENGTH]);
        let mut total = 0;
        loop {
            let read = body.read(&mut came).expect("the body");
            if read == 0 {
                assert_eq!(self.left, 0, "it ends after {total} bytes");
                return;
            }
            let filled = self.fill(&mut expected[..read]);
            assert!(came[..read] == expected[..filled], "after {total} bytes");
            total += read;
        }
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = buffer.len().min(most).min(LENGTH - self.at);
        buffer[..length].copy_from_slice(&BLOCK[self.at..self.at + length]);
        self.at = (self.at + length) % LENGTH;
        self.left -= length as u64;
        Ok(length)
    }
}

/// SHA-256 of the first `length` bytes, in hexadecimal. A program computes it: in a debug
/// build this one would take minutes for a gigabyte.
pub(crate) fn sha256(length: u64) -> String {
    static KNOWN: LazyLock<Mutex<HashMap<u64, String>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().expect("the digests");
    let digest = known.entry(length).or_insert_with(|| {
        let mut program = Command::new("sha256sum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sha256sum");
        let mut stdin = program.stdin.take().expect("piped");
        io::copy(&mut Pattern::of(length), &mut stdin).expect("written");
        drop(stdin);
        let output = program.wait_with_output().expect("sha256sum");
        let text = String::from_utf8(output.stdout).expect("ASCII");
        text.split(' ').next().unwrap_or_default().to_owned()
    });
    digest.clone()
}
