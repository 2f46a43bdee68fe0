//! A volume that the cluster has: Pacemaker brings it up and promotes it; what is left is a disk that came new, options
//! that changed, and disks that grew.

use std::collections::BTreeMap;

use super::form::CONNECT_LIMIT;
use super::replicated::ReplicatedVolume;
use super::seen::{Inside, Side};
use crate::drbd::VolumeStatus;
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, Risk, VolumeGoal, VolumeVerb};
use crate::resource::{Change, DiffContext, SETTLE_LIMIT, Steps};

/// What a volume must be able to grow by, in bytes, before it is worth it: less is how metadata is laid out.
const GROWTH_BYTES: u64 = 1024 * 1024;
/// How much a file system may leave of its device, in bytes: mke2fs(8) and resize2fs(8) drop a last group that is too small.
const FILESYSTEM_SLACK_BYTES: u64 = 16 * 1024 * 1024;

impl ReplicatedVolume {
    /// What is to be done about a volume that Pacemaker runs.
    pub(super) fn maintain(
        &self,
        sides: &BTreeMap<&NodeName, Side>,
        context: &DiffContext<'_>,
    ) -> Result<Change, Blocked> {
        let mut steps = Steps::of(&self.id);
        let mut words: Vec<String> = Vec::new();
        let mut diff = String::new();
        let mut changed: Vec<&NodeName> = Vec::new();
        for (node, side) in sides {
            let taken_over = side.status.is_some() || side.has_data();
            if !side.has_metadata || !taken_over {
                self.replace_disk(&mut steps, sides, node)?;
                words.push(format!("take {node}'s new disk"));
                diff.push_str(&format!("+metadata on {} ({node})\n", self.members[*node].path));
            } else if side.status.is_some()
                && (!side.observed.adjust.is_empty() || self.file_pending(node, context))
            {
                changed.push(*node);
                words.push(format!("take over what changed on {node}"));
                side.observed.adjust.iter().for_each(|verb| diff.push_str(&format!("~{node}: {verb}\n")));
            }
        }
        if self.volume.engine.adjusts_in_use() {
            for node in changed {
                self.verb(&mut steps, node, VolumeVerb::Adjust, &[]);
            }
        } else {
            self.restart(&mut steps, sides, &changed);
        }
        if steps.is_empty() {
            self.grow(&mut steps, sides, &mut words, &mut diff);
        }
        Ok(steps.change(format!("volume {}: {}", self.volume.name, words.join(", ")), diff))
    }

    /// An engine that reads its options when it starts is started anew: a Secondary alone, a Primary by the cluster, with both
    /// sides and what runs on the volume.
    fn restart(&self, steps: &mut Steps<'_>, sides: &BTreeMap<&NodeName, Side>, nodes: &[&NodeName]) {
        let is_primary =
            |node: &&&NodeName| sides[**node].status.as_ref().is_some_and(VolumeStatus::is_primary);
        if let Some(primary) = nodes.iter().find(is_primary) {
            self.verb(steps, primary, VolumeVerb::Adjust, &[]);
            steps.risk(Risk::Disruptive(vec![format!("volume {} with what runs on it", self.volume)]));
            return;
        }
        for node in nodes {
            self.verb(steps, node, VolumeVerb::Adjust, &[]);
        }
    }

    /// New metadata on the one side that has none; the other one's data then flows to it.
    fn replace_disk(
        &self,
        steps: &mut Steps<'_>,
        sides: &BTreeMap<&NodeName, Side>,
        node: &NodeName,
    ) -> Result<(), Blocked> {
        let peer = self.peer(node).filter(|peer| sides.get(peer).is_some_and(Side::is_consistent));
        let Some(peer) = peer else {
            let reason = "its disk has no metadata, and the peer has no data that is complete".to_owned();
            let advice = "bring back the disk that holds the data; where there is none, take the volume out of the \
                          inventory, apply, and put it in again";
            return Err(self.blocked(Some(node), reason, advice));
        };
        let side = &sides[node];
        // A start that Pacemaker has begun fails without metadata, and takes down what was brought up meanwhile.
        let settled = steps.push(peer, "settle", Action::wait(Check::Settled, SETTLE_LIMIT), &[]);
        let mut last = vec![settled];
        if !side.has_metadata {
            last = self.create_metadata(steps, node, &last);
        }
        if side.status.is_some() {
            last = vec![self.verb(steps, node, VolumeVerb::Up, &last)];
        }
        // Where the volume is down, it is Pacemaker that brings it up, once it forgets that it could not.
        let action = Action::CleanupResource { resource: self.primitive.clone(), target: node.clone() };
        let asked = steps.push(peer, "cleanup", action, &last);
        let wait = Action::wait(self.goal(VolumeGoal::Connected), CONNECT_LIMIT);
        steps.push(peer, "connected", wait, &[asked]);
        Ok(())
    }

    /// A volume both of whose disks have grown, and then its file system.
    fn grow(
        &self,
        steps: &mut Steps<'_>,
        sides: &BTreeMap<&NodeName, Side>,
        words: &mut Vec<String>,
        diff: &mut String,
    ) {
        let whole = sides.values().all(|side| side.status.as_ref().is_some_and(VolumeStatus::is_in_sync));
        let primary =
            sides.iter().find(|(_, side)| side.status.as_ref().is_some_and(VolumeStatus::is_primary));
        let (true, Some((node, side))) = (whole, primary) else { return };
        let room = sides
            .values()
            .map(|side| side.observed.disk_bytes.map_or(0, |bytes| self.volume.engine.usable_bytes(bytes)))
            .min()
            .unwrap_or(0);
        let Some(has) = side.observed.volume_bytes(&self.volume) else { return };
        let mut after = Vec::new();
        let grows = room.saturating_sub(has) >= GROWTH_BYTES;
        if grows {
            after.push(self.verb(steps, node, VolumeVerb::Resize, &[]));
            words.push("grow it to its disks".to_owned());
            diff.push_str(&format!("-{has} bytes\n+{room} bytes\n"));
        }
        let will_have = if grows { room } else { has };
        let (Some((fstype, _)), Some(mount)) = (&self.filesystem, &self.mount) else { return };
        if let Inside::Ours { bytes } = self.inside(side)
            && will_have.saturating_sub(bytes) >= FILESYSTEM_SLACK_BYTES
        {
            let action = Action::GrowVolumeFilesystem {
                target: self.target(node),
                fstype: *fstype,
                mount: mount.clone(),
            };
            steps.push(node, "grow-filesystem", action, &after);
            words.push(format!("grow its {}", fstype.word()));
            diff.push_str(&format!("-{} of {bytes} bytes\n", fstype.word()));
        }
    }
}
