//! The command line of a node's QEMU.
//!
//! In: a record, a node, its files. Out: an argv. Pure.

use std::path::Path;

use crate::lab::config::Accelerator;
use crate::lab::machine::DiskOf;
use crate::lab::network::interface;
use crate::lab::record::{LabNode, LabPaths, LabRecord};

use super::blocks::{self, Caching};
use super::image::ImageFiles;

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// Memory of a node: corosync locks 200 MiB, Pacemaker and packages being installed need as much.
pub(crate) const MEMORY_MIB: u64 = 768;
/// How much of the host's memory translated code may take; QEMU's own limit is a GiB for each machine. A boot and a cluster
/// fill half of this; when it is full, QEMU throws all of it away and translates anew.
const TRANSLATION_MIB: u64 = 512;
/// How /init knows the disk with the root file system.
const ROOT_SERIAL: &str = "hactl-lab-root";
/// How a node knows the package repository.
const PACKAGES_TAG: &str = "packages";
/// No predictable interface names: /init has named them already. No login and no colours on the console, which is a file.
/// Left out is what an emulated machine only loses time with: drivers of devices that the lab does not use, and logind,
/// which has nobody to manage.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 loglevel=4 TERM=dumb net.ifnames=0 systemd.getty_auto=0 \
    modprobe.blacklist=ata_generic,ata_piix,floppy,i2c_piix4,pcspkr,psmouse \
    systemd.mask=systemd-logind.service systemd.mask=modprobe@drm.service systemd.mask=modprobe@efi_pstore.service";
/// The processor that is emulated. Machines boot with a tenth less of the host's time than as `qemu64`, QEMU's own default,
/// and TCG has all that this one can.
const EMULATED_CPU: &str = "Nehalem-v1";
/// What an emulated node has besides. QEMU translates a program again for each address it is mapped at: with addresses that
/// are not random, starting one takes less than half the time, and a cluster's agents start little else. Nor
/// does an emulated processor speculate, while each thing that is done against that is more to emulate.
const EMULATED_ARGUMENTS: &str = "norandmaps mitigations=off";

/// The tap device of a node on a network, in the node's namespace.
pub(crate) fn tap(network: usize) -> String {
    format!("tap{}", network - 1)
}

/// A path in one of QEMU's options, where a comma ends a value.
pub(crate) fn quoted(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// The argv of a node's QEMU. `caching` says how the file of a disk can be opened.
pub(crate) fn argv(
    lab: &LabRecord,
    node: &LabNode,
    paths: &LabPaths,
    caching: impl Fn(&Path) -> Caching,
) -> Vec<String> {
    let (own, image) = (paths.node(&node.name), ImageFiles::new(&lab.image));
    let mut argv = vec![PROGRAM.to_owned()];
    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
    option("-name", lab.name.machine(&node.name));
    option("-machine", "pc,usb=off,vmport=off".to_owned());
    let kernel_arguments = match lab.accelerator {
        Some(Accelerator::Kvm) => {
            option("-accel", "kvm".to_owned());
            option("-cpu", "host".to_owned());
            KERNEL_ARGUMENTS.to_owned()
        }
        Some(Accelerator::Tcg) | None => {
            option("-accel", format!("tcg,thread=multi,tb-size={TRANSLATION_MIB}"));
            option("-cpu", EMULATED_CPU.to_owned());
            format!("{KERNEL_ARGUMENTS} {EMULATED_ARGUMENTS}")
        }
    };
    option("-smp", "1".to_owned());
    option("-m", MEMORY_MIB.to_string());
    option("-display", "none".to_owned());
    option("-kernel", image.kernel().display().to_string());
    option("-initrd", own.initrd().display().to_string());
    option("-append", kernel_arguments);
    option("-chardev", format!("file,id=console,path={},append=on", quoted(&own.console())));
    option("-serial", "chardev:console".to_owned());
    option("-chardev", format!("socket,id=control,path={},server=on,wait=off", quoted(&own.qmp())));
    option("-mon", "chardev=control,mode=control".to_owned());
    option("-device", "virtio-rng-pci".to_owned());
    // A node that does not feed its watchdog is reset, as by a board's own.
    option("-device", "i6300esb".to_owned());
    option("-action", "watchdog=reset".to_owned());
    let packages = quoted(&lab.packages);
    option("-fsdev", format!("local,id=packages,path={packages},security_model=none,readonly=on"));
    option("-device", format!("virtio-9p-pci,fsdev=packages,mount_tag={PACKAGES_TAG}"));
    for network in &lab.networks {
        let (id, tap) = (interface(network.number), tap(network.number));
        let mac = lab.name.mac(&node.name, network.number);
        option("-netdev", format!("tap,id={id},ifname={tap},script=no,downscript=no"));
        option("-device", format!("virtio-net-pci,netdev={id},mac={mac},romfile="));
    }
    // Flushed when the guest says so: the overlay's own tables are in QEMU's memory until then.
    option("-drive", format!("if=none,id=root,file={},format=qcow2,cache=writeback", quoted(&own.overlay())));
    option("-device", format!("virtio-blk-pci,drive=root,serial={ROOT_SERIAL}"));
    for disk in &node.disks {
        let file = DiskOf { node, disk, paths }.file();
        option("-blockdev", blocks::medium(disk, &file, caching(&file)).to_string());
        option("-device", blocks::device(disk).to_string());
    }
    argv.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
    argv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::config::Backend;
    use crate::lab::disks::plan_shared;
    use crate::lab::testing::record;

    fn line(accelerator: Accelerator) -> String {
        let mut lab = LabRecord { backend: Backend::Vm, accelerator: Some(accelerator), ..record() };
        lab.image = "/cache/vm,1".into();
        for node in &mut lab.nodes {
            node.disks.push(plan_shared(&"sbd=16M".parse().unwrap()));
        }
        let paths = LabPaths::new("/lab,1");
        argv(&lab, &lab.nodes[1], &paths, |_| Caching::Direct).join(" ")
    }

    #[test]
    fn disks_have_their_serial_numbers_and_only_the_shared_one_is_shared() {
        let line = line(Accelerator::Tcg);
        for (file, serial) in
            [("nodes/beta/disk-data1.img", "beta-data1"), ("shared/disk-sbd.img", "shared-sbd")]
        {
            assert!(line.contains(&format!("\"filename\":\"/lab,1/{file}\"")), "{line}");
            assert!(line.contains(&format!("\"serial\":\"{serial}\"")), "{line}");
        }
        assert_eq!(line.matches("\"share-rw\":true").count(), 1, "{line}");
        assert_eq!(line.matches("\"locking\":\"off\"").count(), 1, "{line}");
    }

    #[test]
    fn each_network_has_its_tap_and_its_address() {
        let (line, lab) = (line(Accelerator::Kvm), record());
        for (number, tap) in [(1, "tap0"), (2, "tap1")] {
            let mac = lab.name.mac(&lab.nodes[1].name, number);
            assert!(
                line.contains(&format!("ifname={tap},")) && line.contains(&format!("mac={mac},")),
                "{line}"
            );
        }
    }

    #[test]
    fn the_accelerator_is_the_recorded_one() {
        assert!(line(Accelerator::Kvm).contains("-accel kvm -cpu host"));
        assert!(line(Accelerator::Tcg).contains("-accel tcg,thread=multi"));
    }
}
