//! Who probably brought a difference about: the inventory, or somebody on the node. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, Plan, ResourceChange, Step};
use crate::facts::{FleetFacts, Ledger, NodeFacts, Observation, Query};
use crate::resource::ResourceId;

/// Where a difference probably comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// hactl made it so once, and it is otherwise now.
    OnTheNode,
    /// It is still as hactl left it: the inventory, a barclamp or hactl itself wants something else now.
    Inventory,
    /// hactl never touched it.
    NeverApplied,
    /// What was recorded does not tell.
    Unclear,
}

impl Origin {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::OnTheNode => "changed on the nodes since hactl last made it so",
            Self::Inventory => "wanted otherwise now: the nodes are still as hactl left them",
            Self::NeverApplied => "not applied yet",
            Self::Unclear => "changed in the cluster or in the inventory: what is recorded does not tell",
        }
    }
}

/// The changes of a plan by their origin, each group in the plan's order.
#[must_use]
pub fn origins<'p>(plan: &'p Plan, facts: &FleetFacts) -> BTreeMap<Origin, Vec<&'p ResourceChange>> {
    let mut steps: BTreeMap<&ResourceId, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        steps.entry(&step.resource).or_default().push(step);
    }
    let mut groups: BTreeMap<Origin, Vec<&'p ResourceChange>> = BTreeMap::new();
    for change in &plan.changes {
        // One step that mends what somebody did on a node tells more than its siblings that follow from it.
        let known = steps.get(&change.resource).into_iter().flatten().map(|step| origin(step, facts)).min();
        groups.entry(known.unwrap_or(Origin::Unclear)).or_default().push(change);
    }
    groups
}

fn origin(step: &Step, facts: &FleetFacts) -> Origin {
    let Some(node) = facts.node(&step.node) else { return Origin::Unclear };
    let Some(ledger) = node.ledger.known() else { return Origin::Unclear };
    if ledger.cluster.is_empty() {
        return Origin::NeverApplied;
    }
    match &step.action {
        Action::ReplaceFile { path, .. } | Action::RemoveFile { path, .. } | Action::CopySecret { path, .. } => {
            let Some(owned) = ledger.files.get(path) else { return Origin::NeverApplied };
            let Some(left) = &owned.digest else { return Origin::Unclear };
            match seen_digest(node, path) {
                Some(seen) if seen.as_ref() == Some(left) => Origin::Inventory,
                Some(_) => Origin::OnTheNode,
                None => Origin::Unclear,
            }
        }
        Action::InstallPackages { packages, .. } => by_record(packages.iter().any(|name| owns(ledger, name))),
        Action::Unit { unit, .. } => by_record(ledger.units.contains_key(unit)),
        _ => Origin::Unclear,
    }
}

/// What hactl recorded that it made so, and is otherwise, was changed on the node.
fn by_record(recorded: bool) -> Origin {
    if recorded { Origin::OnTheNode } else { Origin::NeverApplied }
}

fn owns(ledger: &Ledger, package: &String) -> bool {
    ledger.packages.contains(package)
}

/// The digest of a file that was looked at (`Some(None)`: it is absent).
fn seen_digest(node: &NodeFacts, path: &camino::Utf8Path) -> Option<Option<crate::facts::Digest>> {
    [true, false].into_iter().find_map(|text| match node.observation(&Query::File { path: path.to_owned(), text }) {
        Observation::File(state) => Some(state.map(|state| state.digest)),
        _ => None,
    })
}
