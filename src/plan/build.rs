//! From desired resources and facts to the plan: order, compare, chain the steps.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::unionfind::UnionFind;

use super::{Action, Blocked, Note, PLAN_FORMAT, Plan, ResourceChange, Step, StepId, UnitVerb};
use crate::facts::{Digest, FleetFacts};
use crate::parallel;
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
    let order = in_order(resources)?;
    let mut judged: Vec<Judged> = parallel::map(&independent(&order), |part| judge(part, facts, secrets))
        .into_iter()
        .flatten()
        .collect();
    judged.sort_by_key(|one| one.position);
    let mut plan = Plan {
        format: PLAN_FORMAT,
        hactl: env!("CARGO_PKG_VERSION").to_owned(),
        inventory,
        changes: Vec::new(),
        steps: Vec::new(),
        blocked: Vec::new(),
        notes,
    };
    for one in judged {
        plan.notes.extend(one.notes);
        plan.blocked.extend(one.blocked);
        plan.changes.extend(one.change);
        plan.steps.extend(one.steps);
    }
    Ok(plan)
}

/// A resource and its place in the order of all.
type Placed<'r> = (usize, &'r dyn Resource);

/// What the comparison of one resource adds to the plan.
struct Judged {
    position: usize,
    notes: Vec<Note>,
    blocked: Option<Blocked>,
    change: Option<ResourceChange>,
    steps: Vec<Step>,
}

/// Compares resources that are in order.
fn judge(part: &Vec<Placed<'_>>, facts: &FleetFacts, secrets: &SecretStore) -> Vec<Judged> {
    let mut all = Vec::with_capacity(part.len());
    let mut pending: BTreeSet<ResourceId> = BTreeSet::new();
    // The last steps that lead to each resource: what comes after it comes after these.
    let mut tails: BTreeMap<&ResourceId, Vec<StepId>> = BTreeMap::new();
    for (position, resource) in part {
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
        let mut one = Judged { position: *position, notes, blocked: None, change: None, steps: Vec::new() };
        let tail = match change {
            Ok(Change::None) => before,
            Err(blocked) => {
                one.blocked = Some(blocked);
                before
            }
            Ok(Change::Steps { summary, diff, steps }) => {
                one.change = Some(ResourceChange { resource: resource.id().clone(), summary, diff });
                pending.insert(resource.id().clone());
                let tail = ends(&steps);
                one.steps = steps.into_iter().map(|step| chained(step, &before)).collect();
                tail
            }
        };
        tails.insert(resource.id(), tail);
        all.push(one);
    }
    all
}

/// The resources in parts that do not require anything of each other, not even indirectly: the clusters.
fn independent<'r>(order: &[&'r dyn Resource]) -> Vec<Vec<Placed<'r>>> {
    let mut linked: UnionFind<usize> = UnionFind::new(order.len());
    let positions: BTreeMap<&ResourceId, usize> =
        order.iter().enumerate().map(|(position, resource)| (resource.id(), position)).collect();
    for (position, resource) in order.iter().enumerate() {
        for requirement in resource.requires().iter().filter_map(|id| positions.get(id)) {
            linked.union(position, *requirement);
        }
    }
    let mut parts: BTreeMap<usize, Vec<Placed<'r>>> = BTreeMap::new();
    for (position, resource) in order.iter().enumerate() {
        parts.entry(linked.find(position)).or_default().push((position, *resource));
    }
    parts.into_values().collect()
}

/// A step without a sibling before it comes after what the resource requires. What only looks waits for nothing: it is
/// to be seen before anything is changed.
fn chained(mut step: Step, before: &[StepId]) -> Step {
    if step.after.is_empty() && !step.action.only_looks() {
        step.after = before.to_vec();
    }
    step
}

/// The steps that no sibling waits for. That a unit starts at the next boot is nothing that other resources wait for
/// either, unless it is all there is.
fn ends(steps: &[Step]) -> Vec<StepId> {
    let waited: BTreeSet<&StepId> = steps.iter().flat_map(|step| &step.after).collect();
    let (boot, now): (Vec<&Step>, Vec<&Step>) = steps
        .iter()
        .filter(|step| !waited.contains(&step.id))
        .partition(|step| matches!(step.action, Action::Unit { verb: UnitVerb::Enable, .. }));
    let last = if now.is_empty() { boot } else { now };
    last.into_iter().map(|step| step.id.clone()).collect()
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
