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
        Action::ReplaceFile { path, .. }
        | Action::RemoveFile { path, .. }
        | Action::InstallProgram { path, .. }
        | Action::CopySecret { path, .. } => {
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
    [true, false].into_iter().find_map(|text| {
        match node.observation(&Query::File { path: path.to_owned(), text }) {
            Observation::File(state) => Some(state.map(|state| state.digest)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::facts::{Digest, Fact, FileState, LEDGER_FORMAT, NodeOutcome, OwnedFile};
    use crate::names::NodeName;
    use crate::plan::{Check, Guard, PLAN_FORMAT, Risk, StepId};

    const PATH: &str = "/etc/corosync/corosync.conf";

    /// A node on which the file has this content, and where hactl recorded that it left that one.
    fn facts(now: Option<&str>, left: Option<&str>) -> FleetFacts {
        let path = Utf8PathBuf::from(PATH);
        let mut ledger = Ledger { format: LEDGER_FORMAT, cluster: "web".to_owned(), ..Ledger::default() };
        if let Some(left) = left {
            let digest = Some(Digest::of(left.as_bytes()));
            ledger.files.insert(path.clone(), OwnedFile { digest, backup: None });
        }
        let state = now.map(|text| FileState {
            digest: Digest::of(text.as_bytes()),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            modified_us: 0,
            text: None,
        });
        let node = NodeFacts {
            ledger: Fact::Known(ledger),
            observed: [(Query::File { path, text: true }, Observation::File(state))].into(),
            ..NodeFacts::unknown("not asked")
        };
        let name = NodeName::new("alpha").unwrap();
        FleetFacts { nodes: [(name, NodeOutcome::Answered(Box::new(node)))].into(), program: None }
    }

    fn plan() -> Plan {
        let node = NodeName::new("alpha").unwrap();
        let resource = ResourceId::on_node("file", PATH, &node);
        let step = Step {
            id: StepId::new(&resource, "replace", &node),
            resource: resource.clone(),
            node,
            action: Action::ReplaceFile {
                path: PATH.into(),
                content: "wanted".to_owned(),
                mode: 0o644,
                owner: "root".to_owned(),
                group: "root".to_owned(),
                validate: None,
                shared: false,
            },
            guard: Guard::Always,
            risk: Risk::Safe,
            after: Vec::new(),
            proof: Check::Done,
        };
        Plan {
            format: PLAN_FORMAT,
            hactl: "0.1.0".to_owned(),
            inventory: Digest::of(b""),
            changes: vec![ResourceChange { resource, summary: "change".to_owned(), diff: String::new() }],
            steps: vec![step],
            blocked: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn found(now: Option<&str>, left: Option<&str>) -> Vec<Origin> {
        let plan = plan();
        origins(&plan, &facts(now, left)).into_keys().collect()
    }

    #[test]
    fn a_file_that_is_not_as_hactl_left_it_was_changed_on_the_node() {
        assert_eq!(found(Some("edited"), Some("left")), [Origin::OnTheNode]);
        assert_eq!(found(None, Some("left")), [Origin::OnTheNode], "removed");
    }

    #[test]
    fn a_file_that_is_as_hactl_left_it_is_wanted_otherwise() {
        assert_eq!(found(Some("left"), Some("left")), [Origin::Inventory]);
    }

    #[test]
    fn a_file_that_hactl_never_wrote_is_not_applied_yet() {
        assert_eq!(found(Some("theirs"), None), [Origin::NeverApplied]);
    }

    #[test]
    fn a_node_that_tells_nothing_leaves_it_unclear() {
        let plan = plan();
        let groups = origins(&plan, &FleetFacts::default());
        assert_eq!(groups.into_keys().collect::<Vec<_>>(), [Origin::Unclear]);
    }
}
