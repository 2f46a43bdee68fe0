//! Replicated volumes: from one entry of the attribute `volumes` to the resource that makes it.
//!
//! What a JSON Schema cannot say is checked here: numbers that two volumes share, options that DRBD or the engine does not have, nodes
//! and links that are not there, two Primaries without fencing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::bundle::Barclamp;
use super::claim_items::VolumeItem;
use super::context::with_role;
use super::error::BarclampError;
use super::expand::Instance;
use super::item::Kind;
use super::view::{ClusterView, NodeView};
use crate::claims::common_uuid;
use crate::drbd::{SectionName, unknown_option};
use crate::engine::{Engine, VolumeId};
use crate::names::{NodeName, RoleName};
use crate::plan::FilesystemType;
use crate::resource::{Discard, InitialSync, ReplicatedVolume, ResourceId};

/// The attribute that holds the volumes.
const VOLUMES: &str = "volumes";
/// The role that has disks for those that do not name their nodes.
const ROLE: &str = "volumes";
/// How many nodes have a disk for a volume.
const MEMBERS: usize = 2;

/// One volume, as the schema lets it be. What only templates need is not here.
#[derive(Debug, Clone, Deserialize)]
struct Volume {
    claim: Option<String>,
    nodes: Option<Vec<String>>,
    minor: u32,
    port: u16,
    link: Option<usize>,
    initial_sync: InitialSync,
    protocol: String,
    dual_primary: bool,
    mount: Option<Mount>,
    discard: Option<Discard>,
    net: BTreeMap<String, Value>,
    disk: BTreeMap<String, Value>,
    startup: BTreeMap<String, Value>,
    options: BTreeMap<String, Value>,
    handlers: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Mount {
    path: String,
    #[serde(rename = "type")]
    fstype: FilesystemType,
}

impl Volume {
    fn options(&self, section: SectionName) -> &BTreeMap<String, Value> {
        match section {
            SectionName::Net => &self.net,
            SectionName::Disk => &self.disk,
            SectionName::Startup => &self.startup,
            SectionName::Options => &self.options,
            SectionName::Handlers => &self.handlers,
        }
    }
}

/// All volumes of a barclamp.
fn all(instance: &Instance<'_>, cluster: &ClusterView) -> Result<BTreeMap<String, Volume>, BarclampError> {
    let attributes = cluster.barclamps.get(&instance.barclamp.manifest.name);
    let volumes = attributes.and_then(|attributes| attributes.get(VOLUMES)).cloned().unwrap_or_default();
    serde_json::from_value(volumes)
        .map_err(|error| instance.error(format!("the attribute `{VOLUMES}` cannot be understood: {error}")))
}

/// The volume as the plan has it.
pub(super) fn volume(
    instance: &Instance<'_>,
    item: &VolumeItem,
    cluster: &ClusterView,
) -> Result<ReplicatedVolume, BarclampError> {
    let name = instance.text(&item.name)?;
    let volumes = all(instance, cluster)?;
    let Some(volume) = volumes.get(&name) else {
        return Err(instance.error(format!("there is no volume `{name}`")));
    };
    let members = members(instance, volume, cluster).map_err(|why| instance.error(why))?;
    let wrong = shared_numbers(&name, volume, &volumes)
        .or_else(|| links(volume, &members))
        .or_else(|| options(item.engine, volume, &members))
        .or_else(|| two_primaries(volume, cluster))
        .or_else(|| discarded(volume, &members));
    if let Some(wrong) = wrong {
        return Err(instance.error(wrong));
    }
    let claim = volume.claim.as_deref().unwrap_or(&name);
    let mut devices = BTreeMap::new();
    for node in &members {
        let device = cluster
            .claims
            .get(&node.name, claim)
            .cloned()
            .ok_or_else(|| instance.error(format!("nothing is claimed as `{claim}` on {}", node.name)))?;
        devices.insert(node.name.clone(), device);
    }
    let first = members.first().map(|node| node.name.clone());
    let founder = Some(&cluster.founder).filter(|founder| devices.contains_key(*founder)).cloned().or(first);
    let founder = founder.ok_or_else(|| instance.error("no node has a disk for it"))?;
    let purpose = format!("{}:{name}", instance.barclamp.manifest.name);
    Ok(ReplicatedVolume {
        id: ResourceId::of_cluster("volume", &name, &cluster.name),
        requires: Vec::new(),
        cluster: cluster.name.clone(),
        nodes: cluster.node_names(),
        primitive: format!("{name}-{}", instance.barclamp.manifest.name),
        filesystem: volume.mount.as_ref().map(|mount| (mount.fstype, common_uuid(&cluster.name, &purpose))),
        mount: volume.mount.as_ref().map(|mount| mount.path.clone()),
        volume: VolumeId { engine: item.engine, name, minor: volume.minor },
        members: devices,
        founder,
        initial_sync: volume.initial_sync,
        discard: volume.discard.clone(),
    })
}

/// The nodes with a disk for it, in the cluster's order.
fn members<'v>(
    instance: &Instance<'_>,
    volume: &Volume,
    cluster: &'v ClusterView,
) -> Result<Vec<&'v NodeView>, String> {
    let named: BTreeSet<&str> = volume.nodes.iter().flatten().map(String::as_str).collect();
    if let Some(stranger) =
        named.iter().find(|name| !cluster.nodes.iter().any(|node| node.name.as_str() == **name))
    {
        return Err(format!("`nodes` names `{stranger}`, which is no node of the cluster"));
    }
    let role = RoleName::new(ROLE).map_err(|error| error.to_string())?;
    let with_role = with_role(instance.barclamp, cluster, &role);
    if let Some(without) = named.iter().find(|name| !with_role.contains(**name)) {
        return Err(format!("`nodes` names `{without}`, which does not have the role `{ROLE}`"));
    }
    let is_member = |node: &&NodeView| {
        if named.is_empty() { with_role.contains(&node.name) } else { named.contains(node.name.as_str()) }
    };
    let members: Vec<&NodeView> = cluster.nodes.iter().filter(is_member).collect();
    if members.len() == MEMBERS {
        return Ok(members);
    }
    let names: Vec<&str> = members.iter().map(|node| node.name.as_str()).collect();
    Err(format!(
        "a volume has a disk on exactly two nodes, and this one would have {} ({}): name them as `nodes`, or give the \
         role `{ROLE}` to two nodes",
        members.len(),
        names.join(", ")
    ))
}

