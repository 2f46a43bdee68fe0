//! What is written: fio's workloads, and how its result is read.

use anyhow::{Context as _, Result};

use crate::pair::{Pair, WRITER};
use crate::side::Side;

/// Seconds at the beginning of a run that do not count.
const RAMP_S: u32 = 1;
/// How much of a device is written to: all of DRBD's activity log's reach and more is not the point here.
const AREA: &str = "192m";

/// A workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// What it is called.
    pub(crate) name: &'static str,
    /// fio's words for it.
    words: &'static str,
    /// Where the result stands in fio's, and what it is divided by.
    field: &'static str,
    divisor: f64,
    /// The unit of the result.
    pub(crate) unit: &'static str,
}

/// All of them.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "4 KiB random write, depth 1",
        words: "--rw=randwrite --bs=4k --iodepth=1",
        field: "iops",
        divisor: 1.0,
        unit: "IOPS",
    },
    Workload {
        name: "4 KiB random write, depth 32",
        words: "--rw=randwrite --bs=4k --iodepth=32",
        field: "iops",
        divisor: 1.0,
        unit: "IOPS",
    },
    Workload {
        name: "1 MiB sequential write, depth 8",
        words: "--rw=write --bs=1m --iodepth=8",
        field: "bw_bytes",
        divisor: 1_048_576.0,
        unit: "MiB/s",
    },
];

impl Workload {
    /// Runs it once, for so many seconds that count; what came out, in its unit.
    pub(crate) fn run(&self, pair: &Pair, side: Side, seconds: u32) -> Result<f64> {
        let shell = format!(
            "fio --name=volume {} --size={AREA} --time_based --runtime={seconds} \
             --ramp_time={RAMP_S} --randseed=1 --output-format=json {}",
            side.target(),
            self.words
        );
        let said = pair.on(WRITER, &shell)?;
        // fio says some things before its JSON.
        let from = said.find('{').with_context(|| format!("fio printed no result: {said}"))?;
        let result: serde_json::Value = serde_json::from_str(&said[from..])?;
        let value = result["jobs"][0]["write"][self.field].as_f64();
        let value = value.with_context(|| format!("fio's result has no `{}`", self.field))?;
        Ok(value / self.divisor)
    }
}
