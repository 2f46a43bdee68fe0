//! `make bench-replica`: the replication engine against the file below it and against what QEMU offers for the same work,
//! as ratios within one run on one machine.
//!
//! In: what to measure: groups ([`GROUPS`]), sides and workloads, by their keys; none of a kind: all of them. Out: a table of every side and
//! workload, a table of goals, and `target/bench/replica.json`. Nothing here fails because something is slow: a goal that
//! is not reached is a line in the table. See docs/replica-speed.md.

#[path = "../suite/command.rs"]
mod command;
mod disks;
mod engine;
#[path = "../suite/figure.rs"]
mod figure;
mod fio;
mod goals;
mod outage;
mod process;
mod qemu;
mod report;
mod side;
mod stop;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use disks::Disks;
use figure::Figure;
use fio::{WORKLOADS, Workload};
use report::Measured;
use side::{SIDES, Side};

/// What can be asked for.
const GROUPS: [&str; 2] = ["speed", "outage"];
/// Seconds of one run of a workload that count.
const SECONDS_VARIABLE: &str = "HACTL_BENCH_SECONDS";
/// Unless that says otherwise.
const SECONDS: u32 = 4;
/// How often every side does every workload; the sides take turns.
const ROUNDS_VARIABLE: &str = "HACTL_BENCH_ROUNDS";
/// Unless that says otherwise.
const ROUNDS: u32 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-replica failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let known = |word: &String| {
        GROUPS.contains(&word.as_str()) || Side::by_key(word).is_some() || workload(word).is_some()
    };
    if let Some(unknown) = wanted.iter().find(|word| !known(word)) {
        let sides: Vec<&str> = SIDES.iter().map(|side| side.key).collect();
        let workloads: Vec<&str> = WORKLOADS.iter().map(|workload| workload.key).collect();
        let [groups, sides, workloads] = [&GROUPS[..], &sides, &workloads].map(|words| words.join(", "));
        bail!("`{unknown}` is neither a group ({groups}) nor a side ({sides}) nor a workload ({workloads})");
    }
    let sides: Vec<Side> = wanted.iter().filter_map(|word| Side::by_key(word)).collect();
    let sides = if sides.is_empty() { SIDES.to_vec() } else { sides };
    let workloads: Vec<&'static Workload> = wanted.iter().filter_map(|word| workload(word)).collect();
    let workloads = if workloads.is_empty() { WORKLOADS.to_vec() } else { workloads };
    let groups: Vec<&String> = wanted.iter().filter(|word| GROUPS.contains(&word.as_str())).collect();
    let asked = |group: &str| groups.is_empty() || groups.iter().any(|word| *word == group);
    let seconds = number(SECONDS_VARIABLE, SECONDS)?;
    let rounds = number(ROUNDS_VARIABLE, ROUNDS)?;

    stop::watch()?;
    let disks = Disks::create()?;
    let mut measured: Vec<Measured> = Vec::new();
    let mut figures: Vec<Figure> = Vec::new();
    if asked("speed") {
        measured = report::measure(&disks, &sides, &workloads, (rounds, seconds))?;
        figures.extend(goals::speed(&measured));
    }
    if asked("outage") {
        match outage::measure(&disks) {
            Ok(told) => figures.extend(told),
            Err(error) => figures.push(Figure::not_measured("resync", &format!("{error:#}"))),
        }
    }
    if !measured.is_empty() {
        println!("\n{}", report::table(&measured));
    }
    println!("\n{}", figure::table(&figures));
    let file = disks::results_folder()?.join("replica.json");
    std::fs::write(&file, report::json(&measured, &figures, seconds)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("written to {}", file.display());
    Ok(())
}

/// The workload of this key.
fn workload(key: &str) -> Option<&'static Workload> {
    WORKLOADS.into_iter().find(|workload| workload.key == key)
}

/// A number from the environment.
fn number(variable: &str, default: u32) -> Result<u32> {
    match std::env::var(variable) {
        Err(_) => Ok(default),
        Ok(text) => {
            let number: u32 =
                text.parse().with_context(|| format!("{variable} is not a number: {text:?}"))?;
            Ok(number.max(1))
        }
    }
}
