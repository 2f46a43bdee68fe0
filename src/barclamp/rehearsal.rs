//! What would be declared for a cluster that nobody has looked at: finds mistakes before anything is contacted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::claims::claim_requests;
use super::declaration::Declaration;
use super::declare::declare;
use super::error::BarclampError;
use super::registry::Registry;
use super::view::{ClusterView, NodeView};
use crate::claims::Claims;
use crate::distro::Distro;
use crate::drbd::Generation;
use crate::inventory::Cluster;
use crate::names::BarclampName;

/// A cluster as the inventory has it, its nodes on the oldest distribution that all of its barclamps support, with
/// node ids by name. `attributes` are those that [`Registry::resolve`] made.
#[must_use]
pub fn rehearsal_view(
    registry: &Registry,
    cluster: &Cluster,
    attributes: BTreeMap<BarclampName, Value>,
) -> Option<ClusterView> {
    let supported = |distro: &Distro| {
        let mut used = attributes.keys().filter_map(|name| registry.get(name.as_str()).ok());
        used.all(|barclamp| barclamp.manifest.distros.contains(distro))
    };
    let distro = Distro::ALL.into_iter().find(supported).unwrap_or(Distro::ASSUMED);
    let nodes: Vec<NodeView> = (1_u32..)
        .zip(cluster.nodes.values())
        .map(|(nodeid, node)| NodeView {
            name: node.name.clone(),
            nodeid,
            links: node.links.clone(),
            address: node.address.to_string(),
            roles: node.roles.clone(),
            distro,
            drbd: Generation::ASSUMED,
            attributes: node.attributes.clone(),
            utilization: node.utilization.clone(),
        })
        .collect();
    let founder = nodes.first()?.name.clone();
    Some(ClusterView {
        name: cluster.name.clone(),
        nodes,
        founder,
        barclamps: attributes,
        claims: Claims::default(),
        resources: cluster.resources.values().cloned().collect(),
        constraints: cluster.constraints.clone(),
        resource_defaults: cluster.resource_defaults.clone(),
        operation_defaults: cluster.operation_defaults.clone(),
    })
}

/// What would be declared for a [`rehearsal_view`]: fencing, templates and references are checked on the way.
///
/// # Errors
/// As [`declare`].
pub fn rehearse(
    registry: &Registry,
    cluster: &Cluster,
    attributes: BTreeMap<BarclampName, Value>,
) -> Result<Vec<Declaration>, Vec<BarclampError>> {
    let Some(mut view) = rehearsal_view(registry, cluster, attributes) else { return Ok(Vec::new()) };
    view.claims = Claims::placeholders(&view.name, &claim_requests(registry, &view)?);
    declare(registry, &view)
}
