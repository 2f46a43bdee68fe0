//! What may be done with a device, and why.

use serde::{Deserialize, Serialize};

use crate::facts::StableId;

/// What may be done with a device. Only the first two may be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Verdict {
    /// It is blank and nobody uses it: every condition was looked at and holds.
    Unclaimed,
    /// hactl claimed it earlier, and nothing is on it but what its user puts there.
    Ours {
        /// For what.
        purpose: String,
        /// The cluster whose inventory claimed it.
        cluster: String,
    },
    /// It belongs to somebody, or is no device to keep data on.
    Foreign {
        /// The first reason, in words.
        what: String,
    },
    /// It could not be judged.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// One condition that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was asked: `mounted`, `signature`, `holders`, …
    pub about: String,
    /// What was seen, in words.
    pub seen: String,
    /// Whether it speaks against using the device.
    pub against: bool,
}

/// A device of a node with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedDevice {
    /// Kernel name.
    pub name: String,
    /// Its identity; absent where it has none that is stable and unique on the node.
    pub identity: Option<StableId>,
    /// The best name to write into an inventory: a link below `/dev/disk/by-id`, else by-path.
    pub link: Option<String>,
    /// What may be done with it.
    pub verdict: Verdict,
    /// Everything that was looked at, in a fixed order.
    pub evidence: Vec<Evidence>,
}
