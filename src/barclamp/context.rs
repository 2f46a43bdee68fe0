//! What templates see: the cluster as plain data.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::bundle::Barclamp;
use super::item::On;
use super::manifest::RoleDefault;
use super::templates::OMIT;
use super::view::{ClusterView, NodeView};
use crate::names::{NodeName, RoleName};

/// What all templates of a barclamp see.
pub(super) fn base(barclamp: &Barclamp, view: &ClusterView) -> Map<String, Value> {
    let name = &barclamp.manifest.name;
    let attributes = view.barclamps.get(name).cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let others: Map<String, Value> =
        view.barclamps.iter().map(|(name, attributes)| (name.to_string(), attributes.clone())).collect();
    let roles: Map<String, Value> = barclamp
        .manifest
        .roles
        .keys()
        .map(|role| {
            let nodes = with_role(barclamp, view, role);
            (
                role.to_string(),
                view.nodes
                    .iter()
                    .filter(|other| nodes.contains(&other.name))
                    .map(|it| it.name.as_str())
                    .collect(),
            )
        })
        .collect();
    let mut context = Map::new();
    context.insert(
        "barclamp".to_owned(),
        json!({ "name": name.as_str(), "version": barclamp.manifest.version }),
    );
    context.insert(
        "cluster".to_owned(),
        json!({
            "name": view.name.as_str(),
            "size": view.nodes.len(),
            "link_count": view.nodes.first().map_or(0, |node| node.links.len()),
        }),
    );
    context.insert("founder".to_owned(), Value::String(view.founder.to_string()));
    context.insert("nodes".to_owned(), view.nodes.iter().map(|other| node(other, view)).collect());
    context.insert("roles".to_owned(), Value::Object(roles));
    context.insert("attributes".to_owned(), attributes);
    context.insert("barclamps".to_owned(), Value::Object(others));
    context.insert("omit".to_owned(), Value::String(OMIT.to_owned()));
    context
}

/// A node as templates see it.
pub(super) fn node(node: &NodeView, view: &ClusterView) -> Value {
    json!({
        "name": node.name.as_str(),
        "nodeid": node.nodeid,
        "links": node.links.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "address": node.address,
        "roles": node.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(),
        "distro": node.distro.key(),
        "drbd": node.drbd.word(),
        "claims": view.claims.for_templates(&node.name),
        "first": view.nodes.first().is_some_and(|first| first.name == node.name),
    })
}

/// The nodes with a role: those of the inventory, or the role's default when it gives it to none.
pub(super) fn with_role(barclamp: &Barclamp, view: &ClusterView, role: &RoleName) -> BTreeSet<NodeName> {
    let given: BTreeSet<NodeName> =
        view.nodes.iter().filter(|node| node.roles.contains(role)).map(|node| node.name.clone()).collect();
    if !given.is_empty() {
        return given;
    }
    match barclamp.manifest.roles.get(role).map(|role| role.default) {
        Some(RoleDefault::All) => view.node_names(),
        Some(RoleDefault::Founder) => BTreeSet::from([view.founder.clone()]),
        Some(RoleDefault::None) | None => BTreeSet::new(),
    }
}

/// The nodes that an item is for, in the cluster's order.
pub(super) fn nodes_on<'v>(barclamp: &Barclamp, view: &'v ClusterView, on: &On) -> Vec<&'v NodeView> {
    let wanted = match on {
        On::All => view.node_names(),
        On::Founder => BTreeSet::from([view.founder.clone()]),
        On::Role(role) => with_role(barclamp, view, role),
    };
    view.nodes.iter().filter(|node| wanted.contains(&node.name)).collect()
}
