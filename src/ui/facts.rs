//! What discovery learned, one table of nodes and one of their links.

use std::fmt::Write as _;

use super::table::{Columns, Tone, cell};
use super::{Theme, count, size};
use crate::facts::{Fact, FleetFacts, Link, NodeFacts, NodeOutcome};
use crate::names::NodeName;

/// What stands where something could not be learned.
const UNKNOWN: &str = "unknown";

/// The nodes, their links, and what could not be learned.
#[must_use]
pub fn facts_table(facts: &FleetFacts, theme: Theme) -> String {
    let mut nodes = Columns::new(&["node", "hostname", "system", "kernel", "cpus", "memory", "clock"], theme);
    let mut links = Columns::new(&["node", "link", "mtu", "addresses"], theme);
    let mut problems: Vec<String> = Vec::new();
    for (name, outcome) in &facts.nodes {
        match outcome {
            NodeOutcome::Failed(error) => {
                nodes.row(vec![cell(name.as_str(), Tone::Bad), cell("could not be asked", Tone::Bad)]);
                problems.push(error.to_string());
            }
            NodeOutcome::Answered(node) => {
                node_row(&mut nodes, name, node);
                for link in node.links.known().into_iter().flatten() {
                    link_row(&mut links, name, link);
                }
                problems.extend(unknowns(node).map(|why| format!("{name}: {why}")));
            }
        }
    }
    let mut out = format!("{}\n{}", nodes.text(0), links.text(0));
    if !problems.is_empty() {
        let heading = format!("{} could not be learned", count(problems.len(), "thing"));
        let _ = writeln!(out, "\n{}", theme.warning(heading));
        for problem in problems {
            let _ = writeln!(out, "  {}", super::diff::printable(&problem));
        }
    }
    out
}

fn show<T>(fact: &Fact<T>, text: impl FnOnce(&T) -> String) -> comfy_table::Cell {
    match fact {
        Fact::Known(value) => cell(text(value), Tone::Plain),
        Fact::Unknown(_) => cell(UNKNOWN, Tone::Warning),
    }
}

fn node_row(table: &mut Columns, name: &NodeName, node: &NodeFacts) {
    table.row(vec![
        cell(name.as_str(), Tone::Plain),
        show(&node.hostname, Clone::clone),
        show(&node.os, |os| os.pretty_name.clone()),
        show(&node.kernel, |kernel| format!("{} {}", kernel.release, kernel.machine)),
        show(&node.hardware, |hardware| hardware.cpus.to_string()),
        show(&node.hardware, |hardware| size(hardware.memory_bytes)),
        show(&node.clock, |clock| format!("{:+} ms (+-{} ms)", clock.offset_ms, clock.uncertainty_ms)),
    ]);
}

fn link_row(table: &mut Columns, name: &NodeName, link: &Link) {
    let addresses: Vec<String> =
        link.addresses.iter().map(|(address, bits)| format!("{address}/{bits}")).collect();
    let tone = if link.up { Tone::Plain } else { Tone::Warning };
    let state = if link.up { "" } else { " (down)" };
    table.row(vec![
        cell(name.as_str(), Tone::Plain),
        cell(format!("{}{state}", link.name), tone),
        cell(link.mtu.to_string(), Tone::Plain),
        cell(addresses.join(" "), Tone::Plain),
    ]);
}

fn unknowns(node: &NodeFacts) -> impl Iterator<Item = String> {
    fn why<T>(what: &str, fact: &Fact<T>) -> Option<String> {
        fact.as_result().err().map(|why| format!("{what}: {why}"))
    }
    [
        why("hostname", &node.hostname),
        why("system", &node.os),
        why("kernel", &node.kernel),
        why("hardware", &node.hardware),
        why("links", &node.links),
        why("clock", &node.clock),
        why("free space", &node.space),
        why("package manager", &node.package_manager),
        why("block devices", &node.block_devices),
        why("what hactl owns there", &node.ledger),
    ]
    .into_iter()
    .flatten()
}
