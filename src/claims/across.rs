//! What must hold between the nodes of a cluster: two nodes never write to one device by accident, and share one only
//! where that is meant.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use super::request::Across;
use super::resolve::Chosen;
use crate::facts::StableId;
use crate::inventory::ByteSize;

/// Most by which the largest of devices that replicate each other may exceed the smallest, in percent, when hactl chose
/// one of them: more is a sign of the wrong disk.
const MAX_REPLICA_DIFFERENCE_PERCENT: u64 = 10;

/// Keeps the devices that hold against those of the other nodes.
pub(super) fn check(chosen: &mut Vec<Chosen<'_>>, refusals: &mut Vec<Refusal>) {
    let mut wrong: Vec<Option<Refusal>> = Vec::with_capacity(chosen.len());
    for one in chosen.iter() {
        let others: Vec<&Chosen<'_>> = chosen.iter().filter(|other| other.node != one.node).collect();
        let against = used_elsewhere(one, &others)
            .or_else(|| not_the_same(one, &others))
            .or_else(|| unlike(one, &others))
            .or_else(|| still_against(one, &others));
        wrong.push(against);
    }
    let mut wrong = wrong.into_iter();
    chosen.retain(|_| match wrong.next() {
        Some(Some(refusal)) => {
            refusals.push(refusal);
            false
        }
        _ => true,
    });
}

fn refuse(one: &Chosen<'_>, reason: String, advice: &str) -> Option<Refusal> {
    Some(Refusal {
        node: one.node.clone(),
        purpose: one.request.purpose.clone(),
        reason,
        advice: advice.to_owned(),
    })
}

/// Whether an identity means the same device on every node. A place and a bare name say nothing across nodes.
fn is_global(identity: &StableId) -> bool {
    matches!(identity, StableId::Wwn { .. } | StableId::Serial { .. })
}

fn shares(one: &Chosen<'_>, other: &Chosen<'_>) -> bool {
    one.request.across == Across::Shared && one.request.purpose == other.request.purpose
}

/// The same device on another node, for anything but the purpose that shares it.
fn used_elsewhere(one: &Chosen<'_>, others: &[&Chosen<'_>]) -> Option<Refusal> {
    let identity = &one.device.identity;
    let other = others
        .iter()
        .find(|other| is_global(identity) && other.device.identity == *identity && !shares(one, other))?;
    let reason = format!(
        "{} ({identity}) is the same device as the one for `{}` on {}",
        one.device.path, other.request.purpose, other.node
    );
    refuse(
        one,
        reason,
        "claim a device of the node's own: the same identity on two nodes is one shared disk (or two virtual disks \
         that were given the same serial number: give them different ones)",
    )
}

/// A shared purpose whose devices are, or may be, several.
fn not_the_same(one: &Chosen<'_>, others: &[&Chosen<'_>]) -> Option<Refusal> {
    if one.request.across != Across::Shared {
        return None;
    }
    let identity = &one.device.identity;
    let peers = || others.iter().filter(|other| other.request.purpose == one.request.purpose);
    if peers().next().is_some() && !is_global(identity) {
        let reason = format!(
            "{} is known by its place only ({identity}): that it is the same disk on all nodes cannot be told",
            one.device.path
        );
        return refuse(one, reason, "claim a disk with a world wide name or a serial number");
    }
    let other = peers().find(|other| {
        other.device.identity != *identity || other.device.size_bytes != one.device.size_bytes
    })?;
    let reason = format!(
        "it must be the same disk on all nodes, but here it is {} ({identity}, {}) and on {} {} ({}, {})",
        one.device.path,
        ByteSize(one.device.size_bytes),
        other.node,
        other.device.path,
        other.device.identity,
        ByteSize(other.device.size_bytes),
    );
    refuse(one, reason, "claim the shared disk on every node, by its world wide name")
}

/// Replicas of sizes that do not go together, where it was not the inventory that chose them all.
fn unlike(one: &Chosen<'_>, others: &[&Chosen<'_>]) -> Option<Refusal> {
    if one.request.across != Across::Replicas {
        return None;
    }
    let mut all: BTreeMap<_, _> = others
        .iter()
        .filter(|other| other.request.purpose == one.request.purpose)
        .map(|other| (&other.node, (other.device.size_bytes, other.explicit)))
        .collect();
    all.insert(&one.node, (one.device.size_bytes, one.explicit));
    if all.values().all(|(_, explicit)| *explicit) {
        return None;
    }
    let smallest = all.values().map(|(size, _)| *size).min()?;
    let largest = all.values().map(|(size, _)| *size).max()?;
    let limit = smallest.saturating_add(smallest / 100 * MAX_REPLICA_DIFFERENCE_PERCENT);
    if largest <= limit {
        return None;
    }
    let sizes: Vec<String> =
        all.iter().map(|(node, (size, _))| format!("{node} {}", ByteSize(*size))).collect();
    refuse(
        one,
        format!("the devices that are to replicate each other are of different sizes: {}", sizes.join(", ")),
        "name the devices of all nodes below `claims` if that is meant: the smallest decides",
    )
}

/// A shared device that is not free here stays refused, unless another node of the cluster has claimed it already: then
/// what is on it is ours.
fn still_against(one: &Chosen<'_>, others: &[&Chosen<'_>]) -> Option<Refusal> {
    let against = one.provided.as_ref()?;
    let known = others.iter().any(|other| {
        other.ours
            && shares(one, other)
            && other.device.identity == one.device.identity
            && other.device.found == one.device.found
            && !other.device.wipe
    });
    (!known).then(|| against.clone())
}
