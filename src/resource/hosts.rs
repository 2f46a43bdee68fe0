//! The block in `/etc/hosts` that names every node of the cluster.

use std::net::IpAddr;

use camino::Utf8PathBuf;

use super::file::text_diff;
use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Digest, Observation, Query};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Blocked, Check, Guard};

/// The file that holds the block.
const HOSTS_PATH: &str = "/etc/hosts";

/// One line of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsEntry {
    /// The address.
    pub address: IpAddr,
    /// The names it answers to.
    pub names: Vec<String>,
}

/// A block of lines between two markers; the rest of the file is somebody else's.
#[derive(Debug, Clone)]
pub struct HostsBlock {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Whose nodes they are: several clusters' blocks can stand in one file.
    pub cluster: ClusterName,
    /// The lines; none means that the block must be gone.
    pub entries: Vec<HostsEntry>,
}

impl HostsBlock {
    /// The block's first and last line.
    fn markers(&self) -> (String, String) {
        (format!("# BEGIN hactl cluster {}", self.cluster), format!("# END hactl cluster {}", self.cluster))
    }

    /// The file with the block as it is wanted and every other line as it was.
    #[must_use]
    pub fn merged(&self, present: &str) -> String {
        let (begin, end) = self.markers();
        let mut kept: Vec<&str> = Vec::new();
        let mut at = None;
        let mut inside = false;
        for line in present.lines() {
            if line.trim_end() == begin {
                inside = true;
                at.get_or_insert(kept.len());
            } else if inside && line.trim_end() == end {
                inside = false;
            } else if !inside {
                kept.push(line);
            }
        }
        let mut block: Vec<String> = Vec::new();
        if !self.entries.is_empty() {
            block.push(begin);
            block.extend(
                self.entries.iter().map(|entry| format!("{}\t{}", entry.address, entry.names.join(" "))),
            );
            block.push(end);
        }
        let at = at.unwrap_or(kept.len());
        let lines = kept[..at]
            .iter()
            .map(|line| (*line).to_owned())
            .chain(block)
            .chain(kept[at..].iter().map(|line| (*line).to_owned()));
        lines.map(|line| line + "\n").collect()
    }

    fn blocked(&self, reason: String) -> Blocked {
        Blocked {
            resource: self.id.clone(),
            node: Some(self.node.clone()),
            reason,
            advice: format!("make {HOSTS_PATH} a readable text file"),
        }
    }

    fn query() -> Query {
        Query::File { path: Utf8PathBuf::from(HOSTS_PATH), text: true }
    }
}

impl Resource for HostsBlock {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        vec![(self.node.clone(), Self::query())]
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let (present, mode, digest) = match context.observed(&self.node, &Self::query()) {
            Observation::File(None) => (String::new(), 0o644, None),
            Observation::File(Some(state)) => match state.text {
                Some(text) => (text, state.mode, Some(state.digest)),
                None => return Err(self.blocked(format!("{HOSTS_PATH} is not text or too large"))),
            },
            Observation::Unknown(why) => {
                return Err(self.blocked(format!("{HOSTS_PATH} could not be read: {why}")));
            }
            _ => return Err(self.blocked(format!("{HOSTS_PATH} was not looked at as a file"))),
        };
        let merged = self.merged(&present);
        if merged == present {
            return Ok(Change::None);
        }
        let mut steps = Steps::of(&self.id);
        let path = Utf8PathBuf::from(HOSTS_PATH);
        let proof = Check::File { path: path.clone(), digest: Some(Digest::of(merged.as_bytes())) };
        let diff = text_diff(&present, &merged);
        let action = Action::ReplaceFile {
            path: path.clone(),
            content: merged,
            mode,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            validate: None,
            shared: true,
        };
        steps.push(&self.node, "replace", action, &[]);
        steps.guard(Guard::File { path, digest });
        steps.proof(proof);
        Ok(steps.change(format!("name the nodes in {HOSTS_PATH}"), diff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(entries: Vec<HostsEntry>) -> HostsBlock {
        let node = NodeName::new("alpha").unwrap();
        HostsBlock {
            id: ResourceId::on_node("hosts", "lab", &node),
            requires: Vec::new(),
            node,
            cluster: ClusterName::new("lab").unwrap(),
            entries,
        }
    }

    fn entry(address: &str, name: &str) -> HostsEntry {
        HostsEntry { address: address.parse().unwrap(), names: vec![name.to_owned()] }
    }

    #[test]
    fn adds_replaces_and_removes_its_block_and_nothing_else() {
        let before = "127.0.0.1\tlocalhost\n# a comment\n";
        let one = block(vec![entry("10.0.0.1", "alpha")]);
        let with = one.merged(before);
        assert!(with.starts_with(before) && with.contains("10.0.0.1\talpha\n"));
        assert_eq!(one.merged(&with), with, "a second merge changes nothing");
        let moved = format!("{with}192.0.2.1 other\n");
        let two = block(vec![entry("10.0.0.2", "alpha")]);
        let changed = two.merged(&moved);
        assert!(!changed.contains("10.0.0.1") && changed.ends_with("192.0.2.1 other\n"));
        assert_eq!(block(Vec::new()).merged(&with), before);
    }
}
