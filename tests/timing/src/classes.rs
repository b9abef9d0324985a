//! The classes: what the left and the right side of each present.
//!
//! Both sides are prepared alike, so that nothing but the guard's own work can differ:
//! each sample has a guard, a secret and a request of its own, allocated in the same
//! order and the same sizes.

use std::sync::Arc;

use dudect_bencher::rand::RngExt as _;
use dudect_bencher::{BenchRng, CtRunner};
use origin_guard::auth::secrets::{Digest, Secrets};
use origin_guard::auth::shared_secret::{Guard, Verdict};
use tiny_http::{Header, Request, TestRequest};

use crate::lots::{self, Measure};

pub const CONTROL: &str = "control: `==`, early or late difference";
pub const ALL: [(&str, Measure); 6] = [
    ("equal or unequal", equal_or_unequal),
    ("early or late difference", early_or_late),
    ("right or wrong length", right_or_wrong_length),
    (
        "secret of the presented length or another",
        length_of_the_secret,
    ),
    ("absent or wrong", absent_or_wrong),
    (CONTROL, control),
];

const HEADER: &str = "X-Shared-Secret";
/// As long as [`HEADER`], so that a request without the secret has the same shape.
const OTHER_HEADER: &str = "X-Shared-Sacred";
/// The longest value of a 48-byte chunk of malloc(3), whose shortest is 25 bytes: all
/// these lengths are allocated alike.
const LENGTH: usize = 40;
const LENGTHS: std::ops::Range<usize> = 25..LENGTH;

/// What a sample is made of.
struct Case {
    secret: String,
    header: &'static str,
    presented: String,
}

struct Sample {
    secret: String,
    guard: Guard,
    request: Request,
}

fn equal_or_unequal(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(runner, rng, judge, |side, rng| {
        let secret = text(rng, LENGTH);
        let other = text(rng, LENGTH);
        let presented = if side { &secret } else { &other }.clone();
        Case {
            secret,
            header: HEADER,
            presented,
        }
    });
}

fn early_or_late(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(runner, rng, judge, differing_early_or_late);
}

fn right_or_wrong_length(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(runner, rng, judge, |side, rng| {
        let secret = text(rng, LENGTH);
        let shorter = rng.random_range(LENGTHS);
        let presented = text(rng, if side { LENGTH } else { shorter });
        Case {
            secret,
            header: HEADER,
            presented,
        }
    });
}

fn length_of_the_secret(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(runner, rng, judge, |side, rng| {
        let shorter = rng.random_range(LENGTHS);
        let secret = text(rng, if side { LENGTH } else { shorter });
        let presented = text(rng, LENGTH);
        Case {
            secret,
            header: HEADER,
            presented,
        }
    });
}

fn absent_or_wrong(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(runner, rng, judge, |side, rng| {
        let secret = text(rng, LENGTH);
        let header = if side { OTHER_HEADER } else { HEADER };
        let presented = text(rng, LENGTH);
        Case {
            secret,
            header,
            presented,
        }
    });
}

fn control(runner: &mut CtRunner, rng: &mut BenchRng) {
    run(runner, rng, compare_naively, differing_early_or_late);
}

fn differing_early_or_late(side: bool, rng: &mut BenchRng) -> Case {
    let secret = text(rng, LENGTH);
    let at = if side { 0 } else { LENGTH - 1 };
    let mut presented = secret.clone().into_bytes();
    presented[at] ^= 1;
    let presented = String::from_utf8(presented).expect("ASCII");
    Case {
        secret,
        header: HEADER,
        presented,
    }
}

fn text(rng: &mut BenchRng, length: usize) -> String {
    (0..length)
        .map(|_| char::from(rng.random_range(b'A'..=b'Z')))
        .collect()
}

#[inline(never)]
fn judge(sample: &Sample) -> Verdict {
    sample.guard.judge(&sample.request)
}

#[inline(never)]
fn compare_naively(sample: &Sample) -> Verdict {
    let presented = sample
        .request
        .headers()
        .iter()
        .find(|header| header.field.equiv(HEADER));
    match presented {
        Some(header) if header.value.as_str() == sample.secret => Verdict::Granted,
        Some(_) => Verdict::InvalidSecret,
        None => Verdict::NoSecret,
    }
}

fn run(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    measured: fn(&Sample) -> Verdict,
    case: fn(bool, &mut BenchRng) -> Case,
) {
    lots::run(runner, rng, measured, |side, rng| prepare(case(side, rng)));
}

fn prepare(case: Case) -> Sample {
    let header = Header::from_bytes(case.header, case.presented).expect("a header");
    let secrets = Secrets::new(vec![Digest::of(case.secret.as_bytes())]);
    Sample {
        guard: Guard::new(HEADER, Arc::new(secrets)),
        request: TestRequest::new()
            .with_path("/protected")
            .with_header(header)
            .into(),
        secret: case.secret,
    }
}
