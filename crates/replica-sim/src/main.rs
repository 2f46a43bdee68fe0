//! `replica-sim --seed N` replays one run with a trace; `--seeds A..B` runs many, on every core, and names those that
//! fail.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use replica_sim::Summary;

const USAGE: &str = "usage: replica-sim --seed N | --seeds A..B [A..B …]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--seed", seed] => seed.parse().map_or_else(|_| usage(), one),
        ["--seeds", ref ranges @ ..] if !ranges.is_empty() => {
            match ranges.iter().map(|range| parse(range)).collect::<Option<Vec<_>>>() {
                Some(ranges) => {
                    let failed: u64 = ranges.into_iter().map(many).sum();
                    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
                }
                None => usage(),
            }
        }
        _ => usage(),
    }
}

fn parse(range: &str) -> Option<Range<u64>> {
    let (from, to) = range.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn one(seed: u64) -> ExitCode {
    match replica_sim::run(seed, true) {
        Ok(summary) => {
            println!("seed {seed}: {} steps, {}, every property holds", summary.steps, words(&summary));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn words(summary: &Summary) -> String {
    format!(
        "{} writes answered, Ahead {} times, two Primaries {} times, parted {} times, {} writes met",
        summary.writes, summary.ahead, summary.joined, summary.parted, summary.met
    )
}

/// How many failed.
fn many(seeds: Range<u64>) -> u64 {
    let next = AtomicU64::new(seeds.start);
    let (failed, total) = (AtomicU64::new(0), Mutex::new(Summary::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match replica_sim::run(seed, false) {
                        Ok(summary) => total.lock().unwrap_or_else(PoisonError::into_inner).add(&summary),
                        Err(failure) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            eprintln!("{failure}");
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} seeds from {}, {}, {failed} failed",
        seeds.end.saturating_sub(seeds.start),
        seeds.start,
        words(&total)
    );
    failed
}
