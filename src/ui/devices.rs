//! The block devices of all nodes, what may be done with each and why, and the YAML that would claim those that can be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::table::{Columns, Tone, cell};
use super::{Theme, size};
use crate::claims::{JudgedDevice, Verdict};
use crate::facts::{BlockDevice, Fact, FleetFacts, StableId};
use crate::names::NodeName;

/// One row per device, and below them the lines that would claim them.
#[must_use]
pub fn devices_text(
    facts: &FleetFacts,
    judged: &BTreeMap<NodeName, Vec<JudgedDevice>>,
    theme: Theme,
) -> String {
    let headings = ["node", "device", "size", "model", "identity", "what is on it", "verdict", "reason"];
    let mut table = Columns::new(&headings, theme);
    let mut lines: Vec<(String, bool)> = Vec::new();
    for (node, verdicts) in judged {
        let known = facts.node(node).and_then(|node| node.block_devices.known());
        for (device, judged) in known.into_iter().flatten().zip(verdicts) {
            let (verdict, reason, tone) = verdict_cells(&judged.verdict);
            let identity = match &judged.identity {
                // The model stands beside it.
                Some(StableId::Serial { serial, .. }) => format!("serial {serial}"),
                Some(identity) => identity.to_string(),
                None => "none that lasts".to_owned(),
            };
            table.row(vec![
                cell(node.as_str(), Tone::Plain),
                cell(&device.path, Tone::Plain),
                cell(size(device.size_bytes), Tone::Plain),
                cell(device.model.as_deref().unwrap_or_default(), Tone::Plain),
                cell(identity, Tone::Plain),
                cell(contents(device), Tone::Plain),
                cell(verdict, tone),
                cell(reason, Tone::Plain),
            ]);
            lines.extend(judged.claim_line(node).map(|line| (line, judged.verdict == Verdict::Unclaimed)));
        }
    }
    let mut text = table.text(0);
    for (free, heading) in [
        (true, "to claim a device"),
        (false, "the same for devices that are not free: what is on them is lost"),
    ] {
        let mut lines = lines.iter().filter(|(_, is_free)| *is_free == free).peekable();
        if lines.peek().is_some() {
            let _ = writeln!(text, "\n{heading}");
        }
        for (line, _) in lines {
            let _ = writeln!(text, "  {}", super::diff::printable(line));
        }
    }
    text
}

fn verdict_cells(verdict: &Verdict) -> (&'static str, String, Tone) {
    match verdict {
        Verdict::Unclaimed => ("free", String::new(), Tone::Good),
        Verdict::Ours { purpose, cluster } => {
            ("ours", format!("claimed for {purpose} of {cluster}"), Tone::Good)
        }
        Verdict::Foreign { what } => ("not free", what.clone(), Tone::Plain),
        Verdict::Unknown { why } => ("unknown", why.clone(), Tone::Warning),
    }
}

/// What was recognised, and where it is mounted.
fn contents(device: &BlockDevice) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    match &device.content {
        Fact::Known(content) => {
            let found = content.signatures.iter().map(|signature| signature.kind.as_str());
            let once: BTreeSet<&str> = found.collect();
            kinds.extend(once);
        }
        // What udev remembers is no evidence, but a hint.
        Fact::Unknown(_) => kinds.extend(device.filesystem.as_deref().or(device.partition_table.as_deref())),
    }
    let mut text = kinds.join(", ");
    if !device.mountpoints.is_empty() {
        let _ = write!(text, " at {}", device.mountpoints.join(", "));
    }
    text.trim_start().to_owned()
}
