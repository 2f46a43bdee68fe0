//! `hactl discover`: looks at the nodes and tells what is there. Changes nothing.
//!
//! Out: tables for a person, or one JSON document with a version; never a secret. A node that could not be asked is
//! part of the result, and of the exit code.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::InventoryArgs;
use super::nodes::NodeArgs;
use super::opened::Opened;
use super::{CommandError, Console, ExitCode, GlobalArgs};
use crate::claims::{JudgedDevice, judge_fleet};
use crate::discovery::{ClusterFindings, Findings, NodeReport, Report};
use crate::facts::{Fact, FleetFacts, PackageState, UnitState};
use crate::names::NodeName;
use crate::ui::{Columns, Theme, Tone, cell, devices_text, facts_table, size};

/// What stands where something could not be learned.
const UNKNOWN: &str = "unknown";

/// Arguments of `hactl discover`.
#[derive(Debug, clap::Args)]
pub struct DiscoverArgs {
    /// Print everything that was learned as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) nodes: NodeArgs,
}

/// Looks and tells.
///
/// # Errors
/// The inventory is wrong, or stdout cannot be written.
pub(super) async fn run(
    arguments: &DiscoverArgs,
    console: &Console,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    let mut opened =
        Opened::open("discover", &arguments.inventory, &arguments.nodes, console, global).await?;
    let facts = opened.session.survey().await;
    opened.progress.finish();
    let judged = judge_fleet(opened.session.inventory(), &facts);
    if arguments.json {
        console.json(&Report::of(&facts, &judged))?;
    } else {
        console.result(&render(&facts, &judged, console.out()))?;
    }
    Ok(if facts.failures().next().is_some() { ExitCode::Unreachable } else { ExitCode::Done })
}

/// The facts as tables.
fn render(facts: &FleetFacts, judged: &BTreeMap<NodeName, Vec<JudgedDevice>>, theme: Theme) -> String {
    let report = Report::of(facts, judged);
    let mut software = Columns::new(&["node", "packages", "units", "installable", "free in /var"], theme);
    let mut cluster =
        Columns::new(&["node", "cluster", "corosync", "pacemaker", "nodes", "resources"], theme);
    let mut problems: Vec<String> = Vec::new();
    for (name, node) in &report.nodes {
        let NodeReport::Answered(findings) = node else { continue };
        let first = cell(name.as_str(), Tone::Plain);
        let mut row = vec![first.clone()];
        row.extend(software_cells(findings).map(|(text, tone)| cell(text, tone)));
        software.row(row);
        let mut row = vec![first];
        row.extend(cluster_cells(&findings.cluster).map(|(text, tone)| cell(text, tone)));
        cluster.row(row);
        problems.extend(unknowns(findings).into_iter().map(|why| format!("{name}: {why}")));
    }
    let mut text = facts_table(facts, theme);
    let _ = write!(text, "\n{}\n{}", software.text(0), cluster.text(0));
    for problem in problems {
        let _ = writeln!(text, "{} {problem}", theme.warning("unknown:"));
    }
    let _ = write!(text, "\n{}", devices_text(facts, judged, theme));
    text
}

/// A cell's text and tone.
type Shown = (String, Tone);

/// What a fact shows; `none` where it is known that there is nothing.
fn show<T>(fact: &Fact<Option<T>>, none: &str, text: impl FnOnce(&T) -> Shown) -> Shown {
    match fact {
        Fact::Known(Some(value)) => text(value),
        Fact::Known(None) => (none.to_owned(), Tone::Plain),
        Fact::Unknown(_) => (UNKNOWN.to_owned(), Tone::Warning),
    }
}

fn software_cells(findings: &Findings<'_>) -> [Shown; 4] {
    let packages: Vec<String> = findings
        .packages
        .iter()
        .filter_map(|(name, state)| package(name, state.known()?.as_ref()?))
        .collect();
    let units: Vec<String> =
        findings.units.iter().filter_map(|(name, state)| unit(name, state.known()?)).collect();
    let listed = |lines: Vec<String>, all_unknown: bool| match (lines.is_empty(), all_unknown) {
        (true, true) => (UNKNOWN.to_owned(), Tone::Warning),
        (true, false) => ("none".to_owned(), Tone::Plain),
        (false, _) => (lines.join("\n"), Tone::Plain),
    };
    let installable = match &findings.facts.package_manager {
        Fact::Unknown(_) => (UNKNOWN.to_owned(), Tone::Warning),
        Fact::Known(manager) => match (&manager.locked_by, manager.unfinished.as_slice()) {
            (Some(who), _) => (format!("locked by {who}"), Tone::Warning),
            (None, []) => ("yes".to_owned(), Tone::Plain),
            (None, packages) => (format!("unfinished: {}", packages.join(", ")), Tone::Warning),
        },
    };
    let free = match findings.facts.space.known().and_then(|space| space.get(camino::Utf8Path::new("/var"))) {
        Some(space) => (size(space.available_bytes), Tone::Plain),
        None => (UNKNOWN.to_owned(), Tone::Warning),
    };
    [
        listed(packages, findings.packages.values().all(|state| state.known().is_none())),
        listed(units, findings.units.values().all(|state| state.known().is_none())),
        installable,
        free,
    ]
}

