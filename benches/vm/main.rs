//! `make bench-vm`: replicated volumes against the raw disk below them, in one pair of virtual machines.
//!
//! In: `HACTL_BENCH_SECONDS` and `HACTL_BENCH_ROUNDS`, if they are set. Out: a table of percentages, and
//! `target/bench/volumes.json`. Speed in an emulated machine says little by itself: what counts is the ratio, on disks as fast as
//! the host's page cache (where the processor is the limit) and on disks that are throttled to those of a real machine (where
//! the disk is). Fails only when something cannot be measured.

mod engine;
mod pair;
mod side;
mod workload;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use comfy_table::{Table, presets};
use serde::Serialize;

use pair::Pair;
use side::{SIDES, Side};
use workload::{WORKLOADS, Workload};

/// Version of the format of `volumes.json`.
const FORMAT: u32 = 1;
/// How often every side does every workload; the sides take turns.
const ROUNDS: u32 = 2;
/// Seconds of a run that count.
const SECONDS: u32 = 8;
/// What throttled disks do per second: about a disk with a moving head.
const THROTTLED: [&str; 4] = ["--iops", "120", "--bandwidth", "12MiB"];

/// What the disks are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Backing {
    /// As fast as the host.
    Plain,
    /// Slow in QEMU.
    Throttled,
}

/// What one side did.
#[derive(Debug, Serialize)]
struct Measured {
    backing: Backing,
    workload: &'static str,
    side: &'static str,
    /// In the workload's unit, one value for each round.
    values: Vec<f64>,
    unit: &'static str,
    /// The mean as a percentage of the raw disk's.
    percent_of_raw: f64,
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    hactl: &'static str,
    processors: usize,
    machines: String,
    measured: &'a [Measured],
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-vm failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (rounds, seconds) =
        (setting("HACTL_BENCH_ROUNDS", ROUNDS)?, setting("HACTL_BENCH_SECONDS", SECONDS)?);
    let pair = Pair::up()?;
    pair.send_executable(engine::PROGRAM)?;
    for side in SIDES {
        side.set_up(&pair).with_context(|| format!("cannot set up {}", side.name()))?;
    }
    let mut measured = Vec::new();
    for backing in [Backing::Plain, Backing::Throttled] {
        if backing == Backing::Throttled {
            for (node, disk) in SIDES.iter().flat_map(|side| side.disks()) {
                let words: Vec<&str> = [&["slow-disk", node, disk][..], &THROTTLED].concat();
                pair.fault(&words)?;
            }
        }
        for workload in WORKLOADS {
            measured.extend(compare(&pair, backing, workload, rounds, seconds)?);
        }
    }
    println!("\n{}", table(&measured));
    let document = Document {
        format: FORMAT,
        hactl: env!("CARGO_PKG_VERSION"),
        processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        machines: pair.accelerator()?,
        measured: &measured,
    };
    let file = pair::folder()?.join("volumes.json");
    std::fs::write(&file, serde_json::to_string_pretty(&document)? + "\n")
        .with_context(|| format!("cannot write {file}"))?;
    println!("written to {file}");
    Ok(())
}

/// A number that the environment may set, at least 1.
fn setting(name: &str, default: u32) -> Result<u32> {
    let Some(value) = std::env::var_os(name) else { return Ok(default) };
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.with_context(|| format!("{name} is to be a number from 1 on, not {}", value.display()))
}

/// Lets the sides take turns at a workload.
fn compare(
    pair: &Pair,
    backing: Backing,
    workload: &'static Workload,
    rounds: u32,
    seconds: u32,
) -> Result<Vec<Measured>> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); SIDES.len()];
    for round in 0..rounds {
        let mut turns: Vec<usize> = (0..SIDES.len()).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            values[turn].push(workload.run(pair, SIDES[turn], seconds)?);
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let raw = SIDES.iter().position(|side| *side == Side::Raw).context("the raw disk is a side")?;
    let raw = mean(&values[raw]);
    let row = |(side, values): (&Side, Vec<f64>)| {
        let percent_of_raw = 100.0 * mean(&values) / raw;
        println!("{backing:?}, {}, {}: {values:.1?} {}", workload.name, side.name(), workload.unit);
        Measured {
            backing,
            workload: workload.name,
            side: side.name(),
            values,
            unit: workload.unit,
            percent_of_raw,
        }
    };
    Ok(SIDES.iter().zip(values).map(row).collect())
}

/// The percentages for people: a line for each backing and workload, a column for each side.
fn table(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let sides: Vec<&Side> = SIDES.iter().filter(|side| **side != Side::Raw).collect();
    let header = ["disks", "workload", "raw disk"].map(str::to_owned).into_iter();
    table.set_header(header.chain(sides.iter().map(|side| side.name().to_owned())));
    for raw in measured.iter().filter(|it| it.side == Side::Raw.name()) {
        let of_raw = raw.values.iter().sum::<f64>() / raw.values.len() as f64;
        let mut row =
            vec![format!("{:?}", raw.backing), raw.workload.to_owned(), format!("{of_raw:.1} {}", raw.unit)];
        for side in &sides {
            let same = |it: &&Measured| {
                it.side == side.name() && it.backing == raw.backing && it.workload == raw.workload
            };
            let percent = measured.iter().find(same).map(|it| format!("{:.0} %", it.percent_of_raw));
            row.push(percent.unwrap_or_else(|| "-".to_owned()));
        }
        table.add_row(row);
    }
    table.to_string()
}
