//! The nodes of a run, each with its way there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Transport;
use crate::names::NodeName;

/// Every node of the run that was asked for, with the transport that leads there.
#[derive(Clone, Default)]
pub struct Fleet {
    nodes: BTreeMap<NodeName, Arc<dyn Transport>>,
}

impl Fleet {
    /// A fleet of these transports; a later one replaces an earlier one of the same node.
    pub fn new(transports: impl IntoIterator<Item = Arc<dyn Transport>>) -> Self {
        Self {
            nodes: transports.into_iter().map(|transport| (transport.node().clone(), transport)).collect(),
        }
    }

    /// The way to this node, if it belongs to the run.
    #[must_use]
    pub fn get(&self, node: &NodeName) -> Option<&Arc<dyn Transport>> {
        self.nodes.get(node)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Arc<dyn Transport>)> {
        self.nodes.iter()
    }
}
