//! A volume that the cluster does not have yet: from two blank disks to a file system, whatever an earlier run left.

use std::collections::BTreeMap;
use std::time::Duration;

use super::replicated::{InitialSync, ReplicatedVolume};
use super::seen::{Inside, Side};
use crate::drbd::VolumeStatus;
use crate::facts::{Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, StepId, VolumeGoal, VolumeTarget, VolumeVerb};
use crate::resource::device_claim::guard;
use crate::resource::{Change, DiffContext, Steps};

/// How long two sides may take to find each other once both are up.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(120);

impl ReplicatedVolume {
    /// What the steps act on, on a member.
    pub(super) fn target(&self, node: &NodeName) -> VolumeTarget {
        let path = self.members.get(node).map(|device| device.path.clone()).unwrap_or_default();
        VolumeTarget { volume: self.volume.clone(), path }
    }

    /// A step of the engine's own.
    pub(super) fn verb(
        &self,
        steps: &mut Steps<'_>,
        node: &NodeName,
        verb: VolumeVerb,
        after: &[StepId],
    ) -> StepId {
        steps.push(node, verb.word(), Action::Volume { target: self.target(node), verb }, after)
    }

    /// The running kernel must have the module.
    pub(super) fn has_module(&self, node: &NodeName, context: &DiffContext<'_>) -> Result<(), Blocked> {
        let Observation::Text(None) = context.observed(node, &Query::DrbdModule) else { return Ok(()) };
        let kernel = context.facts.node(node).and_then(|facts| facts.kernel.known());
        let release = kernel.map_or("its kernel", |kernel| kernel.release.as_str());
        let reason = format!("the running kernel ({release}) has no module `drbd`");
        let advice = "boot a kernel that carries it: Debian's package linux-image-amd64 (or -arm64, …) has DRBD 8.4, and \
                      linux-image-cloud-amd64 too; or install drbd-dkms of LINBIT for DRBD 9. In a container the host's \
                      kernel counts: the barclamp `replica` needs no module";
        Err(self.blocked(Some(node), reason, advice))
    }

    /// Whether the plan writes the volume's file on this node first.
    pub(super) fn file_pending(&self, node: &NodeName, context: &DiffContext<'_>) -> bool {
        let file = self.volume.file();
        let id = crate::resource::ResourceId::on_node("file", &file, node);
        context.pending.contains(&id)
    }

