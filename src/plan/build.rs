//! From desired resources and facts to the plan: order, compare, chain the steps.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Note, PLAN_FORMAT, Plan, ResourceChange, Step, StepId};
use crate::facts::{Digest, FleetFacts};
use crate::resource::{Change, DiffContext, Resource, ResourceId};
use crate::secrets::SecretStore;

/// The desired resources do not form a graph that can be walked. Barclamps are checked when they are loaded, so
/// this names a defect in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two resources have one name.
    #[error("the resource {0} is declared twice")]
    Duplicate(ResourceId),
    /// A requirement names nothing.
    #[error("{resource} requires {requirement}, which nobody declares")]
    Missing {
        /// Who requires.
        resource: ResourceId,
        /// What.
        requirement: ResourceId,
    },
    /// Requirements run in a circle.
    #[error("these resources require each other: {}", .0.iter().map(ResourceId::as_str).collect::<Vec<_>>().join(", "))]
    Cycle(Vec<ResourceId>),
}

/// Compares every resource with what was seen and chains the steps that mend the differences.
///
/// # Errors
/// The resources' requirements do not form an acyclic graph.
pub fn build(
    resources: &[Box<dyn Resource>],
    facts: &FleetFacts,
    secrets: &SecretStore,
    inventory: Digest,
    notes: Vec<Note>,
) -> Result<Plan, PlanError> {
    let mut plan = Plan {
        format: PLAN_FORMAT,
        hactl: env!("CARGO_PKG_VERSION").to_owned(),
        inventory,
        changes: Vec::new(),
        steps: Vec::new(),
        blocked: Vec::new(),
        notes,
    };
    let mut pending: BTreeSet<ResourceId> = BTreeSet::new();
    // The last steps that lead to each resource: what comes after it comes after these.
    let mut tails: BTreeMap<&ResourceId, Vec<StepId>> = BTreeMap::new();
    for resource in in_order(resources)? {
        let mut before: Vec<StepId> = Vec::new();
        for requirement in resource.requires() {
            for step in tails.get(requirement).into_iter().flatten() {
                if !before.contains(step) {
                    before.push(step.clone());
                }
            }
        }
        let context = DiffContext { facts, secrets, pending: &pending };
        let (notes, change) = resource.judge(&context);
        plan.notes.extend(notes);
        let tail = match change {
            Ok(Change::None) => before,
            Err(blocked) => {
                plan.blocked.push(blocked);
                before
            }
            Ok(Change::Steps { summary, diff, steps }) => {
                plan.changes.push(ResourceChange { resource: resource.id().clone(), summary, diff });
                pending.insert(resource.id().clone());
                let tail = ends(&steps);
                plan.steps.extend(steps.into_iter().map(|step| chained(step, &before)));
                tail
            }
        };
        tails.insert(resource.id(), tail);
    }
    Ok(plan)
}

/// A step without a sibling before it comes after what the resource requires. What only looks waits for nothing: it is
/// to be seen before anything is changed.
fn chained(mut step: Step, before: &[StepId]) -> Step {
    if step.after.is_empty() && !step.action.only_looks() {
        step.after = before.to_vec();
    }
    step
}

/// The steps that no sibling waits for.
fn ends(steps: &[Step]) -> Vec<StepId> {
    let waited: BTreeSet<&StepId> = steps.iter().flat_map(|step| &step.after).collect();
    steps.iter().map(|step| &step.id).filter(|id| !waited.contains(id)).cloned().collect()
}

/// The resources, each after what it requires; otherwise in the order in which they were declared.
fn in_order(resources: &[Box<dyn Resource>]) -> Result<Vec<&dyn Resource>, PlanError> {
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    let mut index: BTreeMap<&ResourceId, NodeIndex> = BTreeMap::new();
    // petgraph's toposort walks the nodes last to first, so that adding them in reverse keeps the given order.
    for (position, resource) in resources.iter().enumerate().rev() {
        if index.insert(resource.id(), graph.add_node(position)).is_some() {
            return Err(PlanError::Duplicate(resource.id().clone()));
        }
    }
    for resource in resources {
        for requirement in resource.requires() {
            let Some(from) = index.get(requirement) else {
                return Err(PlanError::Missing {
                    resource: resource.id().clone(),
                    requirement: requirement.clone(),
                });
            };
            graph.add_edge(*from, index[resource.id()], ());
        }
    }
    match toposort(&graph, None) {
        Ok(order) => Ok(order.into_iter().map(|node| &*resources[graph[node]]).collect()),
        Err(_) => {
            let cycle =
                tarjan_scc(&graph).into_iter().find(|component| component.len() > 1).unwrap_or_default();
            Err(PlanError::Cycle(cycle.into_iter().map(|node| resources[graph[node]].id().clone()).collect()))
        }
    }
}
