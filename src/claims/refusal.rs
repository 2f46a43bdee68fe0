//! Why a purpose got no device.

use crate::names::NodeName;

/// A purpose without a device, and how to give it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// On which node.
    pub node: NodeName,
    /// What for.
    pub purpose: String,
    /// Why not, in words.
    pub reason: String,
    /// What a person can do: where the inventory decides, the lines to write.
    pub advice: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: no device for `{}`: {}", self.node, self.purpose, self.reason)
    }
}
