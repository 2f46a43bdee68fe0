//! Injecting faults, in the words of the command line.
//!
//! In: a request. Out: a broken (or healed) lab. Every request is idempotent.

use std::fs;

use super::config::{Backend, check_size};
use super::error::LabError;
use super::faults::{self, DiskFault, Fault};
use super::lifecycle::Lab;
use super::machine::{DiskOf, machine};
use super::power::{self, Power};
use super::record::{LabDisk, LabNode};

/// What to break or repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultRequest {
    /// Cuts a node's power: it is off, and what it had not synced is lost.
    PowerCut {
        /// The node.
        node: String,
    },
    /// Restores a node's power and waits until it answers SSH.
    PowerOn {
        /// The node.
        node: String,
    },
    /// Everything on the node stands still; a container's addresses still answer ping.
    Freeze {
        /// The node.
        node: String,
    },
    /// Ends [`FaultRequest::Freeze`].
    Thaw {
        /// The node.
        node: String,
    },
    /// None of `a` reaches any of `b` any more.
    Partition {
        /// Nodes on one side.
        a: Vec<String>,
        /// Nodes on the other side.
        b: Vec<String>,
        /// On this network (from 1), or on all.
        network: Option<usize>,
    },
    /// The node reaches no other node on a network.
    CutLink {
        /// The node.
        node: String,
        /// On this network (from 1), or on all.
        network: Option<usize>,
    },
    /// The node's cable carries less.
    SlowLink {
        /// The node.
        node: String,
        /// On this network (from 1), or on all.
        network: Option<usize>,
        /// As tc(8) writes it: `10mbit`.
        rate: String,
        /// Longest time that a packet waits, as tc(8) writes it: `50ms`.
        latency: String,
    },
    /// Gives a disk more room, also while the node runs. The lab's record goes on saying how large it was made.
    ResizeDisk {
        /// The node.
        node: String,
        /// The disk.
        disk: String,
        /// Its new size in bytes.
        size_bytes: u64,
    },
    /// Swaps a disk for a blank one of the same name and serial number. A virtual machine that runs sees the one go and
    /// the other come; a container's disk must not be in use. The lab's record goes on saying how large it was made.
    ReplaceDisk {
        /// The node.
        node: String,
        /// The disk.
        disk: String,
        /// The new one's size in bytes; that of the old one without.
        size_bytes: Option<u64>,
    },
    /// A disk of a virtual machine fails, or is slow, until it is healed.
    Disk {
        /// The node.
        node: String,
        /// The disk.
        disk: String,
        /// What is wrong with it.
        with: DiskFault,
    },
    /// Repairs cables and disks: those that concern all the nodes named; cables on the network named; all without either.
    Heal {
        /// Nodes.
        nodes: Vec<String>,
        /// On this network (from 1), or on all.
        network: Option<usize>,
    },
}

