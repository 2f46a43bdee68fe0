//! Faults that last: cut and slow cables, broken and slow disks. What is broken is on record, so that a node that is
//! switched on again finds the same cables and disks.
//!
//! In: faults. Out: one bridge-family nft table in the switch's namespace, and token bucket filters; the machine breaks the
//! disks. The host's own cable is never cut, so SSH from the host and the fence device stay reachable.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::LabError;
use super::lock::{Lock, Mode};
use super::machine::{DiskOf, machine};
use super::network::{UPLINK_PORT, interface, port};
use super::power;
use super::process::Program;
use super::record::{LabDisk, LabNode, LabPaths, LabRecord, replace};

/// Longest wait for another change of the faults, which may wait for a guest.
const FAULTS_LOCK_LIMIT: Duration = Duration::from_secs(90);
/// The nft table.
const TABLE: &str = "hactl_lab";
/// Bytes that a slow link passes at once: one large frame and a bit.
const SLOW_BURST: &str = "32kb";

/// Something broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fault")]
pub enum Fault {
    /// Two nodes do not reach each other on a network.
    Partition {
        /// The one.
        a: String,
        /// The other.
        b: String,
        /// Number of the network, from 1.
        network: usize,
    },
    /// A node reaches no other node on a network.
    CutLink {
        /// The node.
        node: String,
        /// Number of the network, from 1.
        network: usize,
    },
    /// A disk of a node is broken or slow.
    Disk {
        /// The node.
        node: String,
        /// The disk.
        disk: String,
        /// What is wrong with it.
        with: DiskFault,
    },
    /// A node's cable carries less.
    SlowLink {
        /// The node.
        node: String,
        /// Number of the network, from 1.
        network: usize,
        /// As tc(8) writes it: `10mbit`.
        rate: String,
        /// Longest time that a packet waits, as tc(8) writes it: `50ms`.
        latency: String,
    },
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// Every request fails (EIO).
    Failing,
    /// It does no more than this.
    Slow {
        /// Requests per second.
        iops: u64,
        /// Bytes per second.
        bytes_per_second: u64,
    },
}

impl Fault {
    /// The network that it is on, if it is one of a network.
    fn network(&self) -> Option<usize> {
        match self {
            Self::Partition { network, .. }
            | Self::CutLink { network, .. }
            | Self::SlowLink { network, .. } => Some(*network),
            Self::Disk { .. } => None,
        }
    }

    fn concerns(&self, name: &str) -> bool {
        match self {
            Self::Partition { a, b, .. } => a == name || b == name,
            Self::CutLink { node, .. } | Self::SlowLink { node, .. } | Self::Disk { node, .. } => {
                node == name
            }
        }
    }
}

/// What is broken now.
pub(crate) fn current(paths: &LabPaths) -> Result<BTreeSet<Fault>, LabError> {
    let path = paths.faults();
    match fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map_err(|error| LabError::Record { path, reason: error.to_string() })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(LabError::io("read", &path)(error)),
    }
}

/// Breaks more.
pub(crate) fn add(lab: &LabRecord, paths: &LabPaths, more: Vec<Fault>) -> Result<(), LabError> {
    change(lab, paths, |faults| {
        for fault in more {
            if let Fault::SlowLink { node, network, .. } = &fault {
                // A cable has one speed.
                faults.retain(|old| !matches!(old, Fault::SlowLink { node: n, network: w, .. } if n == node && w == network));
            }
            if let Fault::Disk { node, disk, .. } = &fault {
                // A disk is broken in one way.
                faults.retain(
                    |old| !matches!(old, Fault::Disk { node: n, disk: d, .. } if n == node && d == disk),
                );
            }
            faults.insert(fault);
        }
    })
}

/// Repairs what concerns all the nodes named, on this network; empty and `None` mean any. Disks are on no network.
pub(crate) fn heal(
    lab: &LabRecord,
    paths: &LabPaths,
    nodes: &[String],
    network: Option<usize>,
) -> Result<(), LabError> {
    change(lab, paths, |faults| {
        faults.retain(|fault| {
            let there = network.is_none_or(|network| Some(network) == fault.network());
            !(there && nodes.iter().all(|node| fault.concerns(node)))
        });
    })
}

