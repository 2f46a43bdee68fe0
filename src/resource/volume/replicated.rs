//! A replicated volume, whatever the engine.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::seen::{Inside, Side};
use crate::claims::ClaimedDevice;
use crate::engine::VolumeId;
use crate::facts::{ClusterQuery, Query, Signature};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Blocked, FilesystemType};
use crate::resource::{Change, DiffContext, Resource, ResourceId};

/// How the first data comes to both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialSync {
    /// The founder's disk is copied to the peer.
    Full,
    /// Two disks that were never used count as equal.
    Skip,
}

/// Whose changes are given up after a split brain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Discard {
    /// The node that loses them.
    pub node: NodeName,
    /// The current generation of its data: consent to lose that, and nothing that came later.
    pub generation: String,
}

/// A volume on the claimed devices of two nodes.
#[derive(Debug, Clone)]
pub struct ReplicatedVolume {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// Which cluster.
    pub cluster: ClusterName,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<NodeName>,
    /// Which volume.
    pub volume: VolumeId,
    /// Its two nodes with their devices.
    pub members: BTreeMap<NodeName, ClaimedDevice>,
    /// The member that decides when neither side has data.
    pub founder: NodeName,
    /// The cluster's primitive that brings it up and promotes it.
    pub primitive: String,
    /// The file system on it, with its UUID.
    pub filesystem: Option<(FilesystemType, String)>,
    /// Where that is mounted.
    pub mount: Option<String>,
    /// How the first data comes to both sides.
    pub initial_sync: InitialSync,
    /// Whose changes are given up after a split brain.
    pub discard: Option<Discard>,
}

impl ReplicatedVolume {
    /// The path of its device.
    pub(super) fn device(&self) -> String {
        self.volume.device()
    }

    /// The member that is not this one.
    pub(super) fn peer<'s>(&'s self, node: &NodeName) -> Option<&'s NodeName> {
        self.members.keys().find(|other| *other != node)
    }

    /// What must not be: a disk that holds something else, two volumes in one place, data that nobody knows.
    fn refuse(&self, sides: &BTreeMap<&NodeName, Side>) -> Result<(), Blocked> {
        for (node, side) in sides {
            let device = &self.members[*node];
            self.refuse_foreign(node, device, side)?;
            if let Some(name) = side.observed.other_at(&self.volume) {
                let reason = format!("{} is the device of the resource `{name}`", self.device());
                let advice = format!("give `{}` another `minor`, or take `{name}` down", self.volume.name);
                return Err(self.blocked(Some(node), reason, advice));
            }
            if let Inside::Other(what) = self.inside(side) {
                let reason = format!("the volume holds {what}, which hactl did not make");
                let advice = "see what it is; hactl makes a file system on a volume that holds nothing only";
                return Err(self.blocked(Some(node), reason, advice));
            }
        }
        self.refuse_sizes(sides)
    }

    /// A file system without metadata behind it is not on the volume, it is in its way.
    fn refuse_foreign(&self, node: &NodeName, device: &ClaimedDevice, side: &Side) -> Result<(), Blocked> {
        if side.has_metadata || device.kept().is_empty() {
            return Ok(());
        }
        let held: Vec<String> = device.kept().iter().map(Signature::consent).collect();
        let reason =
            format!("{} holds {}, and no metadata of a replicated volume", device.path, held.join(" and "));
        let advice = "see what it is; hactl makes a volume on a device that holds nothing only";
        Err(self.blocked(Some(node), reason, advice))
    }

    /// A disk that came new must have room for what the other side has.
    fn refuse_sizes(&self, sides: &BTreeMap<&NodeName, Side>) -> Result<(), Blocked> {
        let usable = |disk| self.volume.engine.usable_bytes(disk);
        for (node, side) in sides.iter().filter(|(_, side)| !side.has_data()) {
            let Some(peer) = self.peer(node) else { continue };
            let needed = sides
                .get(peer)
                .filter(|peer| peer.has_data())
                .and_then(|side| side.observed.volume_bytes(&self.volume));
            let (Some(needed), Some(has)) = (needed, side.observed.disk_bytes) else { continue };
            if usable(has) < needed {
                let reason = format!(
                    "its disk has room for {} bytes, and the volume, which {peer} holds, has {needed}",
                    usable(has)
                );
                return Err(self.blocked(
                    Some(node),
                    reason,
                    format!("claim a disk as large as that of {peer}"),
                ));
            }
        }
        Ok(())
    }
}

impl Resource for ReplicatedVolume {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        let cib = self.nodes.iter().map(|node| (node.clone(), Query::Cluster(ClusterQuery::Cib)));
        let volume = self.members.keys().filter_map(|node| Some((node.clone(), self.query(node)?)));
        let with_module = self.members.keys().filter(|_| self.volume.engine.needs_module());
        let module = with_module.map(|node| (node.clone(), Query::DrbdModule));
        cib.chain(volume).chain(module).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        for node in self.members.keys().filter(|_| self.volume.engine.needs_module()) {
            self.has_module(node, context)?;
        }
        let managed = self.is_managed(context)?;
        let sides = self.sides(context)?;
        self.refuse(&sides)?;
        if let Some(change) = self.resolve_split(&sides)? {
            return Ok(change);
        }
        if managed { self.maintain(&sides, context) } else { self.form(&sides, context) }
    }
}
