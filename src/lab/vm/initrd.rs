//! What a virtual machine boots with.
//!
//! In: the image's kernel modules and busybox; a node's own files and addresses. Out: the initrd of the image, compressed,
//! and that of a node: the image's with an archive behind it, which the kernel unpacks over the first.

use std::fs;
use std::path::Path;

use crate::lab::error::LabError;
use crate::lab::network::interface;
use crate::lab::personal::PersonalFile;
use crate::lab::record::{LabNode, LabRecord, PREFIX_BITS};

use super::cpio::{Archive, align};
use super::modules;

/// The first program.
pub(crate) const INIT: &str = include_str!("../../../templates/lab/vm-init");

/// The image's archive, from a tree with a kernel of this release.
pub(crate) fn of_image(tree: &Path, release: &str) -> Result<Vec<u8>, LabError> {
    let read = |path: &Path| fs::read(path).map_err(LabError::io("read", path));
    let text = |path: &Path| fs::read_to_string(path).map_err(LabError::io("read", path));
    let lib = tree.join("lib/modules").join(release);
    let order = modules::order(&text(&lib.join("modules.dep"))?, &text(&lib.join("modules.builtin"))?)?;
    let mut archive = Archive::new();
    for directory in ["bin", "dev", "modules", "node", "proc", "sys"] {
        archive.directory(directory);
    }
    archive.file("init", 0o755, INIT.as_bytes());
    let busybox = ["bin/busybox", "usr/bin/busybox"].map(|path| tree.join(path));
    let busybox = busybox.iter().find(|path| path.exists()).unwrap_or(&busybox[0]);
    archive.file("bin/busybox", 0o755, &read(busybox)?);
    let mut list = String::new();
    for file in order {
        let name = file.rsplit('/').next().unwrap_or(&file);
        archive.file(&format!("modules/{name}"), 0o644, &read(&lib.join(&file))?);
        list += &format!("{name}\n");
    }
    archive.file("modules/order", 0o644, list.as_bytes());
    Ok(archive.finish())
}

/// What a node boots with: the image's initrd and the node's own.
pub(crate) fn of_node(image: Vec<u8>, lab: &LabRecord, node: &LabNode, files: &[PersonalFile]) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.directory("node/files");
    archive.file("node/network", 0o644, network(lab, node).as_bytes());
    let mut list = String::new();
    for (number, file) in files.iter().enumerate() {
        let kind = if file.content.is_some() { 'f' } else { 'd' };
        list += &format!("{:o} {}:{} {kind} {number} {}\n", file.mode, file.uid, file.gid, file.path);
        if let Some(content) = &file.content {
            archive.file(&format!("node/files/{number}"), 0o600, content);
        }
    }
    archive.file("node/list", 0o644, list.as_bytes());
    let mut bytes = image;
    align(&mut bytes);
    bytes.extend(archive.finish());
    bytes
}

/// Interfaces by their hardware addresses: what the kernel calls them first depends on the order of the bus.
fn network(lab: &LabRecord, node: &LabNode) -> String {
    let lines = lab.networks.iter().zip(&node.addresses).map(|(network, address)| {
        let mac = lab.name.mac(&node.name, network.number);
        format!("{mac} {} {address}/{PREFIX_BITS}\n", interface(network.number))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::record;

    #[test]
    fn a_node_gets_its_files_and_addresses_behind_the_image() {
        let lab = record();
        let key = PersonalFile {
            path: "root/.ssh/authorized_keys".into(),
            content: Some(b"ssh-ed25519 AAAA".to_vec()),
            mode: 0o600,
            uid: 0,
            gid: 0,
        };
        let directory = PersonalFile { path: "root/.ssh".into(), content: None, mode: 0o700, ..key.clone() };
        let bytes = of_node(b"image".to_vec(), &lab, &lab.nodes[1], &[directory, key]);
        assert!(bytes.starts_with(b"image\x00\x00\x00070701"));
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("700 0:0 d 0 root/.ssh\n600 0:0 f 1 root/.ssh/authorized_keys\n"), "{text}");
        let mac = lab.name.mac(&lab.nodes[1].name, 2);
        assert!(text.contains(&format!("{mac} eth1 10.232.7.12/24\n")), "{text}");
        assert!(text.contains("node/files/1\0") && text.contains("ssh-ed25519 AAAA"));
    }
}
