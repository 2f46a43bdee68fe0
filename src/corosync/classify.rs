//! What it takes to go from one `corosync.conf` to another in a running cluster.
//!
//! In: the old and the new configuration and the running version. Out: the heaviest [`ChangeClass`] among the changes,
//! and each [`KeyChange`] with its own class and reason, for the plan to show. The table is in `rules.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::conf::{CorosyncConf, NodeEntry, Transport};
use super::flat::{Flat, other_node_keys, pair_nodes, settings};
use super::rules::{Context, Version, crypto, link_cut, rule};

/// What a change of configuration needs, lightest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeClass {
    /// Nothing: the configurations mean the same.
    None,
    /// `corosync-cfgtool -R` on one node, once all have the new file. Nothing stops.
    Reload,
    /// Corosync (and Pacemaker above it) restarted on one node at a time.
    RollingRestart,
    /// Corosync stopped on all nodes before it is started on any.
    FullStop,
}

impl fmt::Display for ChangeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Reload => "reload",
            Self::RollingRestart => "rolling restart",
            Self::FullStop => "full stop",
        })
    }
}

/// One changed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The path, with nodes and links by name and number: `nodelist.node.ctl1.ring0_addr`. A whole node that comes
    /// or goes is `nodelist.node.ctl1`.
    pub path: String,
    /// The value before; `None` when it was not there.
    pub old: Option<String>,
    /// The value after; `None` when it is removed.
    pub new: Option<String>,
    /// What this change alone would need.
    pub class: ChangeClass,
    /// Why, in words for the plan.
    pub why: &'static str,
}

/// The verdict on a change of `corosync.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// What the change as a whole needs: the heaviest of `changes`.
    pub class: ChangeClass,
    /// Every changed key, sorted by path.
    pub changes: Vec<KeyChange>,
}

/// Compares two configurations for a cluster that runs the given version of corosync. The value of `totem.key`
/// (a shared secret) is never shown in a [`KeyChange`].
#[must_use]
pub fn classify(old: &CorosyncConf, new: &CorosyncConf, version: Version) -> Classification {
    let (old_nodes, new_nodes) = (old.nodes(), new.nodes());
    let context = Context {
        transport: old.transport(),
        version,
        literal_addresses: literal_addresses(&old_nodes) && literal_addresses(&new_nodes),
    };
    let (old_flat, new_flat) = (settings(old), settings(new));
    let mut changes = Vec::new();
    let links = Links::judge(&old_nodes, &new_nodes, &old_flat, &new_flat, context.transport);
    for (path, before, after) in differing(&old_flat, &new_flat) {
        let (class, why) = match path.strip_prefix("totem.interface.").and_then(|rest| rest.split_once('.')) {
            // A section for a link that comes or goes with it.
            Some((link, _)) if links.comes_or_goes(link) => {
                (ChangeClass::Reload, "links are added and removed on reload")
            }
            Some((_, "knet_transport" | "mcastport")) if context.transport == Transport::Knet => {
                link_cut(links.one_stays())
            }
            _ => rule(path, context),
        };
        let shown = |value: Option<&String>| {
            value.map(|value| if path == "totem.key" { "(secret)".to_owned() } else { value.clone() })
        };
        let change = KeyChange { path: path.clone(), old: shown(before), new: shown(after), class, why };
        changes.push(change);
    }
    nodes(old, new, &old_nodes, &new_nodes, &links, &mut changes);
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let class = changes.iter().map(|change| change.class).max().unwrap_or(ChangeClass::None);
    Classification { class, changes }
}

/// What replacing the contents of the authkey takes; the file is not part of `corosync.conf`.
#[must_use]
pub fn classify_authkey_change(conf: &CorosyncConf, version: Version) -> (ChangeClass, &'static str) {
    if conf.crypto().is_none() {
        return (ChangeClass::None, "traffic is neither encrypted nor authenticated: the key is not used");
    }
    crypto(Context { transport: conf.transport(), version, literal_addresses: true })
}

/// The keys that two maps do not agree on, sorted.
pub(super) fn differing<'a>(
    old: &'a Flat,
    new: &'a Flat,
) -> impl Iterator<Item = (&'a String, Option<&'a String>, Option<&'a String>)> {
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    paths
        .into_iter()
        .map(|path| (path, old.get(path), new.get(path)))
        .filter(|(_, before, after)| before != after)
}

/// Whether all addresses are literal, so that no name is looked up.
pub(super) fn literal_addresses(nodes: &[NodeEntry]) -> bool {
    nodes.iter().flat_map(|node| node.addresses.values()).all(|addr| addr.parse::<IpAddr>().is_ok())
}

/// What becomes of each link number.
pub(super) struct Links {
    old: BTreeSet<u8>,
    new: BTreeSet<u8>,
    /// Links that every remaining node keeps, with the same addresses, port and transport.
    staying: BTreeSet<u8>,
}

