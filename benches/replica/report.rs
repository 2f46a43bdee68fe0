//! Letting the sides take turns, and what came out, as a table and as JSON.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::disks::Disks;
use crate::figure::Figure;
use crate::fio::{Outcome, SEQUENTIAL, WORKLOADS, WRITE_128, Workload};
use crate::side::{QEMU, Side};

/// Version of the format of `replica.json`.
const FORMAT: u32 = 1;

/// What one side did with one workload.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) side: &'static str,
    pub(crate) workload: &'static str,
    /// One for each round.
    pub(crate) rounds: Vec<Outcome>,
    /// Microseconds of processor time of its processes for each operation, in the last round; fio's own is not in it.
    pub(crate) processor_us_per_op: BTreeMap<&'static str, f64>,
    /// The most memory that a process of this side ever had after this workload, in bytes.
    pub(crate) peak_memory: u64,
}

impl Measured {
    /// The median of a value.
    pub(crate) fn median(&self, value: impl Fn(&Outcome) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        }
    }
}

/// What a side did with a workload.
pub(crate) fn find<'a>(measured: &'a [Measured], side: &Side, workload: &Workload) -> Option<&'a Measured> {
    measured.iter().find(|it| it.side == side.key && it.workload == workload.key)
}

/// Lets the sides take turns, every other round in reverse order; each does all workloads in a turn.
pub(crate) fn measure(
    disks: &Disks,
    sides: &[Side],
    workloads: &[&'static Workload],
    (rounds, seconds): (u32, u32),
) -> Result<Vec<Measured>> {
    let mut measured: Vec<Measured> = Vec::new();
    for round in 0..rounds {
        let mut turns: Vec<Side> = sides.to_vec();
        if round % 2 == 1 {
            turns.reverse();
        }
        for side in turns {
            turn(disks, side, workloads, seconds, &mut measured)
                .with_context(|| format!("{}: not measured", side.name))?;
        }
    }
    Ok(measured)
}

fn turn(
    disks: &Disks,
    side: Side,
    workloads: &[&'static Workload],
    seconds: u32,
    measured: &mut Vec<Measured>,
) -> Result<()> {
    let running = side.start(disks)?;
    for workload in workloads {
        crate::stop::look()?;
        let before = running.processor_seconds()?;
        let began = std::time::Instant::now();
        let outcome = workload.run(running.target(), seconds).context(workload.name)?;
        let elapsed = began.elapsed().as_secs_f64();
        let after = running.processor_seconds()?;
        // The start of a run, which does not count, is taken to go like the rest.
        let operations = outcome.iops * elapsed.min(outcome.seconds + 1.0);
        let per_op = |(name, used): (&'static str, f64)| {
            (name, 1e6 * (used - before.get(name).copied().unwrap_or(0.0)) / operations)
        };
        let processor_us_per_op: BTreeMap<&'static str, f64> = after.into_iter().map(per_op).collect();
        let peak_memory = running.peak_memory()?;
        println!(
            "{}, {}: {:.0} IOPS, {:.0} MiB/s, {:.0} us, processor {processor_us_per_op:.1?} us",
            side.name, workload.name, outcome.iops, outcome.mib_per_s, outcome.latency_us
        );
        match measured.iter_mut().find(|it| it.side == side.key && it.workload == workload.key) {
            Some(known) => {
                known.rounds.push(outcome);
                known.processor_us_per_op = processor_us_per_op;
                known.peak_memory = known.peak_memory.max(peak_memory);
            }
            None => measured.push(Measured {
                side: side.key,
                workload: workload.key,
                rounds: vec![outcome],
                processor_us_per_op,
                peak_memory,
            }),
        }
    }
    running.end()
}

/// A line for each side, a column for each workload: the figure, and its ratio to QEMU's local export.
pub(crate) fn table(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let header = WORKLOADS.iter().map(|workload| workload.name.to_owned());
    table.set_header(
        std::iter::once("median (x QEMU, local)".to_owned()).chain(header).chain(["memory".to_owned()]),
    );
    let mut sides: Vec<&'static str> = Vec::new();
    for it in measured {
        if !sides.contains(&it.side) {
            sides.push(it.side);
        }
    }
    for side in sides.into_iter().filter_map(Side::by_key) {
        let mut row = vec![side.name.to_owned()];
        row.extend(WORKLOADS.iter().map(|workload| cell(measured, &side, workload)));
        let memory = find(measured, &side, &WRITE_128).map_or(0, |it| it.peak_memory);
        row.push(if memory == 0 { "-".to_owned() } else { format!("{} MiB", memory >> 20) });
        table.add_row(row);
    }
    table.to_string()
}

fn cell(measured: &[Measured], side: &Side, workload: &Workload) -> String {
    let Some(it) = find(measured, side, workload) else { return "-".to_owned() };
    let (value, text) = if *workload == SEQUENTIAL {
        let rate = it.median(|outcome| outcome.mib_per_s);
        (rate, format!("{rate:.0} MiB/s"))
    } else {
        let iops = it.median(|outcome| outcome.iops);
        (iops, format!("{:.1}k IOPS", iops / 1000.0))
    };
    let reference = find(measured, &QEMU, workload).map(|it| {
        it.median(|outcome| if *workload == SEQUENTIAL { outcome.mib_per_s } else { outcome.iops })
    });
    reference.map_or(text.clone(), |reference| format!("{text} ({:.2})", value / reference))
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    hactl: &'static str,
    processors: usize,
    seconds: u32,
    measured: &'a [Measured],
    figures: &'a [Figure],
}

/// Everything for programs.
pub(crate) fn json(measured: &[Measured], figures: &[Figure], seconds: u32) -> Result<String> {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let document =
        Document { format: FORMAT, hactl: env!("CARGO_PKG_VERSION"), processors, seconds, measured, figures };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
