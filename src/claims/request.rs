//! What devices are needed for.

use std::collections::BTreeSet;

use crate::names::NodeName;

/// How the devices of one purpose on several nodes must relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    /// Every node uses its own; two nodes never get the same one.
    Own,
    /// They replicate each other: different ones, of sizes that fit.
    Replicas,
    /// All nodes use the same one.
    Shared,
}

/// A need for one device on each of these nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// What for, as the nodes' ledgers call it: `filesystem:data`, `sbd`.
    pub purpose: String,
    /// Its name below `claims` in the inventory: `data`.
    pub claim: String,
    /// On which nodes.
    pub nodes: BTreeSet<NodeName>,
    /// How the nodes' devices relate.
    pub across: Across,
    /// Smallest size in bytes that will do.
    pub minimum_bytes: u64,
    /// What its user puts on it.
    pub expects: Vec<Expectation>,
}

/// A signature that the user of a device puts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// As libblkid names it.
    pub kind: String,
    /// Which UUID it gets.
    pub uuid: ExpectedUuid,
}

/// The UUID of what is put on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedUuid {
    /// Whatever its user gives it.
    Any,
    /// The one that follows from the claim (see [`super::derived_uuid`]): another one on each node.
    Derived,
    /// The one that follows from the purpose (see [`super::common_uuid`]): the same on all nodes, as for what is
    /// replicated between them.
    Common,
}
