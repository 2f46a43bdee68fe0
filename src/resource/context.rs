//! What a resource may look at when it is compared.

use std::collections::BTreeSet;

use super::ResourceId;
use crate::facts::{FleetFacts, Observation, Query};
use crate::names::NodeName;
use crate::secrets::SecretStore;

/// Facts, secrets, and what the plan so far is going to change.
pub struct DiffContext<'a> {
    /// What was seen on the nodes.
    pub facts: &'a FleetFacts,
    /// The secrets of this run, to compare with, never to show.
    pub secrets: &'a SecretStore,
    /// Resources before this one that the plan changes.
    pub pending: &'a BTreeSet<ResourceId>,
}

impl<'a> DiffContext<'a> {
    /// The answer to a query on a node, in place: what [`Self::observed`] gives, without a copy of a large text.
    /// `None` when the node did not answer or was not asked.
    #[must_use]
    pub fn seen(&self, node: &NodeName, query: &Query) -> Option<&'a Observation> {
        self.facts.node(node)?.observed.get(query)
    }

    /// The answer to a query on a node; a node that did not answer is unknown.
    #[must_use]
    pub fn observed(&self, node: &NodeName, query: &Query) -> Observation {
        self.facts.node(node).map_or_else(
            || Observation::Unknown("the node could not be asked".to_owned()),
            |facts| facts.observation(query),
        )
    }
}
