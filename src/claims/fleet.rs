//! The verdicts on the devices of all nodes.

use std::collections::BTreeMap;

use super::{JudgedDevice, judge};
use crate::facts::FleetFacts;
use crate::inventory::Inventory;
use crate::names::NodeName;

/// The verdicts by node, each under the policy of the node's cluster. A node is left out that did not answer or whose
/// devices could not be listed: the facts say why.
#[must_use]
pub fn judge_fleet(inventory: &Inventory, facts: &FleetFacts) -> BTreeMap<NodeName, Vec<JudgedDevice>> {
    let mut verdicts = BTreeMap::new();
    for cluster in inventory.clusters.values() {
        for name in cluster.nodes.keys() {
            let Some(node) = facts.node(name) else { continue };
            if let Some(devices) = node.block_devices.known() {
                verdicts.insert(name.clone(), judge(devices, &cluster.claim_policy, node.claims.as_result()));
            }
        }
    }
    verdicts
}
