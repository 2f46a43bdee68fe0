//! The backend of virtual machines behind the lab's seam.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::Say;
use crate::lab::cgroup::Group;
use crate::lab::config::LabConfig;
use crate::lab::error::LabError;
use crate::lab::faults::DiskFault;
use crate::lab::launch::launch;
use crate::lab::machine::{DiskOf, ImageParts, Machine};
use crate::lab::network::interface;
use crate::lab::personal;
use crate::lab::prerequisites::check_memory_for;
use crate::lab::process::{Program, tail, wait_for};
use crate::lab::record::{LabNode, LabPaths, LabRecord};
use crate::lab::storage::mount_writable;

use super::accelerator;
use super::blocks::{self, Caching};
use super::emulator::{self, MEMORY_MIB, tap};
use super::image::{self, ImageFiles, MACHINE_PACKAGES};
use super::initrd;
use super::qmp::Qmp;

/// Longest time until a started QEMU answers on its control socket.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longest time that QEMU has to take an order to quit, and to do so.
const QUIT_LIMIT: Duration = Duration::from_secs(2);
/// Longest answer of a node to the question whether it lets people in; an emulated one is slow at keys.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
/// Longest name of a socket in bytes (`sun_path` less its final zero, unix(7)).
const MAX_SOCKET_BYTES: usize = 107;

/// QEMU virtual machines.
#[derive(Debug)]
pub(crate) struct Vm;

impl Machine for Vm {
    fn check_room_for(&self, nodes: usize) -> Result<(), LabError> {
        check_memory_for(nodes, MEMORY_MIB << 20)
    }