    /// The side that decides what is on the volume, and whether it has data already.
    fn maker<'s>(&'s self, sides: &BTreeMap<&'s NodeName, Side>) -> Result<(&'s NodeName, bool), Blocked> {
        let data: Vec<&&NodeName> =
            sides.iter().filter(|(_, side)| side.has_data()).map(|(node, _)| node).collect();
        if data.is_empty() {
            return Ok((&self.founder, false));
        }
        let rank = |node: &&&NodeName| {
            let side = &sides[**node];
            let primary = side.status.as_ref().is_some_and(VolumeStatus::is_primary);
            (side.is_consistent(), primary, ***node == self.founder)
        };
        match data.iter().copied().max_by_key(rank).filter(|node| sides[*node].is_consistent()) {
            Some(node) => Ok((*node, true)),
            None => Err(self.blocked(
                None,
                "neither side has data that is complete: a first synchronisation broke off and its source is gone"
                    .to_owned(),
                "see the generations (`get-gi`) on both nodes; where nothing of it is needed, wipe the disks by `wipe` below \
                 `claims`",
            )),
        }
    }

    /// Everything that is still missing until Pacemaker can have it.
    pub(super) fn form(
        &self,
        sides: &BTreeMap<&NodeName, Side>,
        context: &DiffContext<'_>,
    ) -> Result<Change, Blocked> {
        let (maker, has_data) = self.maker(sides)?;
        let mut steps = Steps::of(&self.id);
        let mut words: Vec<String> = Vec::new();
        let up = self.bring_up(sides, context, &mut steps, &mut words);
        let connected =
            sides.values().all(|side| side.status.as_ref().is_some_and(VolumeStatus::is_connected));
        let mut after = up;
        if !connected || !after.is_empty() {
            let until = self.goal(VolumeGoal::Connected);
            after = vec![steps.push(maker, "connected", Action::wait(until, CONNECT_LIMIT), &after)];
        }
        let mut primary = sides[maker].status.as_ref().is_some_and(VolumeStatus::is_primary);
        if !has_data {
            after = vec![match self.initial_sync {
                InitialSync::Full => {
                    primary = true;
                    words.push(format!("copy {maker}'s disk to its peer"));
                    self.verb(&mut steps, maker, VolumeVerb::FirstSync, &after)
                }
                InitialSync::Skip => {
                    words.push("count both blank disks as equal".to_owned());
                    self.verb(&mut steps, maker, VolumeVerb::SkipFirstSync, &after)
                }
            }];
        }
        let inside = if has_data { self.inside(&sides[maker]) } else { Inside::Nothing };
        if let Some((fstype, uuid)) = &self.filesystem
            && !matches!(inside, Inside::Ours { .. })
        {
            if inside == Inside::Unknown {
                let reason = "what lies on the volume could not be read".to_owned();
                return Err(self.blocked(Some(maker), reason, "see why and run again"));
            }
            if !primary {
                after = vec![self.verb(&mut steps, maker, VolumeVerb::Primary, &after)];
                primary = true;
            }
            let unfinished = inside == Inside::Unfinished;
            let action = Action::MakeVolumeFilesystem {
                target: self.target(maker),
                fstype: *fstype,
                uuid: uuid.clone(),
                unfinished,
            };
            words.push(format!("make {} on {}", fstype.word(), self.device()));
            after = vec![steps.push(maker, "make-filesystem", action, &after)];
        }
        if primary {
            self.refuse_users(maker, &sides[maker])?;
            self.verb(&mut steps, maker, VolumeVerb::Secondary, &after);
        }
        if steps.is_empty() {
            return Ok(Change::None);
        }
        if words.is_empty() {
            words.push("bring it to where the cluster can have it".to_owned());
        }
        let diff: String = self
            .members
            .iter()
            .map(|(node, device)| {
                format!("+{} on {node}: {} ({})\n", self.device(), device.path, device.identity)
            })
            .collect();
        Ok(steps.change(format!("volume {}: {}", self.volume.name, words.join(", ")), diff))
    }

    /// Metadata where there is none, and both sides up.
    fn bring_up(
        &self,
        sides: &BTreeMap<&NodeName, Side>,
        context: &DiffContext<'_>,
        steps: &mut Steps<'_>,
        words: &mut Vec<String>,
    ) -> Vec<StepId> {
        let mut up = Vec::new();
        for (node, side) in sides {
            let mut after = Vec::new();
            if !side.has_metadata {
                after = self.create_metadata(steps, node, &[]);
                words.push(format!("make metadata on {node}"));
            }
            let standing =
                side.is_up() && side.observed.adjust.is_empty() && !self.file_pending(node, context);
            if !standing {
                up.push(self.verb(steps, node, VolumeVerb::Up, &after));
            }
        }
        up
    }

    /// The step that makes metadata on a blank disk.
    pub(super) fn create_metadata(
        &self,
        steps: &mut Steps<'_>,
        node: &NodeName,
        after: &[StepId],
    ) -> Vec<StepId> {
        let device = &self.members[node];
        let action = Action::CreateVolumeMetadata { target: self.target(node) };
        let id = steps.push(node, "create-metadata", action, after);
        steps.guard(guard(device, &[]));
        vec![id]
    }

    /// A condition of the volume.
    pub(super) fn goal(&self, goal: VolumeGoal) -> Check {
        Check::Volume { volume: self.volume.clone(), goal }
    }

    /// A device that somebody uses cannot be demoted.
    pub(super) fn refuse_users(&self, node: &NodeName, side: &Side) -> Result<(), Blocked> {
        if side.observed.users.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "{} is held open, so that it cannot be demoted: {}",
            self.device(),
            side.observed.users.join("; ")
        );
        let advice = "unmount it and stop what holds it, then run again (multipathd: take DRBD's devices out by \
                      `blacklist { devnode \"^drbd\" }` in /etc/multipath.conf)";
        Err(self.blocked(Some(node), reason, advice))
    }
}
