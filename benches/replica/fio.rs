//! What is done to a side: fio's workloads, and how its result is read.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::command::text;
use crate::disks::AREA_BYTES;

/// Seconds at the start of a run that do not count.
const RAMP_S: u32 = 1;

/// Where fio writes to.
pub(crate) enum Target {
    /// Files, directly, all at once: a request counts when each of them has it.
    Files(Vec<PathBuf>),
    /// An NBD export.
    Nbd(String),
}

impl Target {
    /// The words of each job that is to run at the same time.
    fn jobs(&self) -> Vec<Vec<String>> {
        match self {
            Self::Files(paths) => paths.iter().map(|path| file_words(path)).collect(),
            Self::Nbd(uri) => vec![vec!["--ioengine=nbd".to_owned(), format!("--uri={uri}")]],
        }
    }
}

fn file_words(path: &Path) -> Vec<String> {
    vec!["--ioengine=io_uring".to_owned(), "--direct=1".to_owned(), format!("--filename={}", path.display())]
}

/// A workload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// How it is called in the code and in the results.
    pub(crate) key: &'static str,
    /// What it is called.
    pub(crate) name: &'static str,
    /// fio's words for it.
    words: &'static [&'static str],
    /// It flushes after every write.
    flushes: bool,
    /// What is read of the result: reads or writes.
    direction: &'static str,
}

/// 4 KiB random write, one at a time.
pub(crate) const WRITE_1: Workload = Workload {
    key: "write-4k-1",
    name: "4 KiB random write, depth 1",
    words: &["--rw=randwrite", "--bs=4k", "--iodepth=1"],
    flushes: false,
    direction: "write",
};
/// The same, 32 at a time.
pub(crate) const WRITE_32: Workload = Workload {
    key: "write-4k-32",
    name: "4 KiB random write, depth 32",
    words: &["--rw=randwrite", "--bs=4k", "--iodepth=32"],
    flushes: false,
    direction: "write",
};
/// The same, 128 at a time.
pub(crate) const WRITE_128: Workload = Workload {
    key: "write-4k-128",
    name: "4 KiB random write, depth 128",
    words: &["--rw=randwrite", "--bs=4k", "--iodepth=128"],
    flushes: false,
    direction: "write",
};
/// 1 MiB sequential write.
pub(crate) const SEQUENTIAL: Workload = Workload {
    key: "write-1m-8",
    name: "1 MiB sequential write, depth 8",
    words: &["--rw=write", "--bs=1m", "--iodepth=8"],
    flushes: false,
    direction: "write",
};
/// 4 KiB random read.
pub(crate) const READ_32: Workload = Workload {
    key: "read-4k-32",
    name: "4 KiB random read, depth 32",
    words: &["--rw=randread", "--bs=4k", "--iodepth=32"],
    flushes: false,
    direction: "read",
};
/// A flush after every write.
pub(crate) const FLUSHED: Workload = Workload {
    key: "write-4k-flush",
    name: "4 KiB random write, each flushed",
    words: &["--rw=randwrite", "--bs=4k", "--iodepth=1"],
    flushes: true,
    direction: "write",
};

/// All of them.
pub(crate) const WORKLOADS: [&Workload; 6] =
    [&WRITE_1, &WRITE_32, &WRITE_128, &SEQUENTIAL, &READ_32, &FLUSHED];

/// What a run came to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Outcome {
    /// Operations in a second.
    pub(crate) iops: f64,
    /// MiB in a second.
    pub(crate) mib_per_s: f64,
    /// Mean time of an operation, in microseconds.
    pub(crate) latency_us: f64,
    /// The time that 99 of 100 operations stay below, in microseconds.
    pub(crate) p99_us: f64,
    /// Seconds of the run.
    pub(crate) seconds: f64,
}

impl Workload {
    /// Runs it once.
    pub(crate) fn run(&self, target: &Target, seconds: u32) -> Result<Outcome> {
        let mut command = Command::new("fio");
        command.arg("--output-format=json");
        let jobs = target.jobs();
        for words in &jobs {
            command.arg(format!("--name={}", self.key)).args(words).args(self.words).args([
                &format!("--size={AREA_BYTES}"),
                "--time_based",
                &format!("--runtime={seconds}"),
                &format!("--ramp_time={RAMP_S}"),
                "--randseed=1",
                "--norandommap",
                "--group_reporting",
            ]);
            if self.flushes {
                // NBD knows one kind of flush; on a file it is fdatasync(2).
                command.arg(if matches!(target, Target::Files(_)) { "--fdatasync=1" } else { "--fsync=1" });
            }
        }
        let copies = jobs.len() as f64;
        let result = result(&mut command)?;
        let side = &result["jobs"][0][self.direction];
        let field = |value: &serde_json::Value, name: &str| {
            value.as_f64().with_context(|| format!("fio's result has no `{name}`"))
        };
        Ok(Outcome {
            iops: field(&side["iops"], "iops")? / copies,
            mib_per_s: field(&side["bw_bytes"], "bw_bytes")? / f64::from(1 << 20) / copies,
            latency_us: field(&side["lat_ns"]["mean"], "lat_ns.mean")? / 1000.0,
            p99_us: field(&side["clat_ns"]["percentile"]["99.000000"], "clat_ns.percentile")? / 1000.0,
            seconds: field(&side["runtime"], "runtime")? / 1000.0,
        })
    }
}

/// Writes so many bytes in random blocks of 4 KiB, none of them twice.
pub(crate) fn scatter(target: &Target, bytes: u64) -> Result<()> {
    let mut command = Command::new("fio");
    command.arg("--name=scatter").args(target.jobs().concat()).args([
        "--rw=randwrite",
        "--bs=4k",
        "--iodepth=32",
        &format!("--size={AREA_BYTES}"),
        &format!("--io_size={bytes}"),
        "--randseed=2",
        "--output-format=json",
    ]);
    result(&mut command).map(drop)
}

fn result(command: &mut Command) -> Result<serde_json::Value> {
    let said = text(command)?;
    // fio says some things before its JSON.
    let from = said.find('{').with_context(|| format!("fio printed no result: {said}"))?;
    let result: serde_json::Value = serde_json::from_str(&said[from..])?;
    let error = result["jobs"][0]["error"].as_i64();
    anyhow::ensure!(error == Some(0), "fio met an error: {error:?}");
    Ok(result)
}
