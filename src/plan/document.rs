//! The plan as a document: an immutable value, saved as JSON.

use serde::{Deserialize, Serialize};

use super::{Risk, Step};
use crate::claims::Refusal;
use crate::facts::Digest;
use crate::names::{ClusterName, NodeName};
use crate::resource::ResourceId;

/// Version of the plan's format; a saved plan of another one is refused.
pub const PLAN_FORMAT: u32 = 1;

/// Everything that would be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// The version of hactl that made it.
    pub hactl: String,
    /// Digest of the inventory it was made from.
    pub inventory: Digest,
    /// The resources that differ, in order, with the differences for people.
    pub changes: Vec<ResourceChange>,
    /// The steps, in an order that respects `after`.
    pub steps: Vec<Step>,
    /// What cannot be planned, and why. Nothing is executed while there is any.
    pub blocked: Vec<Blocked>,
    /// What a person should know: foreign objects, previews, warnings.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_empty()
    }

    /// Everything that the plan may disturb, each once, in order.
    #[must_use]
    pub fn disruptions(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for step in &self.steps {
            let named: &[String] = match &step.risk {
                Risk::Safe => &[],
                Risk::Disruptive(what) => what,
                Risk::Destroys(device) => std::slice::from_ref(device),
            };
            for what in named {
                if !all.contains(what) {
                    all.push(what.clone());
                }
            }
        }
        all
    }
}

/// How one resource differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// Which resource.
    pub resource: ResourceId,
    /// The difference in a few words.
    pub summary: String,
    /// The difference line by line: unified diff or one line per change; secrets masked.
    pub diff: String,
}

/// Something that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Which resource.
    pub resource: ResourceId,
    /// On which node, where it is one.
    pub node: Option<NodeName>,
    /// Why.
    pub reason: String,
    /// What a person can do.
    pub advice: String,
}

impl From<Refusal> for Blocked {
    fn from(refusal: Refusal) -> Self {
        let Refusal { node, purpose, reason, advice } = refusal;
        Self { resource: ResourceId::on_node("claim", &purpose, &node), node: Some(node), reason, advice }
    }
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// About which cluster.
    pub cluster: ClusterName,
    /// What.
    pub text: String,
}