impl Links {
    pub(super) fn judge(
        old: &[NodeEntry],
        new: &[NodeEntry],
        old_flat: &Flat,
        new_flat: &Flat,
        transport: Transport,
    ) -> Self {
        let used = |nodes: &[NodeEntry]| -> BTreeSet<u8> {
            nodes.iter().flat_map(|node| node.addresses.keys().copied()).collect()
        };
        let (old_links, new_links) = (used(old), used(new));
        let mut staying: BTreeSet<u8> = old_links.intersection(&new_links).copied().collect();
        for pair in pair_nodes(old, new) {
            if let (Some(before), Some(after)) = pair {
                staying.retain(|link| before.addresses.get(link) == after.addresses.get(link));
            }
        }
        staying.retain(|link| {
            ["knet_transport", "mcastport"].iter().all(|key| {
                let path = format!("totem.interface.{link}.{key}");
                old_flat.get(&path) == new_flat.get(&path)
            })
        });
        if transport != Transport::Knet {
            staying.clear();
        }
        Self { old: old_links, new: new_links, staying }
    }

    pub(super) fn comes_or_goes(&self, link: &str) -> bool {
        link.parse().is_ok_and(|link: u8| self.old.contains(&link) != self.new.contains(&link))
    }

    pub(super) fn one_stays(&self) -> bool {
        !self.staying.is_empty()
    }
}

fn nodes(
    old: &CorosyncConf,
    new: &CorosyncConf,
    old_nodes: &[NodeEntry],
    new_nodes: &[NodeEntry],
    links: &Links,
    changes: &mut Vec<KeyChange>,
) {
    let others = |conf: &CorosyncConf| -> BTreeMap<String, Flat> {
        conf.nodes()
            .iter()
            .zip(conf.node_sections())
            .map(|(node, section)| (node.label().to_owned(), other_node_keys(section)))
            .collect()
    };
    let (old_other, new_other) = (others(old), others(new));
    for pair in pair_nodes(old_nodes, new_nodes) {
        match pair {
            (Some(before), Some(after)) => {
                node_changes(before, after, links, changes);
                let empty = Flat::new();
                let before_keys = old_other.get(before.label()).unwrap_or(&empty);
                let after_keys = new_other.get(after.label()).unwrap_or(&empty);
                for (key, from, to) in differing(before_keys, after_keys) {
                    changes.push(KeyChange {
                        path: format!("nodelist.node.{}.{key}", after.label()),
                        old: from.cloned(),
                        new: to.cloned(),
                        class: ChangeClass::Reload,
                        why: "the node list is read again on reload",
                    });
                }
            }
            (None, Some(node)) => changes.push(KeyChange {
                path: format!("nodelist.node.{}", node.label()),
                old: None,
                new: Some(describe(node)),
                class: ChangeClass::Reload,
                why: "nodes are added on reload; corosync is started on the new node afterwards",
            }),
            (Some(node), None) => changes.push(KeyChange {
                path: format!("nodelist.node.{}", node.label()),
                old: Some(describe(node)),
                new: None,
                class: ChangeClass::Reload,
                why: "nodes are removed on reload; corosync is stopped on the node before",
            }),
            (None, None) => {}
        }
    }
}

fn describe(node: &NodeEntry) -> String {
    let addresses: Vec<&str> = node.addresses.values().map(String::as_str).collect();
    match node.nodeid {
        Some(id) => format!("nodeid {id}, {}", addresses.join(", ")),
        None => addresses.join(", "),
    }
}

fn node_changes(before: &NodeEntry, after: &NodeEntry, links: &Links, changes: &mut Vec<KeyChange>) {
    let label = after.label();
    let mut push = |key: &str, old: Option<String>, new: Option<String>, (class, why)| {
        if old != new {
            changes.push(KeyChange { path: format!("nodelist.node.{label}.{key}"), old, new, class, why });
        }
    };
    push(
        "nodeid",
        before.nodeid.map(|id| id.to_string()),
        after.nodeid.map(|id| id.to_string()),
        (
            ChangeClass::FullStop,
            "a node's id is its identity for corosync and Pacemaker, also on the other nodes",
        ),
    );
    push(
        "name",
        before.name.clone(),
        after.name.clone(),
        (
            ChangeClass::FullStop,
            "Pacemaker knows the node id by its old name (a node that is replaced gets an id of its own)",
        ),
    );
    push(
        "quorum_votes",
        Some(before.quorum_votes.to_string()),
        Some(after.quorum_votes.to_string()),
        (ChangeClass::Reload, "votes are counted again on reload"),
    );
    let used: BTreeSet<u8> = before.addresses.keys().chain(after.addresses.keys()).copied().collect();
    for link in used {
        let (from, to) = (before.addresses.get(&link), after.addresses.get(&link));
        let verdict = match (from, to) {
            (Some(_), Some(_)) => link_cut(links.one_stays()),
            _ if links.one_stays() => (ChangeClass::Reload, "links are added and removed on reload"),
            // All links replaced at once: nothing connects the nodes in between.
            _ => link_cut(false),
        };
        push(&format!("ring{link}_addr"), from.cloned(), to.cloned(), verdict);
    }
}
