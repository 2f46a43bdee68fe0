//! Faults of the network: cut and slow cables. What is broken is on record, so that a node that is switched on again
//! finds the same cables.
//!
//! In: faults. Out: one bridge-family nft table in the switch's namespace, and token bucket filters. The host's own cable
//! is never cut, so SSH from the host and the fence device stay reachable.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::LabError;
use super::lock::{Lock, Mode};
use super::network::{UPLINK_PORT, interface, port};
use super::process::Program;
use super::record::{LabNode, LabPaths, LabRecord, replace};

/// Longest wait for another change of the faults.
const FAULTS_LOCK_LIMIT: Duration = Duration::from_secs(20);
/// The nft table.
const TABLE: &str = "hactl_lab";
/// Bytes that a slow link passes at once: one large frame and a bit.
const SLOW_BURST: &str = "32kb";

/// Something broken on a network.
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

impl Fault {
    fn network(&self) -> usize {
        match self {
            Self::Partition { network, .. }
            | Self::CutLink { network, .. }
            | Self::SlowLink { network, .. } => *network,
        }
    }

    fn concerns(&self, name: &str) -> bool {
        match self {
            Self::Partition { a, b, .. } => a == name || b == name,
            Self::CutLink { node, .. } | Self::SlowLink { node, .. } => node == name,
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
            faults.insert(fault);
        }
    })
}

/// Repairs what concerns all the nodes named, on this network; empty and `None` mean any.
pub(crate) fn heal(
    lab: &LabRecord,
    paths: &LabPaths,
    nodes: &[String],
    network: Option<usize>,
) -> Result<(), LabError> {
    change(lab, paths, |faults| {
        faults.retain(|fault| {
            let there = network.is_none_or(|network| network == fault.network());
            !(there && nodes.iter().all(|node| fault.concerns(node)))
        });
    })
}

fn change(
    lab: &LabRecord,
    paths: &LabPaths,
    edit: impl FnOnce(&mut BTreeSet<Fault>),
) -> Result<(), LabError> {
    let _lock = Lock::take(&paths.faults_lock(), Mode::Exclusive, FAULTS_LOCK_LIMIT)?;
    let mut faults = current(paths)?;
    edit(&mut faults);
    let text = serde_json::to_string_pretty(&faults)
        .map_err(|error| LabError::Record { path: paths.faults(), reason: error.to_string() })?;
    replace(&paths.faults(), &text)?;
    Program::new("change the lab's cables", ["ip", "netns", "exec", &lab.name.switch(), "nft", "-f", "-"])
        .stdin(ruleset(lab, &faults))
        .run()?;
    for node in &lab.nodes {
        shape(lab, node, &faults)?;
    }
    Ok(())
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
            Fault::SlowLink { .. } => {}
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
    fn faults_survive_as_text() {
        let fault =
            Fault::SlowLink { node: "a".into(), network: 1, rate: "1mbit".into(), latency: "5ms".into() };
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        assert!(text.contains("\"slow-link\""), "{text}");
    }
}
