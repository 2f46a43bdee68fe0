//! `seeded_directory`: a directory that lives on a volume.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::error::BarclampError;
use super::expand::Instance;
use super::view::ClusterView;
use crate::names::NodeName;
use crate::plan::{FilesystemType, SeedSource};
use crate::resource::{ResourceId, SeededDirectory};

/// `seeded_directory`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeededDirectoryItem {
    /// The directory, an absolute path.
    pub path: String,
    /// Where the volume is mounted.
    pub mount: String,
    /// The volume's device.
    pub device: String,
    /// The file system on it.
    #[serde(rename = "type")]
    pub fstype: String,
    /// The nodes that have the link, separated by blanks.
    pub nodes: String,
    /// The command that makes the device writable before the cluster has it; none where it is.
    #[serde(default)]
    pub open: Vec<String>,
    /// The command that undoes that.
    #[serde(default)]
    pub close: Vec<String>,
    /// The cluster's resource that mounts the volume.
    pub resource: String,
    /// Units that use the directory, separated by blanks: stopped before, started by the cluster only.
    #[serde(default)]
    pub units: String,
}

impl SeededDirectoryItem {
    /// The texts of it that may be templates.
    pub(super) fn texts(&self) -> Vec<String> {
        let single =
            [&self.path, &self.mount, &self.device, &self.fstype, &self.nodes, &self.resource, &self.units];
        single.into_iter().chain(&self.open).chain(&self.close).cloned().collect()
    }
}

/// The directory, for a cluster.
pub(super) fn seeded_directory(
    instance: &Instance<'_>,
    item: &SeededDirectoryItem,
    cluster: &ClusterView,
) -> Result<SeededDirectory, BarclampError> {
    let directory = absolute(instance, &item.path)?;
    let mount = absolute(instance, &item.mount)?;
    if mount.starts_with(&directory) || directory.starts_with(&mount) {
        return Err(instance.error(format!("{directory} cannot live on what is mounted at {mount}")));
    }
    let word = instance.text(&item.fstype)?;
    let fstype = FilesystemType::of(&word)
        .ok_or_else(|| instance.error(format!("`{word}` is no file system that hactl makes")))?;
    let mut nodes = BTreeSet::new();
    for name in instance.text(&item.nodes)?.split_whitespace() {
        let node = cluster.nodes.iter().find(|node| node.name.as_str() == name);
        let node = node.ok_or_else(|| instance.error(format!("there is no node `{name}`")))?;
        nodes.insert(node.name.clone());
    }
    let founder: Option<NodeName> = nodes.get(&cluster.founder).or_else(|| nodes.first()).cloned();
    let founder = founder.ok_or_else(|| instance.error("no node has it"))?;
    Ok(SeededDirectory {
        id: ResourceId::of_cluster("directory", directory.as_str(), &cluster.name),
        requires: Vec::new(),
        nodes,
        founder,
        directory,
        mount,
        source: SeedSource {
            device: instance.text(&item.device)?,
            fstype,
            open: instance.texts(&item.open)?,
            close: instance.texts(&item.close)?,
        },
        resource: instance.text(&item.resource)?,
        units: instance.text(&item.units)?.split_whitespace().map(str::to_owned).collect(),
    })
}

/// A path without `.`, `..` and doubled slashes: it is compared with what the kernel says.
fn absolute(instance: &Instance<'_>, text: &str) -> Result<Utf8PathBuf, BarclampError> {
    let text = instance.text(text)?;
    let plain = text.len() > 1
        && text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if plain {
        Ok(text.into())
    } else {
        Err(instance.error(format!("`{text}` is not a plain absolute path")))
    }
}
