//! A secret file that is the same on every node and exists only there (corosync's authkey).

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Digest, FileState, Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, Guard};

/// Who may read such a file: root.
const SECRET_MODE: u32 = 0o400;

/// A secret made once, on one node, and copied to the others.
#[derive(Debug, Clone)]
pub struct SharedSecret {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// Where the secret is made when nobody has it.
    pub founder: NodeName,
    /// Every node that must have it.
    pub nodes: BTreeSet<NodeName>,
    /// Absolute path, the same on all.
    pub path: Utf8PathBuf,
    /// Size of a new one in bytes.
    pub size_bytes: usize,
    /// The file's text, with `{}` for the random bytes in hexadecimal digits; `None`: the bytes as they are.
    pub text: Option<String>,
    /// The unit that uses it: where copies differ, the copy that running units share is the right one.
    pub used_by: String,
}

impl SharedSecret {
    fn query(&self) -> Query {
        Query::File { path: self.path.clone(), text: false }
    }

    fn blocked(&self, node: Option<&NodeName>, reason: String, advice: String) -> Blocked {
        Blocked { resource: self.id.clone(), node: node.cloned(), reason, advice }
    }

    fn copies(&self, context: &DiffContext<'_>) -> Result<BTreeMap<&NodeName, Option<FileState>>, Blocked> {
        let mut copies = BTreeMap::new();
        for node in &self.nodes {
            match context.observed(node, &self.query()) {
                Observation::File(state) => {
                    copies.insert(node, state);
                }
                Observation::Unknown(why) => {
                    let reason = format!("{} could not be looked at: {why}", self.path);
                    return Err(self.blocked(Some(node), reason, "see why and run again".to_owned()));
                }
                _ => {
                    let reason = format!("{} was not looked at as a file", self.path);
                    return Err(self.blocked(Some(node), reason, "this is a defect of hactl".to_owned()));
                }
            }
        }
        Ok(copies)
    }

    /// The node whose copy is right, or `None` when no node has one.
    fn source<'n>(
        &'n self,
        copies: &BTreeMap<&'n NodeName, Option<FileState>>,
        context: &DiffContext<'_>,
    ) -> Result<Option<(&'n NodeName, Digest)>, Blocked> {
        let held: Vec<(&NodeName, &Digest)> =
            copies.iter().filter_map(|(node, state)| Some((*node, &state.as_ref()?.digest))).collect();
        let distinct: BTreeSet<&Digest> = held.iter().map(|(_, digest)| *digest).collect();
        if distinct.len() <= 1 {
            return Ok(held.first().map(|(node, digest)| (*node, (*digest).clone())));
        }
        let unit = Query::Unit { name: self.used_by.clone() };
        let running: Vec<(&NodeName, &Digest)> = held
            .iter()
            .copied()
            .filter(|(node, _)| {
                matches!(context.observed(node, &unit), Observation::Unit(state) if state.active_state == "active")
            })
            .collect();
        let in_use: BTreeSet<&Digest> = running.iter().map(|(_, digest)| *digest).collect();
        match (in_use.len(), running.first()) {
            (1, Some((node, digest))) => Ok(Some((node, (*digest).clone()))),
            _ => {
                let holders: Vec<&str> = held.iter().map(|(node, _)| node.as_str()).collect();
                let reason = format!(
                    "{} differs between {}, and {} does not tell which is right",
                    self.path,
                    holders.join(", "),
                    self.used_by
                );
                let advice = format!("remove the wrong copies of {} and run again", self.path);
                Err(self.blocked(None, reason, advice))
            }
        }
    }
}

impl Resource for SharedSecret {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        let unit = Query::Unit { name: self.used_by.clone() };
        self.nodes
            .iter()
            .flat_map(|node| [(node.clone(), self.query()), (node.clone(), unit.clone())])
            .collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let copies = self.copies(context)?;
        let source = self.source(&copies, context)?;
        let mut steps = Steps::of(&self.id);
        let mut diff = String::new();
        let mut after = Vec::new();
        let (from, digest) = match source {
            Some((node, digest)) => (node, Some(digest)),
            None => {
                let action = Action::GenerateSecret {
                    path: self.path.clone(),
                    size_bytes: self.size_bytes,
                    text: self.text.clone(),
                };
                after.push(steps.push(&self.founder, "generate", action, &[]));
                steps.guard(Guard::File { path: self.path.clone(), digest: None });
                diff.push_str(&format!("+{} made on {}\n", self.path, self.founder));
                (&self.founder, None)
            }
        };
        for (node, state) in &copies {
            let right = state.as_ref().is_some_and(|state| {
                Some(&state.digest) == digest.as_ref()
                    && state.mode & 0o777 == SECRET_MODE
                    && state.owner == "root"
            });
            if right || (*node == from && digest.is_none()) {
                continue;
            }
            let action = Action::CopySecret { path: self.path.clone(), from: from.clone() };
            steps.push(node, "copy", action, &after);
            steps.guard(Guard::File {
                path: self.path.clone(),
                digest: state.as_ref().map(|state| state.digest.clone()),
            });
            if let Some(digest) = &digest {
                steps.proof(Check::File { path: self.path.clone(), digest: Some(digest.clone()) });
            }
            diff.push_str(&format!("+{} copied from {from} to {node}\n", self.path));
        }
        Ok(steps.change(format!("share {}", self.path), diff))
    }
}
