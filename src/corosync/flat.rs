//! A configuration as a map from path to value, the way corosync puts it into its own map.
//!
//! In: a [`CorosyncConf`]. Out: paths as in cmap_keys(7) (`totem.interface.1.knet_link_priority`,
//! `logging.logger_subsys.QUORUM.debug`), except that nodes stand under what identifies them rather than under their
//! position in the file, so that two orders of the same nodes are the same configuration.

use std::collections::BTreeMap;

use super::conf::{CorosyncConf, NodeEntry, interface_options, link_number};
use super::tree::{Entry, Section};

/// Paths and values.
pub(super) type Flat = BTreeMap<String, String>;

/// Everything in the file but its nodes.
pub(super) fn settings(conf: &CorosyncConf) -> Flat {
    let mut flat = Flat::new();
    for entry in &conf.tree().entries {
        match entry {
            Entry::Section { name, body } if name == "nodelist" => keys_only(body, name, &mut flat),
            Entry::Section { name, body } => section(body, name, &mut flat),
            Entry::Key { name, value } => {
                flat.insert(name.clone(), value.clone());
            }
            Entry::Comment(_) => {}
        }
    }
    flat
}

fn keys_only(body: &Section, path: &str, flat: &mut Flat) {
    for entry in &body.entries {
        if let Entry::Key { name, value } = entry {
            flat.insert(format!("{path}.{name}"), value.clone());
        }
    }
}

fn section(body: &Section, path: &str, flat: &mut Flat) {
    for entry in &body.entries {
        match entry {
            Entry::Comment(_) => {}
            Entry::Key { name, value } if path == "uidgid" => {
                flat.insert(format!("uidgid.config.{name}.{value}"), "1".to_owned());
            }
            Entry::Key { name, value } => {
                flat.insert(format!("{path}.{name}"), value.clone());
            }
            Entry::Section { name, body } if path == "totem" && name == "interface" => {
                let link = link_number(body);
                for (key, value) in interface_options(body) {
                    flat.insert(format!("totem.interface.{link}.{key}"), value);
                }
            }
            Entry::Section { name, body } if path == "logging" && name == "logger_subsys" => {
                let subsys = body.get("subsys").unwrap_or_default().to_owned();
                let inner = format!("logging.logger_subsys.{subsys}");
                section(body, &inner, flat);
                flat.remove(&format!("{inner}.subsys"));
            }
            Entry::Section { name, body } => section(body, &format!("{path}.{name}"), flat),
        }
    }
}

/// The keys of one node that are not addresses, id, name or votes.
pub(super) fn other_node_keys(node: &Section) -> Flat {
    let known = |name: &str| {
        matches!(name, "name" | "nodeid" | "quorum_votes")
            || (name.starts_with("ring") && name.ends_with("_addr"))
    };
    node.entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Key { name, value } if !known(name) => Some((name.clone(), value.clone())),
            _ => None,
        })
        .collect()
}

/// The old and the new entry of each node, where there is one: matched by name, else by id, else (where name
/// and id are missing) by first address.
pub(super) fn pair_nodes<'a>(
    old: &'a [NodeEntry],
    new: &'a [NodeEntry],
) -> Vec<(Option<&'a NodeEntry>, Option<&'a NodeEntry>)> {
    let mut partner: Vec<Option<usize>> = vec![None; new.len()];
    let mut taken = vec![false; old.len()];
    let ways: [fn(&NodeEntry, &NodeEntry) -> bool; 4] = [
        |a, b| a.name.is_some() && a.name == b.name,
        |a, b| a.nodeid.is_some() && a.nodeid == b.nodeid,
        |a, b| {
            (a.name.is_none() || b.name.is_none())
                && (a.nodeid.is_none() || b.nodeid.is_none())
                && a.addresses.contains_key(&0)
                && a.addresses.get(&0) == b.addresses.get(&0)
        },
        // An entry that says nothing of the node at all.
        |a, b| a == b,
    ];
    for way in ways {
        for (index, node) in
            new.iter().enumerate().filter(|(index, _)| partner[*index].is_none()).collect::<Vec<_>>()
        {
            let found = old.iter().enumerate().position(|(at, candidate)| !taken[at] && way(candidate, node));
            if let Some(at) = found {
                taken[at] = true;
                partner[index] = Some(at);
            }
        }
    }
    let mut pairs: Vec<_> =
        new.iter().zip(&partner).map(|(node, at)| (at.map(|at| &old[at]), Some(node))).collect();
    pairs.extend(old.iter().zip(taken).filter(|(_, taken)| !taken).map(|(node, _)| (Some(node), None)));
    pairs
}
