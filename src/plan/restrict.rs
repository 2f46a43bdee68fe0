//! Leaves out of a plan what was not asked for. Pure.

use std::collections::BTreeSet;

use super::{Blocked, Plan, StepId};
use crate::names::NodeName;
use crate::resource::ResourceId;

/// Keeps the steps on these nodes. A step that comes after one that is left out is left out too, because it would
/// stand on what was not done. Returns how many steps were left out.
pub fn restrict(plan: &mut Plan, nodes: &BTreeSet<NodeName>) -> usize {
    let before = plan.steps.len();
    let mut dropped: BTreeSet<StepId> = BTreeSet::new();
    // The steps of a resource of a whole cluster belong together: all of them or none.
    let torn: BTreeSet<ResourceId> = plan
        .steps
        .iter()
        .filter(|step| step.resource.is_of_cluster() && !nodes.contains(&step.node))
        .map(|step| step.resource.clone())
        .collect();
    plan.steps.retain(|step| {
        let keep = nodes.contains(&step.node)
            && !torn.contains(&step.resource)
            && !step.after.iter().any(|id| dropped.contains(id));
        if !keep {
            dropped.insert(step.id.clone());
        }
        keep
    });
    let kept: BTreeSet<&ResourceId> = plan.steps.iter().map(|step| &step.resource).collect();
    plan.changes.retain(|change| kept.contains(&change.resource));
    plan.blocked.retain(|blocked: &Blocked| blocked.node.as_ref().is_none_or(|node| nodes.contains(node)));
    before - plan.steps.len()
}
