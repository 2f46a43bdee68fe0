//! What must be so on every node before anything is changed on any of them. Pure.
//!
//! In: the inventory's clusters, the facts and the steps. Out: everything that speaks against carrying them out.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::{Action, Blocked, Step};
use crate::corosync::CorosyncConf;
use crate::distro::Distro;
use crate::facts::{ClusterQuery, Fact, FileState, FleetFacts, NodeFacts, Observation, Query};
use crate::inventory::{Cluster, Node};
use crate::names::NodeName;
use crate::resource::ResourceId;

/// Most milliseconds that a node's clock may differ from this machine's beyond what the round trip hides.
pub const MAX_CLOCK_SKEW_MS: u64 = 5_000;
/// Bytes that must be free below `/var` before anything is written.
pub const MIN_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes that must be free wherever packages are downloaded and unpacked, before they are installed.
pub const MIN_FREE_FOR_PACKAGES_BYTES: u64 = 512 * 1024 * 1024;
/// Where packages are unpacked, downloaded and registered.
const PACKAGE_PATHS: [&str; 4] = ["/usr", "/var", "/var/cache", "/var/lib"];
/// Free inodes that must be left.
const MIN_FREE_INODES: u64 = 1_000;
/// Where corosync keeps its configuration.
const COROSYNC_CONF: &str = "/etc/corosync/corosync.conf";
/// The cluster name that Debian's package puts into its example configuration, which listens on loopback only.
const DEBIAN_EXAMPLE_NAME: &str = "debian";

/// What [`check`] must have observed on every node.
#[must_use]
pub fn queries() -> [Query; 2] {
    [
        Query::File { path: Utf8PathBuf::from(COROSYNC_CONF), text: true },
        Query::Cluster(ClusterQuery::LeftoverCib),
    ]
}

/// Everything that speaks against carrying out these steps, on the nodes of the clusters that have any.
#[must_use]
pub fn check<'c>(
    clusters: impl IntoIterator<Item = &'c Cluster>,
    facts: &FleetFacts,
    steps: &[Step],
) -> Vec<Blocked> {
    let changed: BTreeSet<&NodeName> = steps.iter().map(|step| &step.node).collect();
    let installs = |step: &&Step| matches!(step.action, Action::InstallPackages { .. });
    let installing: BTreeSet<&NodeName> = steps.iter().filter(installs).map(|step| &step.node).collect();
    let mut found = Vec::new();
    for cluster in clusters {
        if !cluster.nodes.keys().any(|node| changed.contains(node)) {
            continue;
        }
        for node in cluster.nodes.values() {
            let mut problems = Problems { node: &node.name, found: &mut found };
            match facts.node(&node.name) {
                Some(seen) => {
                    check_node(cluster, node, seen, installing.contains(&node.name), &mut problems);
                }
                None => problems.add("it could not be asked", "see that the node answers, then run again"),
            }
        }
    }
    found
}

struct Problems<'a> {
    node: &'a NodeName,
    found: &'a mut Vec<Blocked>,
}

impl Problems<'_> {
    fn add(&mut self, reason: impl Into<String>, advice: impl Into<String>) {
        self.found.push(Blocked {
            resource: ResourceId::on_node("node", self.node.as_str(), self.node),
            node: Some(self.node.clone()),
            reason: reason.into(),
            advice: advice.into(),
        });
    }

    /// The value of a fact; an unknown one is a problem.
    fn known<'f, T>(&mut self, what: &str, fact: &'f Fact<T>) -> Option<&'f T> {
        match fact {
            Fact::Known(value) => Some(value),
            Fact::Unknown(why) => {
                self.add(format!("{what} could not be learned: {why}"), "see why and run again");
                None
            }
        }
    }
}

fn check_node(cluster: &Cluster, node: &Node, seen: &NodeFacts, installs: bool, problems: &mut Problems<'_>) {
    if let Some(os) = problems.known("the distribution", &seen.os)
        && let Err(error) = Distro::of(os)
    {
        problems.add(error.to_string(), "use one of the supported distributions on the node");
    }
    if let Some(hostname) = problems.known("the host name", &seen.hostname)
        && hostname != node.name.as_str()
    {
        problems.add(
            format!("the machine at {} calls itself `{hostname}`", node.address),
            format!(
                "correct the address in the inventory, or run `hostnamectl set-hostname {}` there",
                node.name
            ),
        );
    }
    clock(seen, problems);
    space(seen, installs, problems);
    addresses(node, seen, problems);
    if installs
        && let Some(manager) = problems.known("the package manager's state", &seen.package_manager)
        && let Some(holder) = &manager.locked_by
    {
        problems.add(
            format!("the package manager is in use by {holder}"),
            "let it finish (or end it), then run again",
        );
    }
    leftovers(cluster, seen, problems);
}

