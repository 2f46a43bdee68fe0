//! Taking a lab down, whatever state it is in, and proving that nothing is left.
//!
//! In: a lab's name and directory. Out: nothing of it. Works from names and from what the kernel shows, so it needs no
//! record: a run that was killed at any point is cleaned up by the next `down` or `up`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::cache::remove_tree;
use super::cgroup::Hierarchies;
use super::container::{disks, power as container};
use super::error::LabError;
use super::fence_device;
use super::mounts;
use super::names::LabName;
use super::network;
use super::power;
use super::record::{LabPaths, LabRecord, RECORD_FILE};

/// Longest wait for somebody who still uses one of the lab's mounts.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(15);
/// What `up` makes in the lab's directory. Other files there are not ours and stay.
const OWN_FILES: [&str; 12] = [
    "faults.json",
    "faults.json.new",
    "faults.lock",
    "fence-secret",
    "fenced.log",
    "fenced.pid",
    "id_ed25519",
    "id_ed25519.pub",
    "inventory.yml",
    "known_hosts",
    "lab.json.new",
    "ssh_config",
];

/// How often it is tried again when something came after it had been looked for: a program that the killed run had
/// started may live a moment longer.
const PASSES: usize = 3;

/// Removes everything.
pub(crate) fn tear_down(name: &LabName, paths: &LabPaths) -> Result<(), LabError> {
    refuse_foreign(paths)?;
    let mut left = Vec::new();
    for _ in 0..PASSES {
        remove_all(name, paths)?;
        left = leftovers(name, paths)?;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(LabError::Leftover { lab: name.to_string(), left })
}

fn remove_all(name: &LabName, paths: &LabPaths) -> Result<(), LabError> {
    fence_device::stop(name)?;
    // A record that cannot be read does not keep the lab from being removed.
    if let Ok(Some(lab)) = paths.load() {
        cut_all(&lab, paths)?;
    }
    let hierarchies = Hierarchies::find()?;
    let mut seen = BTreeSet::new();
    for group in hierarchies.groups(&name.prefix()).iter().map(|group| hierarchies.group(group)) {
        group.freeze()?;
        seen.append(&mut container::mounts_of(&group));
        container::abort_fuse(&seen)?;
        group.end()?;
    }
    disks::detach(&container::own_loops(&seen, &paths.nodes())?)?;
    mounts::unmount_below(paths.root(), UNMOUNT_LIMIT)?;
    disks::detach(&disks::loops_below(paths.root()))?;
    network::remove_uplink(name)?;
    for namespace in network::namespaces(&name.prefix()) {
        network::remove_namespace(&namespace)?;
    }
    remove_files(paths)
}

/// A directory with other people's files is not touched. `up` writes the record before anything else, and `down`
/// removes it after everything else, so a lab's directory has one whenever it has anything.
pub(crate) fn refuse_foreign(paths: &LabPaths) -> Result<(), LabError> {
    let root = paths.root();
    let Ok(mut entries) = fs::read_dir(root) else { return Ok(()) };
    let foreign = entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lab.json.new"));
    if foreign && !paths.record().exists() {
        return Err(LabError::ForeignDirectory { path: root.to_path_buf(), marker: RECORD_FILE });
    }
    Ok(())
}

fn cut_all(lab: &LabRecord, paths: &LabPaths) -> Result<(), LabError> {
    thread::scope(|scope| {
        let cuts: Vec<_> =
            lab.nodes.iter().map(|node| scope.spawn(|| power::cut(lab, node, paths))).collect();
        cuts.into_iter().try_for_each(|cut| {
            cut.join().unwrap_or_else(|_| Err(LabError::Fence("a thread of `down` ended badly".to_owned())))
        })
    })
}

fn remove_files(paths: &LabPaths) -> Result<(), LabError> {
    remove_tree(&paths.nodes())?;
    remove_tree(&paths.shared())?;
    // The record goes last: while it is there, the directory is known to be a lab's.
    for file in OWN_FILES.into_iter().chain([RECORD_FILE]) {
        remove_file(&paths.root().join(file))?;
    }
    // It stays when it holds other people's files, or was somebody's mount point.
    let _ = fs::remove_dir(paths.root());
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Everything of the lab that is still there, each with its kind.
pub(crate) fn leftovers(name: &LabName, paths: &LabPaths) -> Result<Vec<String>, LabError> {
    let mut left = Vec::new();
    left.extend(
        Hierarchies::find()?.groups(&name.prefix()).into_iter().map(|group| format!("control group {group}")),
    );
    left.extend(
        network::namespaces(&name.prefix()).into_iter().map(|name| format!("network namespace {name}")),
    );
    if network::has_uplink(name) {
        left.push(format!("interface {}", name.uplink()));
    }
    left.extend(mounts::below(paths.root())?.into_iter().map(|mount| format!("mount {}", mount.display())));
    left.extend(
        disks::loops_below(paths.root())
            .into_iter()
            .map(|device| format!("loop device {}", device.display())),
    );
    if paths.nodes().exists() || paths.record().exists() {
        left.push(format!("directory {}", paths.root().display()));
    }
    Ok(left)
}
