//! Samples of both sides, in small lots whose sides are drawn at random.

use std::hint::black_box;

use dudect_bencher::rand::RngExt as _;
use dudect_bencher::{BenchRng, Class, CtRunner};

/// Samples of each class, both sides together, unless `SAMPLES` says otherwise.
const SAMPLES: usize = 10_000_000;
/// Samples prepared together. Few enough that they stay in the nearest cache, where the
/// noise is least.
const LOT: usize = 32;

pub type Measure = fn(&mut CtRunner, &mut BenchRng);

pub fn samples() -> usize {
    std::env::var("SAMPLES").map_or(SAMPLES, |samples| {
        samples.parse().expect("SAMPLES is a number")
    })
}

/// Measures what is prepared for each side.
pub fn run<S, R>(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    measured: impl Fn(&S) -> R,
    prepare: impl Fn(bool, &mut BenchRng) -> S,
) {
    run_part(samples(), runner, rng, measured, prepare);
}

/// The same with so many samples of all that the class has.
pub fn run_part<S, R>(
    count: usize,
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    measured: impl Fn(&S) -> R,
    prepare: impl Fn(bool, &mut BenchRng) -> S,
) {
    let mut lot = Vec::with_capacity(LOT);
    for _ in 0..count.div_ceil(LOT) {
        lot.clear();
        lot.extend((0..LOT).map(|_| {
            let side = rng.random::<bool>();
            (side, prepare(side, rng))
        }));
        for (side, sample) in &lot {
            let class = if *side { Class::Left } else { Class::Right };
            runner.run_one(class, || measured(black_box(sample)));
        }
    }
}
