//! An idle `hactl plan` of a running cluster against the equivalent shell probe.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use camino::Utf8Path;

use crate::command::run_for;
use crate::figure::{Figure, Goal};
use crate::lab::Lab;
use crate::measure::{Side, alternate, timed};
use crate::remote::{self, Probe};

/// Rounds of the comparison.
const ROUNDS: usize = 21;
/// As many as there are nodes: all at once.
const PARALLEL: usize = 3;
/// Where the recorder and its records are on the nodes; gone at the next boot.
const FOLDER: &str = "/run/hactl-bench";

/// Measures.
///
/// # Errors
/// The plan is not empty, or something does not run.
pub(crate) fn measure(lab: &Lab, folder: &Utf8Path) -> Result<Vec<Figure>> {
    let probe = Probe::new(
        lab.way.clone(),
        &record(lab, folder, "plan", &["--detailed-exitcode"])?,
        &folder.join("probe"),
    )?;
    let mut sides: [Side<'_>; 2] = [Box::new(|| idle_plan(lab)), Box::new(|| probe.run(PARALLEL))];
    let samples = alternate(ROUNDS, &mut sides)?;
    let detail = format!("plan {}, probe {}", samples[0], samples[1]);
    Ok(vec![Figure::new(
        "idle plan, 3 nodes, full HA stack",
        "ssh with the same scripts in one, all nodes at once",
        Goal::AtMost(1.3),
        samples[0].median() / samples[1].median(),
        "x",
        detail,
    )])
}

/// One plan, which must find nothing to do.
///
/// # Errors
/// It does not.
pub(crate) fn idle_plan(lab: &Lab) -> Result<std::time::Duration> {
    timed(|| run_for(lab.hactl("plan").arg("--detailed-exitcode"), &[0]))
}

/// The scripts that a verb which ends with 0 sends to each node, by its address.
///
/// # Errors
/// The nodes or hactl fail.
pub(crate) fn record(
    lab: &Lab,
    folder: &Utf8Path,
    verb: &str,
    arguments: &[&str],
) -> Result<BTreeMap<String, String>> {
    let key = folder.join("recorder");
    let public = remote::key(&key)?;
    for address in lab.nodes().values() {
        remote::on(
            &lab.way,
            address,
            &format!("mkdir -p {FOLDER} && cp /root/.ssh/authorized_keys {FOLDER}/keys"),
        )?;
        remote::put(&lab.way, address, &format!("{FOLDER}/recorder"), remote::recorder(FOLDER).as_bytes())?;
        let line = format!("command=\"{FOLDER}/recorder\" {public}");
        let allow = format!("chmod 755 {FOLDER}/recorder && echo '{line}' >>/root/.ssh/authorized_keys");
        remote::on(&lab.way, address, &allow)?;
    }
    let own = lab.inventory_text()?;
    let changed = own.replace(lab.way.identity.as_str(), key.as_str());
    ensure!(own != changed, "the lab's inventory does not name its key");
    let inventory = folder.join("recorded.yml");
    std::fs::write(&inventory, changed)?;
    run_for(lab.hactl_with(verb, &inventory).args(arguments), &[0])?;
    let mut scripts = BTreeMap::new();
    for address in lab.nodes().into_values() {
        // Each ends without a line end; the next one must not begin on its last line.
        let read = format!("for record in {FOLDER}/{address}/*; do cat $record; echo; done");
        scripts.insert(address.clone(), remote::on(&lab.way, &address, &read)?);
        let restore = format!("cat {FOLDER}/keys >/root/.ssh/authorized_keys && rm -r {FOLDER}");
        remote::on(&lab.way, &address, &restore)?;
    }
    Ok(scripts)
}
