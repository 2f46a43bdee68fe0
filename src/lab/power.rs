//! Cutting a node's power and restoring it.
//!
//! In: a record, a node. Out: a node that is off like a machine without power (what it had not synced is lost, its
//! network is dead, nothing of it runs for another instant), or one that boots. Each is done under the node's power lock.

use std::fs;
use std::time::Duration;

use rand::RngCore;

use super::cgroup::{Group, Hierarchies};
use super::error::LabError;
use super::faults;
use super::fence_wire::hex;
use super::lock::{Lock, Mode};
use super::machine::machine;
use super::network;
use super::record::{LabNode, LabPaths, LabRecord, replace};

/// Longest wait for another power operation on the same node.
const POWER_LOCK_LIMIT: Duration = Duration::from_secs(60);

/// Whether a node has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It runs, or is frozen.
    On,
    /// It has power and does not run yet: its firmware is at work.
    Starting,
    /// Nothing of it runs.
    Off,
}

impl Power {
    /// What a fence device calls it.
    pub(crate) fn outlet(self) -> &'static str {
        match self {
            Self::On | Self::Starting => "on",
            Self::Off => "off",
        }
    }
}

/// The control group of a node.
pub(crate) fn group(lab: &LabRecord, node: &LabNode) -> Result<Group, LabError> {
    Ok(Hierarchies::find()?.group(&lab.name.object(&node.name)))
}

/// Whether the node has power.
pub(crate) fn state(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<Power, LabError> {
    Ok(if group(lab, node)?.is_populated() {
        Power::On
    } else if paths.node(&node.name).starting().exists() {
        Power::Starting
    } else {
        Power::Off
    })
}

/// Restores a node's power; nothing happens when it is on. Does not wait for its services.
pub(crate) fn on(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let _lock = lock(node, paths)?;
    forget_start(node, paths)?;
    start(lab, node, paths)
}

/// Cuts a node's power and restores it; the node then spends `boot_delay` in its firmware. Returns a word for
/// [`finish_reboot`], which somebody has to call after that time; nothing when the node has been started.
pub(crate) fn reboot(
    lab: &LabRecord,
    node: &LabNode,
    paths: &LabPaths,
    boot_delay: Duration,
) -> Result<Option<String>, LabError> {
    let _lock = lock(node, paths)?;
    forget_start(node, paths)?;
    cut(lab, node, paths)?;
    if boot_delay.is_zero() {
        start(lab, node, paths)?;
        return Ok(None);
    }
    let mut word = [0; 8];
    rand::rng().fill_bytes(&mut word);
    let word = hex(&word);
    replace(&paths.node(&node.name).starting(), &word)?;
    Ok(Some(word))
}

/// Starts a node whose firmware is done, unless its power was cut or restored since [`reboot`] gave this word.
pub(crate) fn finish_reboot(
    lab: &LabRecord,
    node: &LabNode,
    paths: &LabPaths,
    word: &str,
) -> Result<(), LabError> {
    let _lock = lock(node, paths)?;
    if pending_start(node, paths).as_deref() != Some(word) {
        return Ok(());
    }
    start(lab, node, paths)?;
    forget_start(node, paths)
}

/// Takes the network from a node that nothing runs on any more. Leaves it alone while its power is worked on.
pub(crate) fn unplug_if_down(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let plugged = || network::namespace_path(&lab.name.object(&node.name)).exists();
    if group(lab, node)?.is_populated() || !plugged() {
        return Ok(());
    }
    let Some(_lock) = Lock::try_take(&paths.node(&node.name).power_lock(), Mode::Exclusive)? else {
        return Ok(());
    };
    if group(lab, node)?.is_populated() { Ok(()) } else { cut(lab, node, paths) }
}

/// The word of a reboot that is not finished.
pub(crate) fn pending_start(node: &LabNode, paths: &LabPaths) -> Option<String> {
    fs::read_to_string(paths.node(&node.name).starting()).ok()
}

fn forget_start(node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let file = paths.node(&node.name).starting();
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::io("remove", &file)(error))
        }
        _ => Ok(()),
    }
}

fn start(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let group = group(lab, node)?;
    if group.is_populated() {
        return Ok(());
    }
    group.end()?;
    let machine = machine(lab.backend);
    network::create_node(lab, node, &machine.plug(lab, node))?;
    faults::apply_to_node(lab, node, paths)?;
    machine.start(lab, node, paths, &group)?;
    faults::apply_to_disks(lab, node, paths)
}

/// Cuts a node's power; nothing happens when it is off.
pub(crate) fn off(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let _lock = lock(node, paths)?;
    forget_start(node, paths)?;
    cut(lab, node, paths)
}

/// Keeps others from working on the node's power.
pub(crate) fn lock(node: &LabNode, paths: &LabPaths) -> Result<Lock, LabError> {
    Lock::take(&paths.node(&node.name).power_lock(), Mode::Exclusive, POWER_LOCK_LIMIT)
}

/// What [`off`] does, without its lock: for `down`, which is alone.
pub(crate) fn cut(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    machine(lab.backend).kill(node, paths, &group(lab, node)?)?;
    network::remove_node(lab, node)
}
