//! `make bench`: how fast hactl is, as ratios of two things measured in one run on one machine.
//!
//! In: the names of groups to measure (none: all). Out: a table, and `target/bench/figures.json`. Nothing here
//! fails because something is slow: a goal that is not reached is a line in the table. See docs/performance.md.

mod bring_up;
mod cib;
mod command;
mod crowd;
mod disks;
mod failover;
mod figure;
mod idle;
mod lab;
mod measure;
mod model;
mod peers;
mod planning;
mod remote;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;
use serde::Serialize;

use figure::Figure;
use lab::Lab;

/// What can be asked for, in the order in which it is measured.
const GROUPS: [&str; 8] = ["planning", "crowd", "disks", "bring-up", "idle", "peers", "cib", "failover"];
/// Groups that need a cluster of the lab.
const LAB_GROUPS: [&str; 5] = ["bring-up", "idle", "peers", "cib", "failover"];
/// Version of the format of `figures.json`.
const FORMAT: u32 = 1;
/// The lab's name; its networks follow from it.
const LAB: &str = "bench";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // cargo adds `--bench`.
    let mut wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|word| !GROUPS.contains(&word.as_str())) {
        bail!("`{unknown}` is not a group; there are {}", GROUPS.join(", "));
    }
    if wanted.is_empty() {
        wanted = GROUPS.map(str::to_owned).to_vec();
    }
    let asked = |group: &str| wanted.iter().any(|word| word == group);
    let folder = folder()?;
    let mut figures = Vec::new();
    let mut record = |group: &str, measured: Result<Vec<Figure>>| match measured {
        Ok(measured) => figures.extend(measured),
        // What could not be measured is told in the table too: it must not look as if it had not been tried.
        Err(error) => figures.push(Figure::not_measured(group, &format!("{error:#}"))),
    };
    if asked("planning") {
        record("planning", planning::measure());
    }
    if asked("crowd") {
        record("crowd", crowd::measure(&folder));
    }
    if asked("disks") {
        record("disks", disks::measure(&folder));
    }
    if LAB_GROUPS.iter().any(|group| asked(group)) {
        let lab = if asked("bring-up") {
            let (lab, measured) = bring_up::measure(&folder)?;
            record("bring-up", measured);
            lab
        } else {
            let lab = Lab::up(LAB, &folder)?;
            lab.apply()?;
            lab
        };
        if asked("idle") {
            record("idle", idle::measure(&lab, &folder));
        }
        if asked("peers") {
            record("peers", peers::measure(&lab, &folder));
        }
        if asked("cib") {
            record("cib", cib::measure(&lab, &folder));
        }
        if asked("failover") {
            record("failover", failover::measure(&lab));
        }
    }
    println!("\n{}", figure::table(&figures));
    let file = folder.join("figures.json");
    std::fs::write(&file, json(&figures)?).with_context(|| format!("cannot write {file}"))?;
    println!("written to {file}");
    Ok(())
}

/// Where everything goes that the measurements leave behind.
fn folder() -> Result<Utf8PathBuf> {
    // The executable is target/release/hactl, wherever target is.
    let executable = Utf8PathBuf::from(env!("CARGO_BIN_EXE_hactl"));
    let target = executable.parent().and_then(|release| release.parent()).context("no target folder")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {folder}"))?;
    Ok(folder)
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    hactl: &'static str,
    processors: usize,
    figures: &'a [Figure],
}

/// The figures for programs.
fn json(figures: &[Figure]) -> Result<String> {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let document = Document { format: FORMAT, hactl: env!("CARGO_PKG_VERSION"), processors, figures };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
