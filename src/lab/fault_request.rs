//! Injecting faults, in the words of the command line.
//!
//! In: a request. Out: a broken (or healed) lab. Every request is idempotent.

use super::error::LabError;
use super::faults::{self, Fault};
use super::lifecycle::Lab;
use super::machine::machine;
use super::power::{self, Power};
use super::record::LabNode;

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
    /// Repairs cables: those that concern all the nodes named, on the network named; all without either.
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
