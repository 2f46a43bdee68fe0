//! What was seen of a volume on one of its nodes.

use std::collections::BTreeMap;

use super::replicated::ReplicatedVolume;
use crate::cib::{Cib, Section};
use crate::drbd::{Generations, Head, Observed, VolumeStatus};
use crate::facts::{ClusterQuery, Observation, Query, VolumeQuery};
use crate::names::NodeName;
use crate::plan::{Blocked, UNFINISHED_LABEL};
use crate::resource::DiffContext;

/// How libblkid and hactl call the metadata, which is DRBD's whatever the engine.
const METADATA: &str = "drbd";

/// One side of a volume.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// Everything that the probe told.
    pub(super) observed: Observed,
    /// Whether there is metadata on the disk.
    pub(super) has_metadata: bool,
    /// Its state, where it is up.
    pub(super) status: Option<VolumeStatus>,
}

impl Side {
    /// The generations of its data; `None` without metadata, or where they could not be read.
    pub(super) fn generations(&self) -> Option<&Generations> {
        self.observed.generations.as_ref()
    }

    /// Whether it has data: metadata that is not new.
    pub(super) fn has_data(&self) -> bool {
        self.has_metadata && self.generations().is_none_or(|generations| !generations.just_created())
    }

    /// Whether its data can be worked with by itself: consistent, as the metadata or the engine says.
    pub(super) fn is_consistent(&self) -> bool {
        let up_to_date = self.status.as_ref().is_some_and(VolumeStatus::is_up_to_date);
        up_to_date
            || (self.has_data() && self.generations().is_some_and(|generations| generations.consistent))
    }

    /// Whether its engine has the disk.
    pub(super) fn is_up(&self) -> bool {
        self.status.as_ref().is_some_and(VolumeStatus::is_attached)
    }
}

/// What lies on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inside {
    /// Nothing that is known; only then it may be made.
    Nothing,
    /// What hactl began to make and did not complete.
    Unfinished,
    /// What belongs there.
    Ours {
        /// Its size in bytes.
        bytes: u64,
    },
    /// Something else, in words.
    Other(String),
    /// It could not be read.
    Unknown,
}

impl ReplicatedVolume {
    /// What is asked about it on a member.
    pub(super) fn query(&self, node: &NodeName) -> Option<Query> {
        let device = self.members.get(node)?.path.clone();
        Some(Query::Volume(VolumeQuery { volume: self.volume.clone(), device: Some(device) }))
    }

    /// What was seen on each member.
    pub(super) fn sides(&self, context: &DiffContext<'_>) -> Result<BTreeMap<&NodeName, Side>, Blocked> {
        let mut sides = BTreeMap::new();
        for (node, device) in &self.members {
            let Some(query) = self.query(node) else { continue };
            let text = match context.observed(node, &query) {
                Observation::Text(Some(text)) => text,
                Observation::Unknown(why) => {
                    let reason = format!(
                        "what {} says of `{}` could not be learned: {why}",
                        self.volume.engine.title(),
                        self.volume
                    );
                    return Err(self.blocked(Some(node), reason, "see why and run again"));
                }
                _ => {
                    let reason = format!("`{}` was not looked at as a volume", self.volume);
                    return Err(self.blocked(Some(node), reason, "this is a defect of hactl"));
                }
            };
            let observed = Observed::parse(&text);
            let has_metadata =
                device.kept().iter().any(|found| found.kind == METADATA) || observed.generations.is_some();
            let status = observed.status(&self.volume).cloned();
            sides.insert(node, Side { observed, has_metadata, status });
        }
        Ok(sides)
    }

    /// Whether the cluster has the volume: then Pacemaker alone brings it up and promotes it.
    pub(super) fn is_managed(&self, context: &DiffContext<'_>) -> Result<bool, Blocked> {
        let query = Query::Cluster(ClusterQuery::Cib);
        for node in &self.nodes {
            match context.seen(node, &query) {
                Some(Observation::Text(Some(text))) => {
                    let cib = Cib::parse(text).map_err(|error| {
                        let reason = format!("the CIB cannot be understood: {error}");
                        self.blocked(Some(node), reason, "see `cibadmin --query`")
                    })?;
                    let resources = cib.section(Section::Resources);
                    let known = resources.is_some_and(|resources| {
                        resources
                            .walk()
                            .any(|one| one.name == "primitive" && one.id() == Some(self.primitive.as_str()))
                    });
                    if known {
                        return Ok(true);
                    }
                }
                Some(Observation::Unknown(why)) => {
                    let reason = format!("whether the cluster has the volume could not be learned: {why}");
                    return Err(self.blocked(Some(node), reason, "see `cibadmin --query` on the node"));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// What lies on the volume, by the first bytes of a side's disk.
    pub(super) fn inside(&self, side: &Side) -> Inside {
        let Some((wanted, wanted_uuid)) = &self.filesystem else { return Inside::Unknown };
        match &side.observed.head {
            Head::Unknown => Inside::Unknown,
            Head::Nothing { .. } => Inside::Nothing,
            Head::Filesystem { kind, uuid, label, bytes } => {
                let ours = *kind == wanted.word() && uuid == wanted_uuid;
                match (ours, label == UNFINISHED_LABEL) {
                    (true, true) => Inside::Unfinished,
                    (true, false) => Inside::Ours { bytes: *bytes },
                    (false, _) => Inside::Other(format!("{kind}/{uuid}")),
                }
            }
        }
    }

    /// A refusal.
    pub(super) fn blocked(
        &self,
        node: Option<&NodeName>,
        reason: String,
        advice: impl Into<String>,
    ) -> Blocked {
        Blocked { resource: self.id.clone(), node: node.cloned(), reason, advice: advice.into() }
    }
}