impl Lab {
    /// Breaks or repairs something.
    ///
    /// # Errors
    /// There is no such node or network, the lab is going up or down, or the system refused.
    pub fn inject(&self, request: &FaultRequest) -> Result<(), LabError> {
        let _lock = self.use_it()?;
        match request {
            FaultRequest::PowerCut { node } => power::off(&self.record, self.record.node(node)?, &self.paths),
            FaultRequest::PowerOn { node } => {
                power::on(&self.record, self.record.node(node)?, &self.paths)?;
                self.wait_for_ssh(node)
            }
            FaultRequest::Freeze { node } => self.freeze(self.record.node(node)?),
            FaultRequest::Thaw { node } => self.thaw(self.record.node(node)?),
            FaultRequest::Partition { a, b, network } => {
                let mut more = Vec::new();
                for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
                    let (a, b) = (self.record.node(a)?, self.record.node(b)?);
                    if a.name == b.name {
                        return Err(LabError::Usage(format!("{} cannot be parted from itself", a.name)));
                    }
                    // One pair has one record, whichever way it is named.
                    let (a, b) = if a.name < b.name { (a, b) } else { (b, a) };
                    more.extend(self.networks(*network)?.into_iter().map(|network| Fault::Partition {
                        a: a.name.to_string(),
                        b: b.name.to_string(),
                        network,
                    }));
                }
                faults::add(&self.record, &self.paths, more)
            }
            FaultRequest::CutLink { node, network } => {
                let node = self.record.node(node)?.name.to_string();
                let more = self.networks(*network)?.into_iter();
                let more = more.map(|network| Fault::CutLink { node: node.clone(), network }).collect();
                faults::add(&self.record, &self.paths, more)
            }
            FaultRequest::SlowLink { node, network, rate, latency } => {
                let node = self.record.node(node)?.name.to_string();
                let slow = |network| Fault::SlowLink {
                    node: node.clone(),
                    network,
                    rate: rate.clone(),
                    latency: latency.clone(),
                };
                check_tc(rate)?;
                check_tc(latency)?;
                let more = self.networks(*network)?.into_iter().map(slow).collect();
                faults::add(&self.record, &self.paths, more)
            }
            FaultRequest::ResizeDisk { node, disk, size_bytes } => {
                self.resize_disk(self.record.node(node)?, disk, *size_bytes)
            }
            FaultRequest::ReplaceDisk { node, disk, size_bytes } => {
                self.replace_disk(self.record.node(node)?, disk, *size_bytes)
            }
            FaultRequest::Disk { node, disk, with } => {
                let node = self.record.node(node)?;
                let disk = self.disk(node, disk)?.name.clone();
                if self.record.backend == Backend::Container {
                    return Err(LabError::Usage(
                        "only a virtual machine's disks can fail or be slow (--backend vm)".to_owned(),
                    ));
                }
                let fault = Fault::Disk { node: node.name.to_string(), disk, with: *with };
                faults::add(&self.record, &self.paths, vec![fault])
            }
            FaultRequest::Heal { nodes, network } => {
                for node in nodes {
                    self.record.node(node)?;
                }
                self.networks(*network)?;
                faults::heal(&self.record, &self.paths, nodes, *network)
            }
        }
    }

    /// The faults of the network that are injected now.
    ///
    /// # Errors
    /// The record of them cannot be read.
    pub fn faults(&self) -> Result<Vec<Fault>, LabError> {
        Ok(faults::current(&self.paths)?.into_iter().collect())
    }

    /// Whether a node has power.
    ///
    /// # Errors
    /// There is no such node.
    pub fn power(&self, node: &str) -> Result<Power, LabError> {
        power::state(&self.record, self.record.node(node)?, &self.paths)
    }

    fn freeze(&self, node: &LabNode) -> Result<(), LabError> {
        let group = power::group(&self.record, node)?;
        if !group.is_populated() {
            return Err(LabError::Usage(format!("node {} is off", node.name)));
        }
        machine(self.record.backend).freeze(node, &self.paths, &group)
    }

    fn thaw(&self, node: &LabNode) -> Result<(), LabError> {
        let group = power::group(&self.record, node)?;
        if !group.is_populated() {
            return Ok(());
        }
        machine(self.record.backend).thaw(node, &self.paths, &group)
    }

    fn disk<'a>(&self, node: &'a LabNode, name: &str) -> Result<&'a LabDisk, LabError> {
        node.disks.iter().find(|disk| disk.name == name).ok_or_else(|| {
            let known: Vec<&str> = node.disks.iter().map(|disk| disk.name.as_str()).collect();
            LabError::Usage(format!("node {} has no disk `{name}`; it has {}", node.name, known.join(", ")))
        })
    }

    fn resize_disk(&self, node: &LabNode, name: &str, size_bytes: u64) -> Result<(), LabError> {
        let disk = self.disk(node, name)?;
        let file = DiskOf { node, disk, paths: &self.paths }.file();
        let now = fs::metadata(&file).map_err(LabError::io("read", &file))?.len();
        check_size(size_bytes, name)?;
        if size_bytes < now {
            return Err(LabError::Usage(format!(
                "the disk `{name}` of {} has {now} bytes: a disk only grows",
                node.name
            )));
        }
        // Everybody who has a shared disk is told.
        for node in self.record.nodes.iter().filter(|other| disk.shared || other.name == node.name) {
            let _lock = power::lock(node, &self.paths)?;
            let runs = power::group(&self.record, node)?.is_populated();
            let own = DiskOf { node, disk: self.disk(node, name)?, paths: &self.paths };
            machine(self.record.backend).resize_disk(own, size_bytes, runs)?;
        }
        Ok(())
    }

    fn replace_disk(&self, node: &LabNode, name: &str, size_bytes: Option<u64>) -> Result<(), LabError> {
        let disk = self.disk(node, name)?;
        if disk.shared {
            return Err(LabError::Usage(format!("the disk `{name}` is not {}'s alone", node.name)));
        }
        let own = DiskOf { node, disk, paths: &self.paths };
        let size_bytes = match size_bytes {
            Some(size_bytes) => {
                check_size(size_bytes, name)?;
                size_bytes
            }
            None => fs::metadata(own.file()).map_err(LabError::io("read", &own.file()))?.len(),
        };
        let _lock = power::lock(node, &self.paths)?;
        let runs = power::group(&self.record, node)?.is_populated();
        // The new one is not broken.
        faults::mend_disk(&self.record, &self.paths, node.name.as_str(), name)?;
        machine(self.record.backend).replace_disk(own, size_bytes, runs)
    }

    fn networks(&self, wanted: Option<usize>) -> Result<Vec<usize>, LabError> {
        let known: Vec<usize> = self.record.networks.iter().map(|network| network.number).collect();
        match wanted {
            None => Ok(known),
            Some(number) if known.contains(&number) => Ok(vec![number]),
            Some(number) => Err(LabError::Usage(format!(
                "lab `{}` has no network {number}; it has 1 to {}",
                self.record.name,
                known.len()
            ))),
        }
    }
}

/// A rate or a time of tc(8): digits and a unit, nothing that could be another word of its language.
fn check_tc(text: &str) -> Result<(), LabError> {
    let good = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    if good {
        Ok(())
    } else {
        Err(LabError::Usage(format!("`{text}` is not a rate or a time, such as 10mbit or 50ms")))
    }
}
