//! Secrets that the inventory's resources, defaults and node attributes refer to: the names of their markers.
//!
//! Attributes of barclamps name theirs after the place in the inventory, see [`Attributes`](super::Attributes).

use std::collections::BTreeMap;

use super::schema::SecretUse;
use crate::inventory::{Cluster, ResourceKind, Setting, format_duration};
use crate::names::ClusterName;
use crate::secrets::marker;

/// The name of the secret in one setting. `owner` is an id of the CIB.
fn name(cluster: &ClusterName, owner: &str, key: &str) -> String {
    format!("cluster/{cluster}/{owner}/{key}")
}

/// What the node attributes of a node belong to.
pub(super) fn node_owner(node: &str) -> String {
    format!("nodes/{node}")
}

/// The id of an operation.
pub(super) fn operation_id(resource: &str, operation: &crate::inventory::Operation) -> String {
    format!("{resource}-{}-{}", operation.name, format_duration(operation.interval))
}

/// A setting as text, a secret as its marker.
pub(super) fn setting_text(cluster: &ClusterName, owner: &str, key: &str, setting: &Setting) -> String {
    match setting {
        Setting::Text(text) => text.clone(),
        Setting::Secret(_) => marker(&name(cluster, owner, key)),
    }
}

/// Every secret that a cluster's resources, defaults and node attributes refer to, by the name of its marker.
#[must_use]
pub fn secret_uses(cluster: &Cluster) -> Vec<SecretUse> {
    let mut uses = Vec::new();
    let mut add = |owner: &str, settings: &BTreeMap<String, Setting>| {
        for (key, setting) in settings {
            if let Setting::Secret(reference) = setting {
                uses.push(SecretUse { name: name(&cluster.name, owner, key), reference: reference.clone() });
            }
        }
    };
    for (id, resource) in &cluster.resources {
        add(id.as_str(), &resource.meta);
        if let ResourceKind::Primitive(primitive) | ResourceKind::Template(primitive) = &resource.kind {
            add(id.as_str(), &primitive.params);
            for operation in &primitive.operations {
                add(&operation_id(id.as_str(), operation), &operation.other);
            }
        }
    }
    for node in cluster.nodes.values() {
        add(&node_owner(node.name.as_str()), &node.attributes);
    }
    add("rsc-options", &cluster.resource_defaults);
    add("op-options", &cluster.operation_defaults);
    uses
}
