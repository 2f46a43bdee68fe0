//! What a person is told who has to name a device: all devices of a node, and the lines that would claim them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{JudgedDevice, Verdict};
use crate::names::NodeName;

/// Stands for the name of the claim.
const NAME: &str = "NAME";

/// Every device of a node with its verdict, and the YAML that would claim it where a claim could.
#[must_use]
pub fn claim_help(node: &NodeName, devices: &[JudgedDevice]) -> String {
    if devices.is_empty() {
        return format!("{node} has no block devices\n");
    }
    let mut text = format!("block devices of {node}:\n");
    for device in devices {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}: {}", device.name, device.verdict.words());
        if let Some(line) = device.claim_line(node) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

impl Verdict {
    /// The verdict in words: what it is, and why.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Unclaimed => "free".to_owned(),
            Self::Ours { purpose, cluster } => format!("claimed for {purpose} of {cluster}"),
            Self::Foreign { what } => format!("not free: {what}"),
            Self::Unknown { why } => format!("unknown: {why}"),
        }
    }
}

impl JudgedDevice {
    /// The YAML that would claim it; absent where no claim can make it usable.
    #[must_use]
    pub fn claim_line(&self, node: &NodeName) -> Option<String> {
        let claim = self.claim_value()?;
        Some(format!("claims: {{ {node}: {{ {NAME}: {claim} }} }}"))
    }

    /// What stands behind the name of the claim.
    fn claim_value(&self) -> Option<String> {
        if !matches!(self.verdict, Verdict::Unclaimed | Verdict::Foreign { .. }) {
            return None;
        }
        // A claim that names the device overrules the smallest size, and may give up what is on it; nothing else.
        let against = || self.evidence.iter().filter(|evidence| evidence.against);
        if !against().all(|evidence| ["signature", "size"].contains(&evidence.about.as_str())) {
            return None;
        }
        let signatures = against().filter(|evidence| evidence.about == "signature");
        let lost: BTreeSet<&str> = signatures
            .filter_map(|evidence| evidence.seen.split(' ').next())
            .map(|it| it.trim_end_matches(','))
            .collect();
        let path = match &self.link {
            Some(link) => link.clone(),
            None => format!("/dev/{}", self.name.replace('!', "/")),
        };
        let lost: Vec<String> = lost.into_iter().map(|what| format!("{what:?}")).collect();
        let mut fields = Vec::new();
        if self.identity.is_none() {
            fields.push("unstable_path: accept".to_owned());
        }
        match lost.as_slice() {
            [] => {}
            [one] => fields.push(format!("wipe: {one}")),
            several => fields.push(format!("wipe: [{}]", several.join(", "))),
        }
        match fields.as_slice() {
            [] => Some(path),
            fields => Some(format!("{{ path: {path}, {} }}", fields.join(", "))),
        }
    }
}