/// Another volume with the same device or port.
fn shared_numbers(name: &str, volume: &Volume, all: &BTreeMap<String, Volume>) -> Option<String> {
    let others = || all.iter().filter(|(other, _)| *other != name);
    if let Some((other, _)) = others().find(|(_, other)| other.minor == volume.minor) {
        return Some(format!(
            "`minor: {}` is that of the volume `{other}` too: each needs one of its own",
            volume.minor
        ));
    }
    let (other, _) = others().find(|(_, other)| other.port == volume.port)?;
    Some(format!("`port: {}` is that of the volume `{other}` too: each needs one of its own", volume.port))
}

fn links(volume: &Volume, members: &[&NodeView]) -> Option<String> {
    let link = volume.link?;
    let node = members.iter().find(|node| node.links.len() < link)?;
    Some(format!("`link: {link}`, but {} has {} links", node.name, node.links.len()))
}

/// Options that DRBD or the engine does not have, and those that it would get twice.
fn options(engine: Engine, volume: &Volume, members: &[&NodeView]) -> Option<String> {
    for (name, instead) in [("protocol", "protocol"), ("allow-two-primaries", "dual_primary")] {
        if volume.net.contains_key(name) {
            return Some(format!("`net`: write `{instead}` beside `net` instead of `{name}` in it"));
        }
    }
    if volume.net.contains_key("fencing") {
        return Some(
            "`net`: write `fencing` in `disk`; where DRBD 9 wants it in `net`, it gets it there".to_owned(),
        );
    }
    for node in members {
        for section in SectionName::ALL {
            for name in volume.options(section).keys() {
                let wrong =
                    unknown_option(section, name, node.drbd).or_else(|| engine.missing_option(section, name));
                if let Some(wrong) = wrong {
                    return Some(format!("`{}`: {wrong}", section.word()));
                }
            }
        }
    }
    None
}

/// Two Primaries are for those who fence, and not for a file system that only one node may mount.
fn two_primaries(volume: &Volume, cluster: &ClusterView) -> Option<String> {
    if !volume.dual_primary {
        return None;
    }
    if volume.protocol != "C" {
        return Some(format!(
            "`dual_primary` needs `protocol: C`: under {} one side would not see what the other was told",
            volume.protocol
        ));
    }
    if volume.disk.get("fencing").and_then(Value::as_str) != Some("resource-and-stonith") {
        return Some("`dual_primary` needs `disk: { fencing: resource-and-stonith }`: without it, two nodes that lose \
                     each other both go on writing"
            .to_owned());
    }
    let fencing = cluster.barclamps.iter().find_map(|(_, attributes)| attributes.get("fencing"));
    if fencing.is_none_or(|fencing| fencing.get("disabled").is_some()) {
        return Some(
            "`dual_primary` needs a cluster that fences: this one has `fencing: { disabled: … }`".to_owned(),
        );
    }
    let mount = volume.mount.as_ref()?;
    Some(format!(
        "`dual_primary` and `mount`: {} can be mounted on one node at a time only, and would be destroyed at {}",
        mount.fstype.word(),
        mount.path
    ))
}

fn discarded(volume: &Volume, members: &[&NodeView]) -> Option<String> {
    let discard = volume.discard.as_ref()?;
    let known = members.iter().any(|node: &&NodeView| node.name == discard.node);
    (!known).then(|| format!("`discard` names {}, which has no disk for the volume", discard.node))
}

/// The engine of a barclamp's volumes, as its items have it.
fn engine_of(barclamp: &Barclamp) -> Option<Engine> {
    barclamp.items.iter().find_map(|item| match &item.kind {
        Kind::Volume(volume) => Some(volume.engine),
        _ => None,
    })
}

/// The volumes that a node has a disk for: what a check of replication looks at there.
pub(super) fn on_node(barclamp: &Barclamp, cluster: &ClusterView, node: &NodeName) -> BTreeSet<VolumeId> {
    let Some(engine) = engine_of(barclamp) else { return BTreeSet::new() };
    let attributes = cluster.barclamps.get(&barclamp.manifest.name);
    let volumes = attributes.and_then(|attributes| attributes.get(VOLUMES)).and_then(Value::as_object);
    let role = RoleName::new(ROLE).map(|role| with_role(barclamp, cluster, &role)).unwrap_or_default();
    let mut found = BTreeSet::new();
    for (name, volume) in volumes.into_iter().flatten() {
        let named = volume.get("nodes").and_then(Value::as_array);
        let has = named.map_or_else(
            || role.contains(node),
            |nodes| nodes.iter().any(|one| one.as_str() == Some(node.as_str())),
        );
        let minor = volume.get("minor").and_then(Value::as_u64).and_then(|minor| u32::try_from(minor).ok());
        if let (true, Some(minor)) = (has, minor) {
            found.insert(VolumeId { engine, name: name.clone(), minor });
        }
    }
    found
}
