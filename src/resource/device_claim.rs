//! A claimed block device: its entry in the node's ledger, and the end of what the inventory gives up on it.

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::claims::ClaimedDevice;
use crate::facts::{Query, Signature};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Blocked, DeviceGuard, Guard, Risk};

/// A device that serves a purpose on a node.
#[derive(Debug, Clone)]
pub struct DeviceClaim {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Which cluster claims it.
    pub cluster: ClusterName,
    /// The device.
    pub device: ClaimedDevice,
    /// Whether what the inventory gives up is removed from this node; a shared device is wiped from one.
    pub wipes: bool,
}

/// The guard for a device that may hold this.
pub(super) fn guard(device: &ClaimedDevice, holds: &[Signature]) -> Guard {
    Guard::Device(DeviceGuard {
        path: device.path.clone(),
        identity: device.identity.clone(),
        size_bytes: device.size_bytes,
        holds: holds.iter().map(Signature::consent).collect(),
    })
}

/// Why a device that holds something else is left alone. `belongs`: what should be there, `made`: what is never written over it.
pub(super) fn occupied(
    resource: &ResourceId,
    node: &NodeName,
    device: &ClaimedDevice,
    belongs: &str,
    made: &str,
) -> Blocked {
    let held: Vec<String> = device.kept().iter().map(Signature::consent).collect();
    Blocked {
        resource: resource.clone(),
        node: Some(node.clone()),
        reason: format!("{} holds {}, not {belongs}", device.path, held.join(" and ")),
        advice: format!("see what it is; hactl {made} on a device that holds nothing only"),
    }
}

impl Resource for DeviceClaim {
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
        let mut steps = Steps::of(&self.id);
        let mut after = Vec::new();
        let mut diff = String::new();
        let mut words = Vec::new();
        if !device.recorded {
            let purpose = device.purpose.clone();
            let action = Action::ClaimDevice { purpose, entry: device.entry(&self.cluster) };
            after.push(steps.push(&self.node, "claim", action, &[]));
            steps.guard(guard(device, &device.found));
            diff.push_str(&format!("+{} ({}) for {}\n", device.path, device.identity, device.purpose));
            words.push(format!("claim {} for {}", device.identity, device.purpose));
        }
        if device.wipe && self.wipes {
            let mut signatures: Vec<String> = device.found.iter().map(Signature::consent).collect();
            signatures.sort();
            signatures.dedup();
            let lost = signatures.join(" and ");
            let action = Action::WipeSignatures { path: device.path.clone(), signatures };
            steps.push(&self.node, "wipe", action, &after);
            steps.guard(guard(device, &device.found));
            steps.risk(Risk::Destroys(format!("{lost} on {} ({})", device.identity, self.node)));
            diff.push_str(&format!("-{lost} on {}\n", device.path));
            words.push(format!("wipe {lost} on {}", device.path));
        }
        Ok(steps.change(words.join(", "), diff))
    }
}