/// Repairs one disk.
pub(crate) fn mend_disk(lab: &LabRecord, paths: &LabPaths, node: &str, disk: &str) -> Result<(), LabError> {
    change(lab, paths, |faults| {
        faults.retain(|old| !matches!(old, Fault::Disk { node: n, disk: d, .. } if n == node && d == disk));
    })
}

fn change(
    lab: &LabRecord,
    paths: &LabPaths,
    edit: impl FnOnce(&mut BTreeSet<Fault>),
) -> Result<(), LabError> {
    let _lock = Lock::take(&paths.faults_lock(), Mode::Exclusive, FAULTS_LOCK_LIMIT)?;
    let mut faults = current(paths)?;
    let before = faults.clone();
    edit(&mut faults);
    let text = serde_json::to_string_pretty(&faults)
        .map_err(|error| LabError::Record { path: paths.faults(), reason: error.to_string() })?;
    replace(&paths.faults(), &text)?;
    Program::new("change the lab's cables", ["ip", "netns", "exec", &lab.name.switch(), "nft", "-f", "-"])
        .stdin(ruleset(lab, &faults))
        .run()?;
    for node in &lab.nodes {
        shape(lab, node, &faults)?;
        for disk in &node.disks {
            let now = of_disk(&faults, node, disk);
            if now != of_disk(&before, node, disk) {
                set_disk(lab, node, disk, paths, now)?;
            }
        }
    }
    Ok(())
}

/// Breaks the disks of a node that has just been started as they were before.
pub(crate) fn apply_to_disks(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let faults = current(paths)?;
    for disk in &node.disks {
        if let Some(fault) = of_disk(&faults, node, disk) {
            set_disk(lab, node, disk, paths, Some(fault))?;
        }
    }
    Ok(())
}

fn of_disk<'a>(faults: &'a BTreeSet<Fault>, node: &LabNode, disk: &LabDisk) -> Option<&'a DiskFault> {
    faults.iter().find_map(|fault| match fault {
        Fault::Disk { node: n, disk: d, with } if n == node.name.as_str() && *d == disk.name => Some(with),
        _ => None,
    })
}

/// A node that is off finds its disks as they are when it is switched on.
fn set_disk(
    lab: &LabRecord,
    node: &LabNode,
    disk: &LabDisk,
    paths: &LabPaths,
    fault: Option<&DiskFault>,
) -> Result<(), LabError> {
    if !power::group(lab, node)?.is_populated() {
        return Ok(());
    }
    machine(lab.backend).set_disk_fault(DiskOf { node, disk, paths }, fault)
}

/// Sets the speeds of the cables of a node that has just been plugged in.
pub(crate) fn apply_to_node(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    let faults = current(paths)?;
    if faults.iter().any(|fault| matches!(fault, Fault::SlowLink { .. })) {
        shape(lab, node, &faults)
    } else {
        Ok(())
    }
}

/// Both ends of each of the node's cables get the recorded speed, or their own again.
fn shape(lab: &LabRecord, node: &LabNode, faults: &BTreeSet<Fault>) -> Result<(), LabError> {
    let switch = lab.name.switch();
    let namespace = lab.name.object(&node.name);
    if !super::network::namespace_path(&namespace).exists() {
        // It is off; its cables are set when it is switched on.
        return Ok(());
    }
    for network in &lab.networks {
        let slow = faults.iter().find_map(|fault| match fault {
            Fault::SlowLink { node: name, network: number, rate, latency }
                if name == node.name.as_str() && *number == network.number =>
            {
                Some((rate, latency))
            }
            _ => None,
        });
        for (space, device) in
            [(&switch, port(node, network.number)), (&namespace, interface(network.number))]
        {
            let tc = |words: &[&str]| {
                Program::new("change a link's speed", ["tc", "-n", space, "qdisc"])
                    .arg(words[0])
                    .arg("dev")
                    .arg(&device)
                    .arg("root")
            };
            match slow {
                Some((rate, latency)) => {
                    let words = ["tbf", "rate", rate, "burst", SLOW_BURST, "latency", latency];
                    words.iter().fold(tc(&["replace"]), |program, word| program.arg(word)).run()?;
                }
                // It is normal that there is nothing to remove.
                None => drop(tc(&["del"]).finish()?),
            }
        }
    }
    Ok(())
}

