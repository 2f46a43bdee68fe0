//! A node: its root file system, and starting it.
//!
//! In: a record. Out: a mounted overlay over the image with what is the node's own, and a running systemd-nspawn in the
//! node's namespace and control group. Never decides whether a node should run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache::remove_tree;
use super::cgroup::Group;
use super::config::{ROOT_IN_MEMORY_BYTES, Storage};
use super::error::LabError;
use super::image::{NODE_REPOSITORY, write};
use super::mounts;
use super::network::namespace_path;
use super::process::{Program, tail, wait_for};
use super::record::{LabNode, LabPaths, LabRecord, NodePaths};
use crate::resource::LAB_MARK;

/// Longest time from the start of systemd-nspawn to the node's init.
const INIT_LIMIT: Duration = Duration::from_secs(20);
/// The agent that pacemaker-fenced runs on the nodes.
const FENCE_AGENT: &str = include_str!("../../templates/lab/fence_hactl_lab");
/// Where it belongs.
const FENCE_AGENT_PATH: &str = "usr/sbin/fence_hactl_lab";
/// Joins the control groups named before `--`, then becomes the command after it. The first argument is the log.
const LAUNCHER: &str = "exec </dev/null >>\"$1\" 2>&1; shift; \
    while [ \"$1\" != -- ]; do echo $$ >\"$1\" || exit 70; shift; done; shift; exec \"$@\"";

/// Makes the node's directories and mounts its root.
pub(crate) fn mount_root(lab: &LabRecord, paths: &NodePaths) -> Result<(), LabError> {
    for dir in [paths.rootfs(), paths.writable()] {
        fs::create_dir_all(&dir).map_err(LabError::io("create", &dir))?;
    }
    if !mounts::below(&paths.rootfs())?.is_empty() {
        return Ok(());
    }
    if lab.storage == Storage::Memory && mounts::below(&paths.writable())?.is_empty() {
        Program::new("mount memory for a node's root file system", ["mount", "-t", "tmpfs", "-o"])
            .arg(format!("size={ROOT_IN_MEMORY_BYTES},mode=0755"))
            .arg("hactl-lab")
            .arg(paths.writable())
            .run()?;
    }
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

/// Writes what is this node's own.
pub(crate) fn personalise(node: &LabNode, lab_paths: &LabPaths) -> Result<(), LabError> {
    let paths = lab_paths.node(&node.name);
    let root = paths.rootfs();
    let name = node.name.as_str();
    write(&root, "etc/hostname", 0o644, &format!("{name}\n"))?;
    write(
        &root,
        "etc/hosts",
        0o644,
        &format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n"),
    )?;
    write(&root, LAB_MARK.trim_start_matches('/'), 0o644, "A node of a lab, made by `hactl lab up`.\n")?;
    let machine_id = Program::new("make a machine id", ["systemd-id128", "new"]).run()?;
    write(&root, "etc/machine-id", 0o444, &machine_id)?;
    write(&root, FENCE_AGENT_PATH, 0o755, FENCE_AGENT)?;
    let public = lab_paths.identity().with_extension("pub");
    let key = fs::read_to_string(&public).map_err(LabError::io("read", &public))?;
    for (home, user) in [("root", "root"), ("home/admin", "admin"), ("home/operator", "operator")] {
        let file = format!("{home}/.ssh/authorized_keys");
        write(&root, &file, 0o600, &key)?;
        let directory = root.join(home).join(".ssh");
        fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(LabError::io("set the mode of", &directory))?;
        Program::new("give a user its key", ["chroot"])
            .arg(&root)
            .arg("chown")
            .arg("-R")
            .arg(user)
            .arg(format!("/{home}/.ssh"))
            .run()?;
    }
    let host_key = root.join("etc/ssh/ssh_host_ed25519_key");
    make_key(&host_key, &format!("root@{name}"))
}

/// Makes an Ed25519 key pair.
pub(crate) fn make_key(file: &Path, comment: &str) -> Result<(), LabError> {
    Program::new("make an SSH key", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(file)
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
    let procs = group.create()?;
    let mut program = Program::new(
        format!("start node {}", node.name),
        ["setsid", "--fork", "sh", "-c", LAUNCHER, "hactl-lab"],
    )
    .arg(paths.console());
    for file in &procs {
        program = program.arg(file);
    }
    program = program.arg("--");
    for word in container(lab, node, &paths) {
        program = program.arg(word);
    }
    program.run()?;
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
        "nsenter".to_owned(),
        format!("--net={namespace}"),
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
    for device in devices.chain(Some(PathBuf::from("/dev/fuse")).filter(|fuse| fuse.exists())) {
        argv.push(format!("--bind={}", device.display()));
    }
    argv
}

fn console(paths: &NodePaths) -> String {
    fs::read(paths.console()).map_or_else(|_| String::new(), |bytes| tail(&String::from_utf8_lossy(&bytes)))
}
