//! Taking turns: what is compared is measured alternately in one run, so that whatever else the machine does meets
//! all sides alike; what counts is the median.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Measurements of one side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// One more.
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The middle one (of an even number, the mean of the two in the middle), in seconds; NaN without any.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut seconds: Vec<f64> = self.0.iter().map(Duration::as_secs_f64).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    }
}

/// `0.512 s (0.490 to 0.600, 15 times)`.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        match (sorted.first(), sorted.last()) {
            (Some(least), Some(most)) => {
                write!(f, "{:.3} s ({least:.3} to {most:.3}, {} times)", self.median(), sorted.len())
            }
            _ => f.write_str("never"),
        }
    }
}

/// One side of a comparison: does its work once and says how long that took.
pub(crate) type Side<'a> = Box<dyn FnMut() -> Result<Duration> + 'a>;

/// Lets the sides take turns: one unmeasured round, then `rounds` measured ones.
///
/// # Errors
/// A side fails.
pub(crate) fn alternate(rounds: usize, sides: &mut [Side<'_>]) -> Result<Vec<Samples>> {
    for side in sides.iter_mut() {
        side()?;
    }
    alternate_cold(rounds, sides)
}

/// Lets the sides take turns, every other round in reverse order, all of them measured.
///
/// # Errors
/// A side fails.
pub(crate) fn alternate_cold(rounds: usize, sides: &mut [Side<'_>]) -> Result<Vec<Samples>> {
    let mut samples = vec![Samples::default(); sides.len()];
    for round in 0..rounds {
        let mut turns: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            samples[turn].push(sides[turn]()?);
        }
    }
    Ok(samples)
}

/// How long this takes.
///
/// # Errors
/// It fails.
pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}
