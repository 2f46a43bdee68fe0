//! The identity of the nodes' disks.
//!
//! In: what disk is wanted, for whom. Out: its name, serial number and world wide name, unique in the lab. Pure.

use sha2::{Digest, Sha256};

use crate::names::NodeName;

use super::config::{Backend, DiskSpec};
use super::names::LabName;
use super::record::LabDisk;

/// A disk of one node as it will be.
pub(crate) fn plan(lab: &LabName, node: &NodeName, spec: &DiskSpec, backend: Backend) -> LabDisk {
    let digest = Sha256::digest(format!("{lab}/{node}/{}", spec.name));
    let tail: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    LabDisk {
        name: spec.name.clone(),
        size_bytes: spec.size_bytes,
        serial: format!("{node}-{}", spec.name),
        wwn: match backend {
            // NAA 5 with an OUI that nobody has been given.
            Backend::Container => Some(format!("0x5000c5ff{tail}")),
            // A virtio block device has none.
            Backend::Vm => None,
        },
        shared: false,
        device: None,
    }
}

/// A disk that all nodes see.
pub(crate) fn plan_shared(spec: &DiskSpec) -> LabDisk {
    LabDisk {
        name: spec.name.clone(),
        size_bytes: spec.size_bytes,
        serial: format!("shared-{}", spec.name),
        wwn: None,
        shared: true,
        device: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the virtio driver asks a disk for (`VIRTIO_BLK_ID_BYTES`, linux/virtio_blk.h).
    const VIRTIO_SERIAL_BYTES: usize = 20;

    #[test]
    fn identities_are_stable_and_unique() {
        let lab: LabName = "lab".parse().unwrap();
        let spec: DiskSpec = "data1=1M".parse().unwrap();
        let plan = |node| plan(&lab, &NodeName::new(node).unwrap(), &spec, Backend::Container);
        let [alpha, beta] = ["alpha", "beta"].map(plan);
        assert_eq!(alpha.serial, "alpha-data1");
        assert_ne!(alpha.wwn, beta.wwn);
        assert_eq!(alpha.wwn.as_ref().map(String::len), Some(18));
        assert_eq!(alpha.wwn, plan("alpha").wwn);
    }

    #[test]
    fn the_longest_serials_fit_a_virtio_disk() {
        let spec: DiskSpec = "abcdefghijkl=1M".parse().unwrap();
        let lab: LabName = "lab".parse().unwrap();
        for node in super::super::names::NODE_NAMES {
            let disk = plan(&lab, &NodeName::new(node).unwrap(), &spec, Backend::Vm);
            assert!(disk.serial.len() <= VIRTIO_SERIAL_BYTES, "{}", disk.serial);
        }
        assert!(plan_shared(&spec).serial.len() <= VIRTIO_SERIAL_BYTES);
    }
}
