//! The name of a managed thing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{ClusterName, NodeName};

/// What tells a cluster's name from a node's in an id; no node name holds a `/`.
const CLUSTER_SCOPE: &str = "cluster/";

/// `kind:name@node`, or `kind:name@cluster/NAME` for what belongs to a whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(String);

impl ResourceId {
    /// The id of a thing on one node.
    #[must_use]
    pub fn on_node(kind: &str, name: &str, node: &NodeName) -> Self {
        Self(format!("{kind}:{name}@{node}"))
    }

    /// The id of a thing of a whole cluster.
    #[must_use]
    pub fn of_cluster(kind: &str, name: &str, cluster: &ClusterName) -> Self {
        Self(format!("{kind}:{name}@{CLUSTER_SCOPE}{cluster}"))
    }

    /// Whether it names a thing of a whole cluster.
    #[must_use]
    pub fn is_of_cluster(&self) -> bool {
        self.0.rsplit_once('@').is_some_and(|(_, scope)| scope.starts_with(CLUSTER_SCOPE))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
