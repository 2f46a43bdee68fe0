//! corosync's node ids: a node keeps the one it has, a new one gets the next that is free.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use crate::corosync::CorosyncConf;
use crate::facts::{FleetFacts, Observation, Query};
use crate::inventory::Cluster;
use crate::names::NodeName;

/// The node ids of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIds(BTreeMap<NodeName, u32>);

/// The file that remembers the ids, on every node.
#[must_use]
fn corosync_conf() -> Query {
    Query::File { path: Utf8PathBuf::from("/etc/corosync/corosync.conf"), text: true }
}

impl NodeIds {
    /// Takes the ids from the configuration of this cluster that lies on the nodes, newest first, and gives the
    /// other nodes ids that no node ever had there.
    #[must_use]
    pub fn of(cluster: &Cluster, facts: &FleetFacts) -> Self {
        let mut confs: Vec<CorosyncConf> = Vec::new();
        for node in cluster.nodes.keys() {
            let Some(seen) = facts.node(node) else { continue };
            if let Observation::File(Some(file)) = seen.observation(&corosync_conf())
                && let Some(conf) = file.text.as_deref().and_then(|text| CorosyncConf::parse(text).ok())
                && conf.cluster_name() == Some(cluster.name.as_str())
            {
                confs.push(conf);
            }
        }
        confs.sort_by_key(|conf| std::cmp::Reverse(conf.config_version()));
        let mut ids: BTreeMap<NodeName, u32> = BTreeMap::new();
        let mut taken: BTreeSet<u32> = BTreeSet::new();
        for entry in confs.iter().flat_map(CorosyncConf::nodes) {
            let (Some(id), Some(name)) = (entry.nodeid, entry.name.as_deref()) else { continue };
            let ours = cluster.nodes.get_key_value(name);
            if let Some((name, _)) = ours
                && !ids.contains_key(name)
                && !ids.values().any(|other| *other == id)
            {
                ids.insert(name.clone(), id);
            }
            taken.insert(id);
        }
        let mut free = (1_u32..).filter(|id| !taken.contains(id));
        for name in cluster.nodes.keys() {
            if !ids.contains_key(name)
                && let Some(id) = free.next()
            {
                ids.insert(name.clone(), id);
            }
        }
        Self(ids)
    }

    /// The nodes by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &NodeName)> {
        let by_id: BTreeMap<u32, &NodeName> = self.0.iter().map(|(name, id)| (*id, name)).collect();
        by_id.into_iter()
    }

    /// The node with the lowest id: it makes what is made once.
    #[must_use]
    pub fn founder(&self) -> Option<&NodeName> {
        self.0.iter().min_by_key(|(_, id)| **id).map(|(name, _)| name)
    }
}
