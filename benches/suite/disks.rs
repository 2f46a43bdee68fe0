//! `hactl discover` of nodes with many disks against the equivalent shell probe.

use anyhow::Result;
use camino::Utf8Path;

use crate::command::run_for;
use crate::figure::{Figure, Goal};
use crate::idle::record;
use crate::lab::Lab;
use crate::measure::{Side, alternate, timed};
use crate::remote::Probe;

/// Rounds of the comparison.
const ROUNDS: usize = 21;
/// As many as there are nodes: all at once.
const PARALLEL: usize = 3;
/// Disks of each node.
const DISKS: usize = 24;
/// The lab's name; its networks follow from it.
const LAB: &str = "bench-disks";

/// Measures, in a lab of its own.
///
/// # Errors
/// The lab does not come up, or something does not run.
pub(crate) fn measure(folder: &Utf8Path) -> Result<Vec<Figure>> {
    let folder = folder.join("disks");
    std::fs::create_dir_all(&folder)?;
    let disks: Vec<String> = (1..=DISKS).map(|disk| format!("d{disk}=64M")).collect();
    let lab = Lab::up_with(LAB, &folder, &["--disks", &disks.join(",")])?;
    let probe = Probe::new(lab.way.clone(), &record(&lab, &folder, "discover", &[])?, &folder.join("probe"))?;
    let discover = || timed(|| run_for(&mut lab.hactl("discover"), &[0]));
    let mut sides: [Side<'_>; 2] = [Box::new(discover), Box::new(|| probe.run(PARALLEL))];
    let samples = alternate(ROUNDS, &mut sides)?;
    let detail = format!("discover {}, probe {}", samples[0], samples[1]);
    Ok(vec![Figure::new(
        "discovery of 3 nodes with 24 disks each",
        "ssh with the same scripts in one, all nodes at once",
        Goal::AtMost(1.3),
        samples[0].median() / samples[1].median(),
        "x",
        detail,
    )])
}
