//! A step: one action on one node, with what must hold before it and what proves it.

use std::collections::BTreeSet;
use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::{Action, Check};
use crate::facts::{Digest, StableId};
use crate::names::NodeName;
use crate::resource::ResourceId;

/// A step's name: the resource's id, `#`, and what the step does to it. Unique in a plan, the same in every
/// plan that holds the step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// The id of the step that does `what` to `resource` on `node`.
    #[must_use]
    pub fn new(resource: &ResourceId, what: &str, node: &NodeName) -> Self {
        Self(format!("{resource}#{what}:{node}"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step may disturb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nothing that runs is disturbed.
    Safe,
    /// These stop, restart or move (resources, units or nodes, in words).
    Disruptive(Vec<String>),
    /// What is on this device is lost.
    Destroys(String),
}

/// What is looked at immediately before a step; when it does not hold, the step is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Nothing: the action itself is idempotent.
    Always,
    /// The file is still the one that was planned for (`None`: still absent).
    File {
        /// Absolute path.
        path: Utf8PathBuf,
        /// Its digest when the plan was made.
        digest: Option<Digest>,
    },
    /// What people and hactl put into the CIB is still what was planned for. What Pacemaker itself keeps there
    /// (status, its own properties, the list of nodes, maintenance mode) does not count.
    Cib {
        /// [`crate::cib::intent_digest`] when the plan was made.
        intent: Digest,
    },
    /// The device is still the one that was planned for, holds what it held, and nobody uses it.
    Device(DeviceGuard),
}

/// A block device as it must still be when it is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceGuard {
    /// The name to reach it by.
    pub path: String,
    /// Which device that must be.
    pub identity: StableId,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Everything that may be on it, as `type/uuid`; empty when it must be blank.
    pub holds: BTreeSet<String>,
}

/// One action on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// The resource that it brings nearer to what is wanted.
    pub resource: ResourceId,
    /// Where it is executed.
    pub node: NodeName,
    /// What is done.
    pub action: Action,
    /// What must hold immediately before.
    pub guard: Guard,
    /// What it may disturb.
    pub risk: Risk,
    /// Steps that must be done first.
    pub after: Vec<StepId>,
    /// What must hold afterwards.
    pub proof: Check,
}
