//! SBD's header on a disk that all nodes share.

use super::device_claim::{guard, occupied};
use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::claims::ClaimedDevice;
use crate::facts::Query;
use crate::names::NodeName;
use crate::plan::{Action, Blocked};

/// What libblkid does not know and hactl calls so.
const KIND: &str = "sbd";

/// SBD's header, written once, by one node. A header that is there stays as it is, its timeouts too.
#[derive(Debug, Clone)]
pub struct SbdHeader {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first: the claims of all nodes.
    pub requires: Vec<ResourceId>,
    /// The node that writes it.
    pub founder: NodeName,
    /// The device as that node sees it.
    pub device: ClaimedDevice,
    /// Watchdog timeout in seconds.
    pub watchdog_timeout_s: u32,
    /// How long a message may take to arrive, in seconds.
    pub msgwait_timeout_s: u32,
}

impl Resource for SbdHeader {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        Vec::new()
    }

    fn diff(&self, _: &DiffContext<'_>) -> Result<Change, Blocked> {
        let device = &self.device;
        let kept = device.kept();
        if !kept.is_empty() && kept.iter().all(|found| found.kind == KIND) {
            return Ok(Change::None);
        }
        if !kept.is_empty() {
            return Err(occupied(&self.id, &self.founder, device, "SBD's header", "writes the header"));
        }
        let mut steps = Steps::of(&self.id);
        let action = Action::CreateSbdHeader {
            path: device.path.clone(),
            watchdog_timeout_s: self.watchdog_timeout_s,
            msgwait_timeout_s: self.msgwait_timeout_s,
        };
        steps.push(&self.founder, "create", action, &[]);
        steps.guard(guard(device, &[]));
        let diff = format!("+SBD header on {} ({})\n", device.path, device.identity);
        Ok(steps.change(format!("write the SBD header on {}", device.path), diff))
    }
}
