//! How a lab is.
//!
//! In: a lab. Out: a value to show or to serialise. Changes nothing.

use std::path::PathBuf;

use serde::Serialize;

use super::config::{Accelerator, Backend};
use super::error::LabError;
use super::faults::{self, Fault};
use super::fence_device;
use super::lifecycle::Lab;
use super::machine::machine;
use super::power::{self, Power};
use super::record::{LabNetwork, LabNode};

/// Version of the serialised form.
const STATUS_FORMAT: u32 = 1;

/// A lab and its nodes.
#[derive(Debug, Clone, Serialize)]
pub struct LabStatus {
    /// Version of this form.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// What its nodes are.
    pub backend: Backend,
    /// What runs virtual machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// The Debian of its nodes.
    pub suite: String,
    /// Where it is kept.
    pub state_dir: PathBuf,
    /// The inventory for its nodes.
    pub inventory: PathBuf,
    /// For `ssh -F`.
    pub ssh_config: PathBuf,
    /// Whether the fence device serves.
    pub fence_device: bool,
    /// Its networks.
    pub networks: Vec<LabNetwork>,
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
    /// Broken and slow cables.
    pub faults: Vec<Fault>,
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// What is known of it.
    #[serde(flatten)]
    pub node: LabNode,
    /// Whether it has power.
    pub power: Power,
    /// Whether it is frozen.
    pub frozen: bool,
    /// How many processes it runs.
    pub processes: usize,
}

impl Lab {
    /// How it is.
    ///
    /// # Errors
    /// Something of it cannot be read.
    pub fn status(&self) -> Result<LabStatus, LabError> {
        let nodes = self.record.nodes.iter().map(|node| {
            let group = power::group(&self.record, node)?;
            Ok(NodeStatus {
                node: node.clone(),
                power: power::state(&self.record, node, &self.paths)?,
                frozen: group.is_populated()
                    && machine(self.record.backend).is_frozen(node, &self.paths, &group)?,
                processes: group.processes().len(),
            })
        });
        Ok(LabStatus {
            format: STATUS_FORMAT,
            name: self.record.name.to_string(),
            backend: self.record.backend,
            accelerator: self.record.accelerator,
            suite: self.record.suite.to_string(),
            state_dir: self.paths.root().to_path_buf(),
            inventory: self.paths.inventory(),
            ssh_config: self.paths.ssh_config(),
            fence_device: fence_device::is_running(&self.paths),
            networks: self.record.networks.clone(),
            nodes: nodes.collect::<Result<_, LabError>>()?,
            faults: faults::current(&self.paths)?.into_iter().collect(),
        })
    }
}
