//! The facts of all nodes.

use std::collections::BTreeMap;

use super::{Digest, NodeFacts};
use crate::names::NodeName;
use crate::transport::TransportError;

/// What asking one node came to.
#[derive(Debug, Clone)]
pub enum NodeOutcome {
    /// It answered.
    Answered(Box<NodeFacts>),
    /// It could not be asked.
    Failed(TransportError),
}

/// The facts of every node of a run; a node that failed is data too.
#[derive(Debug, Clone, Default)]
pub struct FleetFacts {
    /// By node.
    pub nodes: BTreeMap<NodeName, NodeOutcome>,
    /// The running program, where a node is to have it.
    pub program: Option<Digest>,
}

impl FleetFacts {
    /// The facts of a node that answered.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&NodeFacts> {
        match self.nodes.get(name) {
            Some(NodeOutcome::Answered(facts)) => Some(facts),
            _ => None,
        }
    }

    /// The nodes that could not be asked, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&NodeName, &TransportError)> {
        self.nodes.iter().filter_map(|(name, outcome)| match outcome {
            NodeOutcome::Failed(error) => Some((name, error)),
            NodeOutcome::Answered(_) => None,
        })
    }
}
