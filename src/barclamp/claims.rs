//! What barclamps need block devices for, and what they put on them.
//!
//! Needs are worked out first, from the inventory alone; they are resolved against what was seen of the nodes; then
//! everything else is rendered and may name the devices. In: barclamps and a cluster. Out: the needs; later, the
//! declarations that stand on a device.

use std::collections::{BTreeMap, BTreeSet};

use super::claim_items::{AcrossWord, ClaimItem, FilesystemItem, SbdHeaderItem};
use super::error::BarclampError;
use super::expand::{Instance, instances_of};
use super::item::Kind;
use super::order::in_use;
use super::registry::Registry;
use super::view::ClusterView;
use crate::claims::{Across, ClaimRequest, ClaimedDevice, Expectation};
use crate::inventory::ByteSize;
use crate::names::{NodeName, RoleName};
use crate::plan::FilesystemType;
use crate::resource::{DeviceClaim, Filesystem, ResourceId, SbdHeader};

/// Longest name of a purpose in bytes.
const MAX_PURPOSE_BYTES: usize = 128;

/// The devices that the barclamps in use need on the nodes of a cluster, by purpose.
///
/// # Errors
/// Barclamps that are missing, texts that cannot be rendered, needs that contradict each other.
pub fn claim_requests(
    registry: &Registry,
    cluster: &ClusterView,
) -> Result<Vec<ClaimRequest>, Vec<BarclampError>> {
    let mut requests: BTreeMap<String, ClaimRequest> = BTreeMap::new();
    let mut errors = Vec::new();
    for barclamp in in_use(registry, cluster)? {
        let claims = match instances_of(barclamp, cluster, |kind| matches!(kind, Kind::Claim(_))) {
            Ok(claims) => claims,
            Err(more) => {
                errors.extend(more);
                continue;
            }
        };
        for instance in &claims {
            if let Err(error) = add(instance, &mut requests) {
                errors.push(error);
            }
        }
    }
    if errors.is_empty() { Ok(requests.into_values().collect()) } else { Err(errors) }
}

fn add(instance: &Instance<'_>, requests: &mut BTreeMap<String, ClaimRequest>) -> Result<(), BarclampError> {
    let (Kind::Claim(item), Some(node)) = (&instance.item.kind, instance.node) else { return Ok(()) };
    let one = request(instance, item, &node.name)?;
    let rival = requests.values().find(|other| {
        other.claim == one.claim && other.purpose != one.purpose && other.nodes.contains(&node.name)
    });
    if let Some(rival) = rival {
        let message = format!(
            "the claim `{}` is for `{}` and for `{}`: one device serves one purpose",
            one.claim, rival.purpose, one.purpose
        );
        return Err(instance.error(message));
    }
    let Some(known) = requests.get_mut(&one.purpose) else {
        requests.insert(one.purpose.clone(), one);
        return Ok(());
    };
    if known.nodes.contains(&node.name) {
        return Err(instance.error(format!("the purpose `{}` is asked for twice", one.purpose)));
    }
    let like = ClaimRequest { nodes: one.nodes.clone(), ..known.clone() };
    if like != one {
        return Err(instance.error(format!("the purpose `{}` is not the same on all nodes", one.purpose)));
    }
    known.nodes.extend(one.nodes);
    Ok(())
}

