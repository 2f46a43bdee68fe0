//! A condition on a node or a cluster that can be looked at: proof of a step, goal of a wait.

use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::facts::Digest;
use crate::names::NodeName;

/// A condition, evaluated on the step's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Check {
    /// The action's own exit status is proof enough.
    Done,
    /// A file has this content.
    File {
        /// Absolute path.
        path: Utf8PathBuf,
        /// Its digest; absent means that the file must not exist.
        digest: Option<Digest>,
    },
    /// Packages are installed and configured.
    Packages {
        /// Their names.
        names: Vec<String>,
    },
    /// A unit is active (or not).
    UnitActive {
        /// Its name with suffix.
        unit: String,
        /// Active or not.
        active: bool,
    },
    /// Corosync sees exactly these members and the partition is quorate.
    Membership {
        /// Their names.
        nodes: Vec<NodeName>,
    },
    /// Pacemaker sees these nodes online and clean, with a controller elected.
    Online {
        /// Their names.
        nodes: Vec<NodeName>,
    },
    /// Pacemaker has nothing left to do.
    Settled,
    /// No resource runs, fence devices apart.
    AllStopped,
    /// Pacemaker leaves resources alone (or manages them).
    Maintenance {
        /// On or off.
        on: bool,
    },
    /// These resources run, managed and without failure.
    Running {
        /// Their ids.
        resources: Vec<String>,
    },
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::File { path, digest: Some(digest) } => write!(f, "{path} has digest {}", digest.short()),
            Self::File { path, digest: None } => write!(f, "{path} is gone"),
            Self::Packages { names } => write!(f, "{} installed", names.join(", ")),
            Self::UnitActive { unit, active: true } => write!(f, "{unit} is active"),
            Self::UnitActive { unit, active: false } => write!(f, "{unit} is stopped"),
            Self::Membership { nodes } => write!(f, "corosync is quorate with {}", names(nodes)),
            Self::Online { nodes } => write!(f, "Pacemaker has {} online", names(nodes)),
            Self::Settled => f.write_str("Pacemaker has nothing left to do"),
            Self::AllStopped => f.write_str("all resources are stopped"),
            Self::Maintenance { on: true } => f.write_str("maintenance mode is on"),
            Self::Maintenance { on: false } => f.write_str("maintenance mode is off"),
            Self::Running { resources } => write!(f, "{} run", resources.join(", ")),
        }
    }
}
