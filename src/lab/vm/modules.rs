//! Which kernel modules a machine needs before it has its root file system, and in which order.
//!
//! In: modules.dep(5) and modules.builtin. Out: files, each after those it depends on. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab::error::LabError;

/// Modules that the first steps of a boot need: disks, network, the root file system.
pub(crate) const WANTED: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_net", "ext4"];
/// A checksum that ext4 asks the kernel for by its algorithm, so that no dependency names it; built in or not there in some
/// kernels.
const SOFT: [&str; 1] = ["crc32c_generic"];

/// The module files below /lib/modules/RELEASE, in the order in which they are to be loaded.
pub(crate) fn order(dependencies: &str, builtin: &str) -> Result<Vec<String>, LabError> {
    let parse = |line: &str| -> Option<(String, Vec<String>)> {
        let (file, needs) = line.split_once(':')?;
        Some((file.to_owned(), needs.split_whitespace().map(str::to_owned).collect()))
    };
    let dependencies: BTreeMap<String, Vec<String>> = dependencies.lines().filter_map(parse).collect();
    let by_name: BTreeMap<String, &String> = dependencies.keys().map(|file| (name(file), file)).collect();
    let builtin: BTreeSet<String> = builtin.lines().map(name).collect();
    let mut ordered = Vec::new();
    for wanted in SOFT.iter().chain(&WANTED) {
        match by_name.get(*wanted) {
            Some(file) => add(file, &dependencies, &mut ordered),
            None if builtin.contains(*wanted) || SOFT.contains(wanted) => {}
            None => return Err(LabError::Usage(format!("the image's kernel has no module `{wanted}`"))),
        }
    }
    Ok(ordered)
}

/// Adds a file after what it depends on. modules.dep names all of that, also indirectly, the nearest first, so the last one
/// named depends on none of the others.
fn add(file: &str, dependencies: &BTreeMap<String, Vec<String>>, ordered: &mut Vec<String>) {
    let needs = dependencies.get(file).map(Vec::as_slice).unwrap_or_default();
    for file in needs.iter().rev().map(String::as_str).chain([file]) {
        if !ordered.iter().any(|known| known == file) {
            ordered.push(file.to_owned());
        }
    }
}

/// `kernel/fs/ext4/ext4.ko.xz` is called `ext4`; a dash is an underscore.
fn name(file: &str) -> String {
    let last = file.rsplit('/').next().unwrap_or(file);
    last.split(".ko").next().unwrap_or(last).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/a/virtio_pci.ko: kernel/a/virtio.ko\nkernel/a/virtio.ko:\n\
        kernel/b/virtio_blk.ko: kernel/a/virtio.ko\n\
        kernel/n/virtio_net.ko.xz: kernel/n/net-failover.ko.xz kernel/n/failover.ko.xz kernel/a/virtio.ko\n\
        kernel/n/net-failover.ko.xz: kernel/n/failover.ko.xz\nkernel/n/failover.ko.xz:\n";

    #[test]
    fn every_module_comes_after_what_it_needs_and_once() {
        let order = order(DEPENDENCIES, "kernel/fs/ext4/ext4.ko\n").unwrap();
        let at = |wanted: &str| order.iter().position(|file| name(file) == wanted).unwrap();
        assert!(at("virtio") < at("virtio_pci") && at("virtio") < at("virtio_net"));
        assert!(at("failover") < at("net_failover") && at("net_failover") < at("virtio_net"));
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
    }

    #[test]
    fn a_kernel_without_a_driver_is_refused() {
        assert!(order(DEPENDENCIES, "").unwrap_err().to_string().contains("`ext4`"));
    }
}
