//! That both sides of a volume hold the same: waited for once everything else is in place, because a cluster works while it
//! synchronises.

use std::time::Duration;

use crate::drbd::{Observed, VolumeStatus};
use crate::engine::VolumeId;
use crate::facts::{Observation, Query, VolumeQuery};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, VolumeGoal};
use crate::resource::{Change, DiffContext, Resource, ResourceId, Steps};

/// The slowest synchronisation that is waited for, in bytes per second.
const SLOWEST_BYTES_PER_S: u64 = 1024 * 1024;
/// What is waited at least, in seconds.
const SHORTEST_S: u64 = 300;

/// A volume whose sides are to be equal.
#[derive(Debug, Clone)]
pub struct VolumeSync {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first: the volume, and the cluster.
    pub requires: Vec<ResourceId>,
    /// The volume's own name in plans.
    pub volume_id: ResourceId,
    /// The volume.
    pub volume: VolumeId,
    /// The node that is asked.
    pub node: NodeName,
    /// The size of its disk in bytes.
    pub size_bytes: u64,
}

impl VolumeSync {
    fn query(&self) -> Query {
        Query::Volume(VolumeQuery { volume: self.volume.clone(), device: None })
    }
}

impl Resource for VolumeSync {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        vec![(self.node.clone(), self.query())]
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let status = match context.observed(&self.node, &self.query()) {
            Observation::Text(Some(text)) => Observed::parse(&text).status(&self.volume).cloned(),
            _ => None,
        };
        let catching_up = status.as_ref().is_some_and(|status| status.is_connected() && !status.is_in_sync());
        if !catching_up && !context.pending.contains(&self.volume_id) {
            return Ok(Change::None);
        }
        let limit = Duration::from_secs(SHORTEST_S + self.size_bytes / SLOWEST_BYTES_PER_S);
        let until = Check::Volume { volume: self.volume.clone(), goal: VolumeGoal::UpToDate };
        let mut steps = Steps::of(&self.id);
        steps.push(&self.node, "in-sync", Action::wait(until, limit), &[]);
        let seen = status.as_ref().and_then(VolumeStatus::problem);
        let diff = seen.map(|problem| format!("-{problem}\n")).unwrap_or_default();
        Ok(steps.change(format!("wait until volume {} is up to date on both sides", self.volume), diff))
    }
}