fn package(name: &str, state: &PackageState) -> Option<String> {
    let mark = if state.configured { "" } else { " (not configured)" };
    Some(format!("{name} {}{mark}", state.version))
}

/// A unit that exists, in words.
fn unit(name: &str, state: &UnitState) -> Option<String> {
    let file = if state.unit_file_state.is_empty() { &state.load_state } else { &state.unit_file_state };
    (state.load_state != "not-found")
        .then(|| format!("{} {}, {file}", name.trim_end_matches(".service"), state.active_state))
}

fn cluster_cells(cluster: &ClusterFindings) -> [Shown; 5] {
    let quorum = show(&cluster.quorum, "not running", |quorum| {
        let votes = |votes: Option<u32>| votes.map_or_else(|| "?".to_owned(), |votes| votes.to_string());
        let votes = format!("{} of {} votes", votes(quorum.total_votes), votes(quorum.expected_votes));
        match quorum.quorate {
            true => (format!("quorate, {votes}"), Tone::Good),
            false => (format!("NOT quorate, {votes}"), Tone::Bad),
        }
    });
    let pacemaker = show(&cluster.pacemaker, "not running", |status| match (&status.dc, &status.version) {
        (Some(dc), Some(version)) => (format!("{version}, DC {dc}"), Tone::Good),
        _ => ("no DC yet".to_owned(), Tone::Warning),
    });
    let nodes = show(&cluster.pacemaker, "", |status| {
        let lines: Vec<_> = status.nodes.iter().map(|(name, state)| format!("{name} {state}")).collect();
        let calm = status.nodes.values().all(|state| *state == "online");
        (lines.join("\n"), if calm { Tone::Plain } else { Tone::Warning })
    });
    let resources = show(&cluster.pacemaker, "", |status| {
        let mut lines = vec![format!("{} of {} active", status.active, status.resources)];
        lines.extend(status.problems.iter().cloned());
        (lines.join("\n"), if status.problems.is_empty() { Tone::Plain } else { Tone::Warning })
    });
    [membership(cluster), quorum, pacemaker, nodes, resources]
}

/// The cluster's name; and that it is an earlier one when only its leftovers are there.
fn membership(cluster: &ClusterFindings) -> Shown {
    if let (Fact::Unknown(_), _) | (_, Fact::Unknown(_)) = (&cluster.configured, &cluster.cib_file) {
        return (UNKNOWN.to_owned(), Tone::Warning);
    }
    let configured = cluster.configured.known().and_then(Option::as_ref);
    let cib = cluster.cib_file.known().and_then(Option::as_ref);
    let running = matches!(cluster.pacemaker, Fact::Known(Some(_)));
    let name = configured
        .and_then(|conf| conf.cluster_name.as_deref())
        .or_else(|| cib.and_then(|cib| cib.cluster_name.as_deref()))
        .unwrap_or("(without a name)");
    match (configured, cib) {
        (None, None) => ("none".to_owned(), Tone::Plain),
        (_, Some(cib)) if !running => {
            let when = cib.last_written.as_deref().unwrap_or("nobody knows when");
            (format!("{name}; its CIB was last written {when}"), Tone::Warning)
        }
        (None, Some(_)) => (format!("{name}; corosync.conf is missing"), Tone::Warning),
        (Some(_), _) => (name.to_owned(), Tone::Plain),
    }
}

/// What could not be learned beyond the base facts; a reason that several share is told once.
fn unknowns(findings: &Findings<'_>) -> Vec<String> {
    let cluster = &findings.cluster;
    let mut reasons: Vec<&str> = Vec::new();
    reasons.extend(findings.packages.values().filter_map(|state| state.as_result().err()));
    reasons.extend(findings.units.values().filter_map(|state| state.as_result().err()));
    reasons.extend(cluster.configured.as_result().err());
    reasons.extend(cluster.quorum.as_result().err());
    reasons.extend(cluster.pacemaker.as_result().err());
    reasons.extend(cluster.cib_file.as_result().err());
    reasons.sort_unstable();
    reasons.dedup();
    reasons.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
