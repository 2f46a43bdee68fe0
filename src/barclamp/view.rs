//! What a barclamp may know of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use crate::claims::Claims;
use crate::distro::Distro;
use crate::drbd::Generation;
use crate::inventory::{Constraint, Resource, Setting};
use crate::names::{BarclampName, ClusterName, NodeName, RoleName};

/// A cluster as barclamps see it: made from the inventory and the facts, before anything is rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterView {
    /// Its name.
    pub name: ClusterName,
    /// Its nodes by corosync's node id; at least one.
    pub nodes: Vec<NodeView>,
    /// The node that makes what is made once: the authentication key, the first CIB.
    pub founder: NodeName,
    /// Attributes of the barclamps in use: valid, with defaults, secrets as markers. See
    /// [`Registry::resolve`](super::Registry::resolve).
    pub barclamps: BTreeMap<BarclampName, Value>,
    /// The devices that were claimed for what the barclamps need; empty until [`claim_requests`] were resolved.
    ///
    /// [`claim_requests`]: super::claim_requests
    pub claims: Claims,
    /// The inventory's resources, by id.
    pub resources: Vec<Resource>,
    /// The inventory's constraints, in its order.
    pub constraints: Vec<Constraint>,
    /// `rsc_defaults`.
    pub resource_defaults: BTreeMap<String, Setting>,
    /// `op_defaults`.
    pub operation_defaults: BTreeMap<String, Setting>,
}

/// A node as barclamps see it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Corosync's node id; from 1.
    pub nodeid: u32,
    /// Its address on each of corosync's links, link 0 first; at least one.
    pub links: Vec<IpAddr>,
    /// Where it is reached by SSH: an address or a host name.
    pub address: String,
    /// What the inventory says that it does.
    pub roles: BTreeSet<RoleName>,
    /// What it runs.
    pub distro: Distro,
    /// For which DRBD its configuration is written.
    pub drbd: Generation,
    /// Permanent node attributes.
    pub attributes: BTreeMap<String, Setting>,
    /// How much of what it has.
    pub utilization: BTreeMap<String, i64>,
}

impl ClusterView {
    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&NodeView> {
        self.nodes.iter().find(|node| &node.name == name)
    }

    /// The names of all nodes.
    #[must_use]
    pub fn node_names(&self) -> BTreeSet<NodeName> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }
}
