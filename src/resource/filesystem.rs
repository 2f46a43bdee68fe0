//! A file system on a claimed device.

use super::device_claim::{guard, occupied};
use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::claims::ClaimedDevice;
use crate::facts::{Query, Signature};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, FilesystemType, UNFINISHED_LABEL};

/// A file system that is made once, on a device that holds nothing. Where and whether it is mounted is a unit's matter.
#[derive(Debug, Clone)]
pub struct Filesystem {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// The device that was claimed for it.
    pub device: ClaimedDevice,
    /// Which.
    pub fstype: FilesystemType,
}

impl Filesystem {
    /// Whether what was found is the file system that hactl makes here.
    fn is_ours(&self, found: &Signature) -> bool {
        found.kind == self.fstype.word() && found.uuid.as_deref() == Some(self.device.uuid.as_str())
    }
}

impl Resource for Filesystem {
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
        let mut steps = Steps::of(&self.id);
        let mut after = Vec::new();
        if !kept.is_empty() {
            if !kept.iter().all(|found| self.is_ours(found)) {
                let belongs = format!("the {} that belongs there", self.fstype.word());
                return Err(occupied(&self.id, &self.node, device, &belongs, "makes a file system"));
            }
            if !kept.iter().any(|found| found.label.as_deref() == Some(UNFINISHED_LABEL)) {
                return Ok(Change::None);
            }
            // Our own, and an earlier run was killed while it made it: nothing was ever kept in it.
            let mut signatures: Vec<String> = kept.iter().map(Signature::consent).collect();
            signatures.dedup();
            let action = Action::WipeSignatures { path: device.path.clone(), signatures };
            after.push(steps.push(&self.node, "wipe-unfinished", action, &[]));
            steps.guard(guard(device, kept));
        }
        let action = Action::MakeFilesystem {
            path: device.path.clone(),
            fstype: self.fstype,
            uuid: device.uuid.clone(),
        };
        steps.push(&self.node, "make", action, &after);
        steps.guard(guard(device, &[]));
        let diff = format!("+{} on {} ({})\n", self.fstype.word(), device.path, device.identity);
        Ok(steps.change(format!("make {} on {}", self.fstype.word(), device.path), diff))
    }
}