fn clock(seen: &NodeFacts, problems: &mut Problems<'_>) {
    let Some(clock) = problems.known("the time", &seen.clock) else { return };
    let certain = clock.offset_ms.unsigned_abs().saturating_sub(clock.uncertainty_ms);
    if certain > MAX_CLOCK_SKEW_MS {
        let direction = if clock.offset_ms > 0 { "ahead of" } else { "behind" };
        let seconds = clock.offset_ms.unsigned_abs() / 1000;
        problems.add(
            format!("its clock is {seconds} s {direction} this machine's"),
            "let both follow the same time source (chrony, systemd-timesyncd), then run again",
        );
    }
}

fn space(seen: &NodeFacts, installs: bool, problems: &mut Problems<'_>) {
    let Some(space) = problems.known("the free space", &seen.space) else { return };
    for (path, free) in space {
        // A folder that is no file system of its own has what the one above it has: one problem, not two.
        if path.ancestors().skip(1).any(|above| space.get(above) == Some(free)) {
            continue;
        }
        let packages = installs && PACKAGE_PATHS.contains(&path.as_str());
        let needed = if packages { MIN_FREE_FOR_PACKAGES_BYTES } else { MIN_FREE_BYTES };
        if free.available_bytes < needed {
            let mib = |bytes: u64| bytes / (1024 * 1024);
            problems.add(
                format!("{path} has {} MiB free; {} MiB are needed", mib(free.available_bytes), mib(needed)),
                format!("make room below {path} on the node, then run again"),
            );
        } else if free.available_inodes < MIN_FREE_INODES {
            problems.add(
                format!("{path} has {} inodes left; {MIN_FREE_INODES} are needed", free.available_inodes),
                format!("remove files below {path} on the node, then run again"),
            );
        }
    }
}

/// Every link's address must be on an interface of the node that is up.
fn addresses(node: &Node, seen: &NodeFacts, problems: &mut Problems<'_>) {
    let Some(links) = problems.known("the network interfaces", &seen.links) else { return };
    for (number, address) in node.links.iter().enumerate() {
        let holder = links.iter().find(|link| link.addresses.iter().any(|(held, _)| held == address));
        match holder {
            None => problems.add(
                format!("link {number} is to use {address}, which no interface of the node has"),
                format!("configure {address} on the node, or correct `links` in the inventory"),
            ),
            Some(link) if !link.up => problems.add(
                format!("link {number} ({address}) is on {}, which is down", link.name),
                format!("bring {} up on the node", link.name),
            ),
            Some(_) => {}
        }
    }
}

/// Configuration of another cluster is somebody's: it is never overwritten.
fn leftovers(cluster: &Cluster, seen: &NodeFacts, problems: &mut Problems<'_>) {
    let [conf, cib] = queries();
    if let Some(ledger) = problems.known("what hactl owns there", &seen.ledger)
        && !ledger.cluster.is_empty()
    {
        if ledger.cluster != cluster.name.as_str() {
            problems.add(
                format!("it belongs to the cluster `{}` that hactl made", ledger.cluster),
                format!(
                    "`hactl destroy` that cluster first, or give this one its name (`{}`)",
                    ledger.cluster
                ),
            );
        }
        return;
    }
    let present = match seen.observation(&conf) {
        // A text that was not told is too large for a configuration of corosync, or no text at all.
        Observation::File(Some(FileState { text: None, .. })) => {
            return problems.add(
                format!("{COROSYNC_CONF} there is no text that can be judged"),
                format!(
                    "see what it is; if nobody needs it, remove {COROSYNC_CONF} on the node; hactl does not"
                ),
            );
        }
        Observation::File(state) => state.and_then(|state| state.text),
        Observation::Unknown(why) => {
            return problems.add(format!("{COROSYNC_CONF}: {why}"), "see why and run again");
        }
        _ => None,
    };
    let name = present.as_deref().map(|text| {
        CorosyncConf::parse(text)
            .ok()
            .and_then(|conf| conf.cluster_name().map(str::to_owned))
            .unwrap_or_else(|| "(without a name)".to_owned())
    });
    match name {
        Some(name) if name != DEBIAN_EXAMPLE_NAME && name != cluster.name.as_str() => problems.add(
            format!("{COROSYNC_CONF} there is that of another cluster, `{name}`"),
            format!("if that cluster is gone, remove {COROSYNC_CONF} and /var/lib/pacemaker/cib on the node; hactl does not"),
        ),
        None if matches!(seen.observation(&cib), Observation::Text(Some(_))) => problems.add(
            "a CIB of an earlier cluster lies in /var/lib/pacemaker/cib",
            "if that cluster is gone, remove /var/lib/pacemaker/cib/cib* on the node; hactl does not",
        ),
        _ => {}
    }
}

#[cfg(test)]
#[path = "preflight_tests.rs"]
mod tests;
