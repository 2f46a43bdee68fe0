//! Everything that is wanted of one cluster: its view, the devices for what its barclamps need, its resources.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Desired, resources, view};
use crate::barclamp::{BarclampError, Registry, claim_requests};
use crate::claims;
use crate::facts::FleetFacts;
use crate::inventory::Cluster;
use crate::names::BarclampName;
use crate::plan::{Blocked, Note};

/// What is wanted of a cluster. When its nodes are not understood, or a device that it needs is not to be had, nothing
/// is: then the reasons are in [`Desired::blocked`].
///
/// # Errors
/// The barclamps cannot be rendered for this cluster.
pub fn of_cluster(
    cluster: &Cluster,
    facts: &FleetFacts,
    attributes: BTreeMap<BarclampName, Value>,
    registry: &Registry,
) -> Result<Desired, Vec<BarclampError>> {
    let mut view = match view(cluster, facts, attributes) {
        Ok(view) => view,
        Err(blocked) => return Ok(Desired { blocked, ..Desired::default() }),
    };
    let resolution = claims::resolve(cluster, facts, &claim_requests(registry, &view)?);
    let note = |text| Note { cluster: cluster.name.clone(), text };
    let notes: Vec<Note> = resolution.notes.into_iter().map(note).collect();
    if !resolution.refusals.is_empty() {
        let blocked: Vec<Blocked> = resolution.refusals.into_iter().map(Blocked::from).collect();
        return Ok(Desired { notes, blocked, ..Desired::default() });
    }
    view.claims = resolution.claims;
    let mut desired = resources(&view, registry)?;
    desired.notes.splice(0..0, notes);
    Ok(desired)
}
