//! One installation per node: the package manager's fixed cost is paid once, however many barclamps ask.

use std::collections::{BTreeMap, BTreeSet};

use crate::barclamp::Declaration;
use crate::names::NodeName;
use crate::resource::{Packages, ResourceId};

/// Merges the packages of each node that wait for nothing but other packages. What referred to one of them refers to
/// the merged one afterwards.
#[must_use]
pub(super) fn merged(declarations: Vec<Declaration>) -> Vec<Declaration> {
    let ids: BTreeSet<ResourceId> = declarations
        .iter()
        .filter(|declaration| matches!(declaration, Declaration::Packages(_)))
        .map(|declaration| declaration.id().clone())
        .collect();
    let mut renamed: BTreeMap<ResourceId, ResourceId> = BTreeMap::new();
    let mut whole: BTreeMap<NodeName, Packages> = BTreeMap::new();
    let mut rest = Vec::new();
    for declaration in declarations {
        match declaration {
            Declaration::Packages(it) if it.requires.iter().all(|id| ids.contains(id)) => {
                let id = ResourceId::on_node("packages", "all", &it.node);
                renamed.insert(it.id, id.clone());
                let sum = whole.entry(it.node.clone()).or_insert_with(|| Packages {
                    id,
                    requires: Vec::new(),
                    node: it.node,
                    names: BTreeSet::new(),
                    keep_stopped: BTreeSet::new(),
                    available_now: true,
                });
                sum.names.extend(it.names);
                sum.keep_stopped.extend(it.keep_stopped);
            }
            other => rest.push(other),
        }
    }
    for declaration in &mut rest {
        for id in declaration.references_mut() {
            if let Some(new) = renamed.get(id) {
                id.clone_from(new);
            }
        }
    }
    whole.into_values().map(Declaration::Packages).chain(rest).collect()
}