fn request(
    instance: &Instance<'_>,
    item: &ClaimItem,
    node: &NodeName,
) -> Result<ClaimRequest, BarclampError> {
    let claim = claim_name(instance, &item.name)?;
    let purpose = instance.text(&item.purpose)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':');
    if purpose.is_empty() || purpose.len() > MAX_PURPOSE_BYTES || !purpose.chars().all(plain) {
        let rule = "letters, digits, `-`, `_` and `:`";
        return Err(instance.error(format!("`{purpose}` cannot be the name of a purpose: use {rule}")));
    }
    let minimum_size = instance.text(&item.minimum_size)?;
    let minimum: ByteSize = minimum_size.parse().map_err(|error| instance.error(format!("{error}")))?;
    let mut expects = Vec::with_capacity(item.expects.len());
    for expected in &item.expects {
        let kind = instance.text(&expected.kind)?;
        expects.push(Expectation { kind, uuid: expected.uuid.into() });
    }
    let across = match item.across {
        AcrossWord::Own => Across::Own,
        AcrossWord::Replicas => Across::Replicas,
        AcrossWord::Shared => Across::Shared,
    };
    let nodes = BTreeSet::from([node.clone()]);
    Ok(ClaimRequest { purpose, claim, nodes, across, minimum_bytes: minimum.0, expects })
}

/// The name of a claim, under the rules of the inventory.
fn claim_name(instance: &Instance<'_>, text: &str) -> Result<String, BarclampError> {
    let name = instance.text(text)?;
    match RoleName::new(name.clone()) {
        Ok(_) => Ok(name),
        Err(error) => Err(instance.error(format!("`{name}` cannot be the name of a claim: {}", error.why))),
    }
}

/// The device that was claimed under this name on a node.
fn device(
    instance: &Instance<'_>,
    text: &str,
    node: &NodeName,
    cluster: &ClusterView,
) -> Result<ClaimedDevice, BarclampError> {
    let claim = claim_name(instance, text)?;
    cluster.claims.get(node, &claim).cloned().ok_or_else(|| {
        instance
            .error(format!("nothing is claimed as `{claim}` on {node}: an item of kind `claim` is missing"))
    })
}

/// The claim itself: its entry in the node's ledger, and the end of what the inventory gives up.
pub(super) fn claim(
    instance: &Instance<'_>,
    item: &ClaimItem,
    node: NodeName,
    cluster: &ClusterView,
) -> Result<DeviceClaim, BarclampError> {
    let device = device(instance, &item.name, &node, cluster)?;
    // What a shared disk holds is given up once, by the node that also writes to it first.
    let wipes = item.across != AcrossWord::Shared || node == cluster.founder;
    Ok(DeviceClaim {
        id: ResourceId::on_node("claim", &device.purpose, &node),
        requires: Vec::new(),
        node,
        cluster: cluster.name.clone(),
        device,
        wipes,
    })
}

/// A file system on a claimed device.
pub(super) fn filesystem(
    instance: &Instance<'_>,
    item: &FilesystemItem,
    node: NodeName,
    cluster: &ClusterView,
) -> Result<Filesystem, BarclampError> {
    let device = device(instance, &item.claim, &node, cluster)?;
    let word = instance.text(&item.fstype)?;
    let fstype = FilesystemType::of(&word).ok_or_else(|| {
        instance.error(format!("`{word}` is not a file system that hactl makes: ext4 or xfs"))
    })?;
    let id = ResourceId::on_node("filesystem", &device.claim, &node);
    Ok(Filesystem { id, requires: Vec::new(), node, device, fstype })
}

/// SBD's header on a device that all nodes share.
pub(super) fn sbd_header(
    instance: &Instance<'_>,
    item: &SbdHeaderItem,
    cluster: &ClusterView,
) -> Result<SbdHeader, BarclampError> {
    let device = device(instance, &item.claim, &cluster.founder, cluster)?;
    let seconds = |text: &str| -> Result<u32, BarclampError> {
        let text = instance.text(text)?;
        text.parse().map_err(|_| instance.error(format!("`{text}` is not a number of seconds")))
    };
    Ok(SbdHeader {
        id: ResourceId::of_cluster("sbd", &device.claim, &cluster.name),
        requires: Vec::new(),
        founder: cluster.founder.clone(),
        device,
        watchdog_timeout_s: seconds(&item.watchdog_timeout_s)?,
        msgwait_timeout_s: seconds(&item.msgwait_timeout_s)?,
    })
}
