//! A node: its root file system, and starting it.
//!
//! In: a record. Out: a mounted overlay over the image with what is the node's own, and a running systemd-nspawn in the
//! node's namespace and control group. Never decides whether a node should run.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab::cache::remove_tree;
use crate::lab::cgroup::Group;
use crate::lab::error::LabError;
use crate::lab::image::NODE_REPOSITORY;
use crate::lab::launch::launch;
use crate::lab::mounts;
use crate::lab::network::namespace_path;
use crate::lab::process::{Program, tail, wait_for};
use crate::lab::record::{LabNode, LabPaths, LabRecord, NodePaths};
use crate::lab::storage::mount_writable;

/// Longest time from the start of systemd-nspawn to the node's init.
const INIT_LIMIT: Duration = Duration::from_secs(20);
/// What the nodes share with the host: the replication engine serves a file by FUSE and makes a loop device of it.
const SHARED_DEVICES: [&str; 2] = ["/dev/fuse", "/dev/loop-control"];

/// Makes the node's directories and mounts its root.
pub(crate) fn mount_root(lab: &LabRecord, paths: &NodePaths) -> Result<(), LabError> {
    fs::create_dir_all(paths.rootfs()).map_err(LabError::io("create", &paths.rootfs()))?;
    if !mounts::below(&paths.rootfs())?.is_empty() {
        return Ok(());
    }
    mount_writable(lab, paths)?;
    for dir in [paths.upper(), paths.work()] {
        fs::create_dir_all(&dir).map_err(LabError::io("create", &dir))?;
    }
    // `volatile` makes fsync on the root free; the mark it leaves forbids the next mount (kernel overlayfs.rst).
    remove_tree(&paths.work().join("work/incompat"))?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        lab.image.display(),
        paths.upper().display(),
        paths.work().display()
    );
    Program::new("mount a node's root file system", ["mount", "-t", "overlay", "hactl-lab", "-o"])
        .arg(options)
        .arg(paths.rootfs())
        .run()
        .map(drop)
}

/// Starts the node and waits until its init runs. Its namespace must be there.
pub(crate) fn start(
    lab: &LabRecord,
    node: &LabNode,
    lab_paths: &LabPaths,
    group: &Group,
) -> Result<(), LabError> {
    let paths = lab_paths.node(&node.name);
    let namespace = lab.name.object(&node.name);
    let argv = container(lab, node, &paths);
    launch(format!("start node {}", node.name), &paths.console(), group, &namespace, argv)?;
    let what =
        || format!("boot node {}; the end of {}:\n{}", node.name, paths.console().display(), console(&paths));
    wait_for(what, INIT_LIMIT, || Ok(group.init().map(drop)))
}

fn container(lab: &LabRecord, node: &LabNode, paths: &NodePaths) -> Vec<String> {
    let namespace = namespace_path(&lab.name.object(&node.name)).display().to_string();
    let mut argv: Vec<String> = vec![
        "env".to_owned(),
        // systemd of Debian 13 refuses version 1 hierarchies, and that of Debian 12 needs none.
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1".to_owned(),
        "systemd-nspawn".to_owned(),
        "--quiet".to_owned(),
        format!("--directory={}", paths.rootfs().display()),
        "--boot".to_owned(),
        "--register=no".to_owned(),
        "--keep-unit".to_owned(),
        format!("--machine={}", lab.name.machine(&node.name)),
        format!("--hostname={}", node.name),
        "--link-journal=no".to_owned(),
        "--capability=CAP_NET_ADMIN,CAP_IPC_LOCK".to_owned(),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--console=pipe".to_owned(),
        format!("--network-namespace-path={namespace}"),
        format!("--bind-ro={}:{NODE_REPOSITORY}", lab.packages.display()),
        format!("--bind-ro={}:/sys/block", paths.sys_block().display()),
        format!("--bind={}:/dev/disk", paths.dev_disk().display()),
        format!("--bind={}:/run/udev/data", paths.udev_data().display()),
    ];
    let devices = node.disks.iter().filter_map(|disk| disk.device.clone());
    let shared = SHARED_DEVICES.iter().map(PathBuf::from).filter(|device| device.exists());
    for device in devices.chain(shared) {
        argv.push(format!("--bind={}", device.display()));
    }
    argv
}

pub(crate) fn console(paths: &NodePaths) -> String {
    fs::read(paths.console()).map_or_else(|_| String::new(), |bytes| tail(&String::from_utf8_lossy(&bytes)))
}