/// The whole table; loading it replaces the former one in one transaction.
fn ruleset(lab: &LabRecord, faults: &BTreeSet<Fault>) -> String {
    let port_of = |name: &str, network: usize| {
        lab.nodes.iter().find(|node| node.name.as_str() == name).map(|node| port(node, network))
    };
    let mut rules = BTreeSet::new();
    for fault in faults {
        match fault {
            Fault::Partition { a, b, network } => {
                if let (Some(a), Some(b)) = (port_of(a, *network), port_of(b, *network)) {
                    rules.insert(format!("iifname \"{a}\" oifname \"{b}\" drop"));
                    rules.insert(format!("iifname \"{b}\" oifname \"{a}\" drop"));
                }
            }
            Fault::CutLink { node, network } => {
                if let Some(port) = port_of(node, *network) {
                    rules.insert(format!("iifname \"{port}\" oifname != \"{UPLINK_PORT}\" drop"));
                    rules.insert(format!("oifname \"{port}\" iifname != \"{UPLINK_PORT}\" drop"));
                }
            }
            Fault::SlowLink { .. } | Fault::Disk { .. } => {}
        }
    }
    let rules: String = rules.iter().map(|rule| format!("    {rule}\n")).collect();
    format!(
        "table bridge {TABLE}\ndelete table bridge {TABLE}\ntable bridge {TABLE} {{\n  chain forward {{\n    \
         type filter hook forward priority 0; policy accept;\n{rules}  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    #[test]
    fn a_partition_cuts_both_ways_on_its_network_only() {
        let faults = BTreeSet::from([Fault::Partition { a: "alpha".into(), b: "gamma".into(), network: 2 }]);
        let text = ruleset(&record(), &faults);
        assert!(text.contains("iifname \"n0l2\" oifname \"n2l2\" drop"), "{text}");
        assert!(text.contains("iifname \"n2l2\" oifname \"n0l2\" drop"), "{text}");
        assert!(!text.contains("l1"), "{text}");
    }

    #[test]
    fn a_cut_link_spares_the_host() {
        let faults = BTreeSet::from([Fault::CutLink { node: "beta".into(), network: 1 }]);
        let text = ruleset(&record(), &faults);
        assert!(text.contains("iifname \"n1l1\" oifname != \"uplink\" drop"), "{text}");
    }

    #[test]
    fn a_disk_is_broken_in_one_way_and_no_cable() {
        let lab = record();
        let slow = DiskFault::Slow { iops: 120, bytes_per_second: 12 << 20 };
        let of = |with| Fault::Disk { node: "beta".into(), disk: "data1".into(), with };
        let faults = BTreeSet::from([of(slow)]);
        assert_eq!(of_disk(&faults, &lab.nodes[1], &lab.nodes[1].disks[0]), Some(&slow));
        assert_eq!(of_disk(&faults, &lab.nodes[0], &lab.nodes[0].disks[0]), None);
        assert_eq!(ruleset(&lab, &faults), ruleset(&lab, &BTreeSet::new()));
        assert!(of(slow).concerns("beta") && !of(slow).concerns("alpha"));
        let text = serde_json::to_string(&of(DiskFault::Failing)).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), of(DiskFault::Failing), "{text}");
    }

    #[test]
    fn faults_survive_as_text() {
        let fault =
            Fault::SlowLink { node: "a".into(), network: 1, rate: "1mbit".into(), latency: "5ms".into() };
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        assert!(text.contains("\"slow-link\""), "{text}");
    }
}