    fn image_packages(&self) -> &'static [&'static str] {
        &MACHINE_PACKAGES
    }

    fn image(&self, config: &LabConfig, parts: ImageParts<'_>, say: Say<'_>) -> Result<PathBuf, LabError> {
        image::image(&config.cache_dir, parts, config.baked, say)
    }

    fn settle(
        &self,
        lab: &mut LabRecord,
        config: &LabConfig,
        paths: &LabPaths,
        say: Say<'_>,
    ) -> Result<(), LabError> {
        for node in config.node_names()? {
            let socket = paths.node(&node).qmp();
            if socket.as_os_str().len() > MAX_SOCKET_BYTES {
                return Err(LabError::Usage(format!(
                    "{} is too long for a socket's name: choose a shorter --state-dir",
                    socket.display()
                )));
            }
        }
        lab.accelerator = Some(accelerator::choose(&config.cache_dir, say)?);
        Ok(())
    }

    fn prepare_shared(&self, lab: &LabRecord, paths: &LabPaths) -> Result<(), LabError> {
        let Some(node) = lab.nodes.first() else { return Ok(()) };
        for disk in node.disks.iter().filter(|disk| disk.shared) {
            fs::create_dir_all(paths.shared()).map_err(LabError::io("create", &paths.shared()))?;
            make_disk(&paths.shared_disk(&disk.name), disk.size_bytes)?;
        }
        Ok(())
    }

    fn prepare(&self, lab: &LabRecord, node: &mut LabNode, paths: &LabPaths) -> Result<(), LabError> {
        let (own, image) = (paths.node(&node.name), ImageFiles::new(&lab.image));
        for disk in node.disks.iter().filter(|disk| !disk.shared) {
            make_disk(&own.disk(&disk.name), disk.size_bytes)?;
        }
        mount_writable(lab, &own)?;
        Program::new(
            "make a node's root disk",
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b"],
        )
        .arg(image.root())
        .arg(own.overlay())
        .run()?;
        let passwd = fs::read_to_string(image.passwd()).map_err(LabError::io("read", &image.passwd()))?;
        let files = personal::files(node, paths, &passwd)?;
        let common = fs::read(image.initrd()).map_err(LabError::io("read", &image.initrd()))?;
        let initrd = initrd::of_node(common, lab, node, &files);
        // It holds the node's keys.
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        open.open(own.initrd())
            .and_then(|mut file| std::io::Write::write_all(&mut file, &initrd))
            .map_err(LabError::io("write", &own.initrd()))
    }

    fn plug(&self, lab: &LabRecord, _: &LabNode) -> String {
        let mut batch = String::from("link set lo up\n");
        for network in &lab.networks {
            let (cable, tap) = (interface(network.number), tap(network.number));
            let bridge = format!("br{}", network.number);
            // Writing to a string does not fail.
            let _ = write!(
                batch,
                "link add {bridge} type bridge mcast_snooping 0 forward_delay 0\nlink set {bridge} up\n\
                 tuntap add dev {tap} mode tap\nlink set {tap} master {bridge} up\n\
                 link set {cable} master {bridge} up\n"
            );
        }
        batch
    }

    fn start(
        &self,
        lab: &LabRecord,
        node: &LabNode,
        paths: &LabPaths,
        group: &Group,
    ) -> Result<(), LabError> {
        let own = paths.node(&node.name);
        remove_if_there(&own.qmp())?;
        let argv = emulator::argv(lab, node, paths, caching);
        let log = own.emulator_log();
        launch(format!("start node {}", node.name), &log, group, &lab.name.object(&node.name), argv)?;
        let mut ran = false;
        let said = || text(&log);
        let what = || format!("start the virtual machine {}; it said:\n{}", node.name, said());
        wait_for(what, START_LIMIT, || {
            let runs = group.is_populated();
            if ran && !runs {
                let reason = format!("QEMU ended at once; it said:\n{}", said());
                return Err(LabError::Emulator { path: own.qmp(), reason });
            }
            ran = runs;
            Ok(if own.qmp().exists() { Qmp::connect(&own.qmp()).ok().map(drop) } else { None })
        })
    }

    fn kill(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<(), LabError> {
        // The plug, if QEMU still listens: what the guest had not written to its disks is gone with its memory.
        if let Ok(mut machine) = Qmp::connect_within(&paths.node(&node.name).qmp(), QUIT_LIMIT)
            && machine.execute("quit").is_ok()
        {
            let gone = || Ok((!group.is_populated()).then_some(()));
            match wait_for(String::new, QUIT_LIMIT, gone) {
                Ok(()) | Err(LabError::Timeout { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // Whatever is left has no say.
        group.end()
    }

    fn freeze(&self, node: &LabNode, paths: &LabPaths, _: &Group) -> Result<(), LabError> {
        Qmp::connect(&paths.node(&node.name).qmp())?.execute("stop").map(drop)
    }

    fn thaw(&self, node: &LabNode, paths: &LabPaths, _: &Group) -> Result<(), LabError> {
        Qmp::connect(&paths.node(&node.name).qmp())?.execute("cont").map(drop)
    }

    fn is_frozen(&self, node: &LabNode, paths: &LabPaths, group: &Group) -> Result<bool, LabError> {
        let status = Qmp::connect(&paths.node(&node.name).qmp())
            .and_then(|mut machine| machine.execute("query-status"));
        match status {
            Ok(status) => Ok(status["running"] == false),
            // It has ended since it was looked at, or is about to: its socket goes before it does.
            Err(error) => {
                match wait_for(String::new, QUIT_LIMIT, || Ok((!group.is_populated()).then_some(()))) {
                    Ok(()) => Ok(false),
                    Err(_) => Err(error),
                }
            }
        }
    }

    fn resize_disk(&self, disk: DiskOf<'_>, size_bytes: u64, runs: bool) -> Result<(), LabError> {
        if runs {
            return blocks::resize(&mut qmp(disk)?, disk.disk, size_bytes);
        }
        let file = disk.file();
        let open = OpenOptions::new().write(true).open(&file);
        open.and_then(|file| file.set_len(size_bytes)).map_err(LabError::io("resize", &file))
    }

    fn replace_disk(&self, disk: DiskOf<'_>, size_bytes: u64, runs: bool) -> Result<(), LabError> {
        let file = disk.file();
        let mut machine = if runs { Some(qmp(disk)?) } else { None };
        if let Some(machine) = &mut machine {
            blocks::unplug(machine, disk.disk)?;
        }
        remove_if_there(&file)?;
        make_disk(&file, size_bytes)?;
        machine.map_or(Ok(()), |mut machine| blocks::plug(&mut machine, disk.disk, &file, caching(&file)))
    }

    fn set_disk_fault(&self, disk: DiskOf<'_>, fault: Option<&DiskFault>) -> Result<(), LabError> {
        blocks::set_fault(&mut qmp(disk)?, disk.disk, fault)
    }

    fn lets_people_in(&self, node: &LabNode, paths: &LabPaths, _: &Group) -> Result<bool, LabError> {
        let asked = Program::new("ask whether a node has booted", ["ssh", "-F"])
            .arg(paths.ssh_config())
            .arg(node.name.as_str())
            .args(["--", "test ! -e /run/nologin"])
            .limit(LOGIN_LIMIT)
            .finish();
        match asked {
            Ok(finished) => Ok(finished.status.success()),
            Err(LabError::Timeout { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn console(&self, node: &LabNode, paths: &LabPaths) -> String {
        let own = paths.node(&node.name);
        format!("{}{}", text(&own.emulator_log()), text(&own.console()))
    }
}

/// The control socket of the machine that has the disk.
fn qmp(disk: DiskOf<'_>) -> Result<Qmp, LabError> {
    Qmp::connect(&disk.paths.node(&disk.node.name).qmp())
}

/// The end of a log, as far as it can be read: it is quoted in an error about something else.
fn text(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| tail(&String::from_utf8_lossy(&bytes)))
}

/// Makes the sparse file of a disk.
fn make_disk(path: &Path, size_bytes: u64) -> Result<(), LabError> {
    File::create(path).and_then(|file| file.set_len(size_bytes)).map_err(LabError::io("create", path))
}

fn remove_if_there(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether the file can be read and written past the page cache: tmpfs could not for long.
fn caching(path: &Path) -> Caching {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or_default();
    let mut open = OpenOptions::new();
    match open.read(true).write(true).custom_flags(direct).open(path) {
        Ok(_) => Caching::Direct,
        Err(_) => Caching::Through,
    }
}
