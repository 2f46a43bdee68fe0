//! Taking the power from a container.
//!
//! In: a node's control group. Out: nothing of it runs, and what it had not synced to its disks is lost. A container that
//! is only killed keeps the host's page cache and what it left attached; a machine without power keeps neither.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::ioctl::{Setter, ioctl};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::cgroup::Group;
use crate::lab::error::LabError;
use crate::lab::mounts::{self, Mount};
use crate::lab::process::Program;
use crate::lab::record::{LabNode, LabPaths};

use super::disks::{self, LOOP_MAJOR, loop_number};

/// `FS_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)` (linux/fs.h).
const FS_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// Drop the log too: nothing that was not synced survives (`EXT4_GOING_FLAGS_NOLOGFLUSH`, `XFS_FSOP_GOING_FLAGS_NOLOGFLUSH`).
const NOLOGFLUSH: u32 = 2;

/// Ends the container and its group; nothing happens when there is none.
pub(crate) fn kill(node: &LabNode, paths: &LabPaths, group: &Group) -> Result<(), LabError> {
    // It must not run while parts of it are gone already. Not waited for: what waits for a dead FUSE server
    // stops only when that is aborted.
    group.freeze()?;
    let own = if let Some(init) = group.init() {
        let seen = mounts_of(group);
        abort_fuse(&seen)?;
        let own = own_loops(&seen, &paths.node(&node.name).rootfs())?;
        shut_down_filesystems(init, node, &own);
        if let Some(init) = Pid::from_raw(init) {
            // The kernel kills everything in the namespace with it; a frozen process dies as well.
            let _ = kill_process(init, Signal::KILL);
        }
        own
    } else {
        BTreeSet::new()
    };
    group.end()?;
    disks::detach(&own)
}

/// Ends the node's FUSE connections: whoever waits for one would wait for ever when its server is gone.
pub(crate) fn abort_fuse(seen: &BTreeSet<Mount>) -> Result<(), LabError> {
    let fuse: BTreeSet<u32> =
        seen.iter().filter(|mount| is_fuse(&mount.fstype)).map(|mount| mount.minor).collect();
    // The host's own FUSE mounts are not the node's, whatever the node sees of them.
    let hosts: BTreeSet<u32> =
        mounts::of("self").iter().filter(|mount| is_fuse(&mount.fstype)).map(|mount| mount.minor).collect();
    let connections = Path::new("/sys/fs/fuse/connections");
    let nodes: Vec<u32> = fuse.difference(&hosts).copied().collect();
    if !nodes.is_empty() && fs::read_dir(connections).is_ok_and(|mut entries| entries.next().is_none()) {
        Program::new("mount the FUSE control file system", ["mount", "-t", "fusectl", "none"])
            .arg(connections)
            .run()?;
    }
    for minor in nodes {
        let file = connections.join(minor.to_string()).join("abort");
        // A connection that ended by itself has no file any more.
        if file.exists() {
            fs::write(&file, "1").map_err(LabError::io("write", &file))?;
        }
    }
    Ok(())
}

fn is_fuse(fstype: &str) -> bool {
    fstype == "fuse" || fstype == "fuseblk" || fstype.starts_with("fuse.")
}

/// Loop devices that the node attached itself: their files are on file systems that only the node sees, or on its
/// root, which the host sees at `root`.
pub(crate) fn own_loops(seen: &BTreeSet<Mount>, root: &Path) -> Result<BTreeSet<PathBuf>, LabError> {
    let device = |mount: &Mount| (mount.major, mount.minor);
    let (roots, others): (Vec<Mount>, Vec<Mount>) =
        mounts::of("self").into_iter().partition(|mount| mount.target.starts_with(root));
    let hosts: BTreeSet<(u32, u32)> = others.iter().map(device).collect();
    // Files of an overlay's upper layer say that they are on a device of their own (kernel overlayfs.rst, `st_dev`).
    let written = roots.iter().filter_map(|mount| fs::metadata(mount.target.join("etc/hostname")).ok());
    let written = written.map(|file| (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev())));
    let private = seen
        .iter()
        .chain(&roots)
        .map(device)
        .chain(written)
        .filter(|device| !hosts.contains(device))
        .collect();
    disks::loops_backed_by(&private)
}

/// What the processes of a group have mounted.
pub(crate) fn mounts_of(group: &Group) -> BTreeSet<Mount> {
    group.processes().iter().flat_map(|pid| mounts::of(&pid.to_string())).collect()
}

/// Makes the file systems on the node's disks forget what was not synced.
fn shut_down_filesystems(init: i32, node: &LabNode, own: &BTreeSet<PathBuf>) {
    let mut numbers: BTreeSet<(u32, u32)> = BTreeSet::new();
    for device in node.disks.iter().filter_map(|disk| disk.device.as_ref()).chain(own) {
        if let Some(number) = loop_number(device) {
            numbers.insert((LOOP_MAJOR, number));
            add_holders(&Path::new("/sys/block").join(format!("loop{number}")), &mut numbers);
        }
    }
    for mount in mounts::of(&init.to_string()) {
        if !numbers.contains(&(mount.major, mount.minor)) {
            continue;
        }
        let inside = mount.target.strip_prefix("/").unwrap_or(&mount.target);
        let path = Path::new("/proc").join(init.to_string()).join("root").join(inside);
        // A file system that has no such call keeps what the kernel wrote out; nothing else is to be done about it.
        if let Ok(directory) = File::open(&path) {
            let _ = shut_down(&directory);
        }
    }
}

/// Device numbers of what is built on a block device (device mapper, md), all the way up.
fn add_holders(block: &Path, numbers: &mut BTreeSet<(u32, u32)>) {
    let Ok(holders) = fs::read_dir(block.join("holders")) else { return };
    for holder in holders.filter_map(Result::ok) {
        let block = Path::new("/sys/block").join(holder.file_name());
        let number = fs::read_to_string(block.join("dev")).unwrap_or_default();
        let parsed =
            number.trim().split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        if let Some(parsed) = parsed
            && numbers.insert(parsed)
        {
            add_holders(&block, numbers);
        }
    }
}

fn shut_down(directory: &File) -> rustix::io::Result<()> {
    // SAFETY: FS_IOC_SHUTDOWN reads one u32 through the pointer it is given and writes nothing.
    #[allow(unsafe_code)]
    unsafe {
        ioctl(directory, Setter::<FS_IOC_SHUTDOWN, u32>::new(NOLOGFLUSH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fuse_file_systems_are_aborted() {
        for fuse in ["fuse", "fuseblk", "fuse.engine"] {
            assert!(is_fuse(fuse), "{fuse}");
        }
        for other in ["fusectl", "ext4", "overlay"] {
            assert!(!is_fuse(other), "{other}");
        }
    }
}
