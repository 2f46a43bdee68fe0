//! A cluster as barclamps see it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::NodeIds;
use crate::barclamp::{ClusterView, NodeView};
use crate::claims::Claims;
use crate::distro::Distro;
use crate::drbd::Generation;
use crate::facts::{FleetFacts, Observation, Query};
use crate::inventory::Cluster;
use crate::names::{BarclampName, NodeName};
use crate::plan::Blocked;
use crate::resource::ResourceId;

/// Puts inventory and facts together.
///
/// # Errors
/// Nodes whose distribution is unknown or not supported: nothing can be desired for them.
pub fn view(
    cluster: &Cluster,
    facts: &FleetFacts,
    barclamps: BTreeMap<BarclampName, Value>,
) -> Result<ClusterView, Vec<Blocked>> {
    let ids = NodeIds::of(cluster, facts);
    let mut nodes = Vec::new();
    let mut blocked = Vec::new();
    for (nodeid, name) in ids.iter() {
        let node = &cluster.nodes[name];
        let distro = match facts.node(name).map(|seen| seen.os.as_result().map(Distro::of)) {
            Some(Ok(Ok(distro))) => distro,
            Some(Ok(Err(unsupported))) => {
                blocked.push(refusal(
                    name,
                    unsupported.to_string(),
                    "use a supported distribution on the node",
                ));
                continue;
            }
            Some(Err(why)) => {
                let reason = format!("the distribution could not be learned: {why}");
                blocked.push(refusal(name, reason, "see why and run again"));
                continue;
            }
            None => {
                blocked.push(refusal(name, "it could not be asked".to_owned(), "see that the node answers"));
                continue;
            }
        };
        nodes.push(NodeView {
            name: name.clone(),
            nodeid,
            links: node.links.clone(),
            address: node.address.to_string(),
            roles: node.roles.clone(),
            distro,
            drbd: drbd_generation(facts, name),
            attributes: node.attributes.clone(),
            utilization: node.utilization.clone(),
        });
    }
    let founder = match (ids.founder(), blocked.is_empty()) {
        (Some(founder), true) => founder.clone(),
        _ => return Err(blocked),
    };
    Ok(ClusterView {
        name: cluster.name.clone(),
        nodes,
        founder,
        barclamps,
        claims: Claims::default(),
        resources: cluster.resources.values().cloned().collect(),
        constraints: cluster.constraints.clone(),
        resource_defaults: cluster.resource_defaults.clone(),
        operation_defaults: cluster.operation_defaults.clone(),
    })
}

/// The DRBD that the node's kernel has.
fn drbd_generation(facts: &FleetFacts, node: &NodeName) -> Generation {
    match facts.node(node).map(|seen| seen.observation(&Query::DrbdModule)) {
        Some(Observation::Text(Some(version))) => Generation::of(version.trim()),
        _ => Generation::ASSUMED,
    }
}

fn refusal(node: &crate::names::NodeName, reason: String, advice: &str) -> Blocked {
    Blocked {
        resource: ResourceId::on_node("node", node.as_str(), node),
        node: Some(node.clone()),
        reason,
        advice: advice.to_owned(),
    }
}
