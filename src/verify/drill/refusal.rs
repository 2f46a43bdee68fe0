//! Why a drill is not begun. Nothing was touched then.

use crate::names::NodeName;

/// A reason not to cut a node's power.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Several clusters are meant.
    #[error("a drill is of one cluster, and these are meant: {}; choose with --on", .0.join(", "))]
    Clusters(Vec<String>),
    /// What the cluster says of itself is not known.
    #[error("{node}: {why}")]
    Unknown {
        /// Who was asked.
        node: NodeName,
        /// Why it is not known.
        why: String,
    },
    /// Fencing is off or has no device.
    #[error(
        "the cluster has no working fencing ({0}): nobody could cut a node's power, and a node that fails is not replaced"
    )]
    NoFencing(String),
    /// Nothing that a drill could measure runs.
    #[error(
        "nothing to measure a failover by: no group has a mounted file system, and no check asks through a virtual address"
    )]
    NoTarget,
    /// Several groups would do.
    #[error("several could be drilled: {}; choose with --drill-target", .0.join(", "))]
    Several(Vec<String>),
    /// What was asked for is none.
    #[error("`{wanted}` is no group with a mounted file system or a checked virtual address; there {}", known(.candidates))]
    NotATarget {
        /// What was asked for.
        wanted: String,
        /// What would do.
        candidates: Vec<String>,
    },
    /// It runs on no node or on several.
    #[error("{group} runs on {}, not on one node", if .nodes.is_empty() { "no node".to_owned() } else { .nodes.join(", ") })]
    NotOnOneNode {
        /// Which group.
        group: String,
        /// Where it runs.
        nodes: Vec<String>,
    },
    /// Without the node the rest could not go on.
    #[error("without {victim} the cluster would have {left} votes, and {needed} are needed")]
    Quorum {
        /// Whose loss it would be.
        victim: NodeName,
        /// Votes that would be left.
        left: u32,
        /// Votes that are needed.
        needed: u32,
    },
    /// Pacemaker itself says that it would start the group nowhere.
    #[error("without {victim} Pacemaker would start {group} nowhere: it has no other node to run on")]
    Nowhere {
        /// Whose loss it would be.
        victim: NodeName,
        /// What would be away.
        group: String,
    },
}

fn known(candidates: &[String]) -> String {
    if candidates.is_empty() { "is none".to_owned() } else { format!("is {}", candidates.join(", ")) }
}
