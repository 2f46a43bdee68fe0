//! How the volume is, and what happens to it, in DRBD's words.

use replica::ids::BLOCK_BYTES;
use replica::state::ReplicationState;
use replica::{Event, NodeId, Suspension};
use serde_json::{Value, json};

use super::owner::Volume;
use crate::blockdev::Settled;
use crate::control::PROTOCOL_VERSION;

/// Bytes in the unit of sizes.
const KIB: u64 = 1024;

impl Volume {
    /// The status, shaped like `drbdsetup status --json`.
    pub(super) fn status(&self) -> Value {
        let replica = &self.replica;
        let config = replica.config();
        let connections: Vec<Value> = config.peers.keys().filter_map(|peer| self.connection(*peer)).collect();
        let counters = self.disk.as_ref().map(|disk| disk.counters()).unwrap_or_default();
        let device = json!({
            "volume": 0,
            "disk-state": replica.disk_state().name(),
            "client": config.diskless,
            "quorum": replica.has_quorum(),
            "size": config.size / KIB,
            "read": counters.read_bytes / KIB,
            "written": counters.written_bytes / KIB,
            "metadata-writes": counters.metadata_groups,
            "flushes": counters.flushes,
            "errors": counters.errors,
            "backing-device": self.disk.as_ref().map(|disk| disk.store().path().display().to_string()),
            "block-device": match &self.device.state {
                Settled::Present(device) => Some(device.display().to_string()),
                Settled::Absent | Settled::Busy => None,
            },
            "attached-by": self.device_kind(),
            "backend": self.disk.as_ref().map(crate::disk::VolumeDisk::backend_name),
            "current-uuid": replica.generations().map(|generations| generations.current.to_string()),
        });
        json!({
            "version": PROTOCOL_VERSION,
            "name": self.settings.name,
            "node-id": config.node.get(),
            "role": replica.role().name(),
            "suspended": replica.io_is_suspended(),
            "suspended-for": self.suspended_for(),
            "sent": self.peers.bytes[0] / KIB,
            "received": self.peers.bytes[1] / KIB,
            "devices": [device],
            "connections": connections,
        })
    }

    /// What I/O waits for, in the words of `drbdsetup status`.
    fn suspended_for(&self) -> Vec<&'static str> {
        let word = |suspension| match suspension {
            Suspension::User => "user",
            Suspension::Quorum => "quorum",
            Suspension::Fencing(_) => "fencing",
        };
        let mut words: Vec<_> = self.replica.suspensions().into_iter().map(word).collect();
        words.dedup();
        words
    }

    /// What has to happen before I/O goes on; nothing when it goes on, or when the admin stopped it and knows.
    pub(super) fn waits_for(&self) -> Option<String> {
        let reason = |suspension| match suspension {
            Suspension::User => None,
            Suspension::Quorum => Some("there is no quorum".to_owned()),
            Suspension::Fencing(peer) => Some(format!("{} is not known to be fenced", self.peer_name(peer))),
        };
        let reasons: Vec<String> = self.replica.suspensions().into_iter().filter_map(reason).collect();
        (!reasons.is_empty())
            .then(|| format!("I/O waits: {}; `resume-io` goes on without", reasons.join(", ")))
    }

    fn connection(&self, peer: NodeId) -> Option<Value> {
        let status = self.replica.peer_status(peer)?;
        let diskless = self.replica.config().peers.get(&peer).is_some_and(|peer| peer.diskless);
        let blocks = self.replica.config().size.div_ceil(BLOCK_BYTES).max(1);
        let syncing =
            matches!(status.replication, ReplicationState::SyncSource | ReplicationState::SyncTarget);
        let in_sync = 100.0 * (1.0 - status.dirty_blocks as f64 / blocks as f64);
        let mut device = json!({
            "volume": 0,
            "replication-state": status.replication.name(),
            "peer-disk-state": status.disk.name(),
            "peer-client": diskless,
            "out-of-sync": status.dirty_blocks * BLOCK_BYTES / KIB,
            "percent-in-sync": (in_sync * 100.0).round() / 100.0,
        });
        if syncing && let Some(device) = device.as_object_mut() {
            device.insert("done".to_owned(), json!((in_sync * 100.0).round() / 100.0));
        }
        Some(json!({
            "peer-node-id": peer.get(),
            "name": self.peer_name(peer),
            "connection-state": status.connection.name(),
            "peer-role": status.role.name(),
            "trouble": self.peers.trouble(peer),
            "peer_devices": [device],
        }))
    }

    /// A line for those who listen to events.
    pub(super) fn event_line(&self, event: &Event) -> Value {
        let peer = |peer: &NodeId| self.peer_name(*peer);
        let (object, detail) = match event {
            Event::Role(role) => ("resource", json!({ "role": role.name() })),
            Event::Disk(state) => ("device", json!({ "disk-state": state.name() })),
            Event::Quorum(quorum) => ("device", json!({ "quorum": quorum })),
            Event::Generation(current) => ("device", json!({ "current-uuid": current.to_string() })),
            Event::Resized(bytes) => ("device", json!({ "size": bytes / KIB })),
            Event::Connection(node, state) => {
                ("connection", json!({ "peer": peer(node), "connection-state": state.name() }))
            }
            Event::Replication(node, state) => {
                ("peer-device", json!({ "peer": peer(node), "replication-state": state.name() }))
            }
            Event::SplitBrain(node) => {
                ("connection", json!({ "peer": peer(node), "trouble": "split-brain" }))
            }
            Event::UnrelatedData(node) => {
                ("connection", json!({ "peer": peer(node), "trouble": "unrelated-data" }))
            }
            Event::CannotJoin(node) => {
                ("connection", json!({ "peer": peer(node), "trouble": "cannot-join" }))
            }
            Event::ProtocolError(node, what) => {
                ("connection", json!({ "peer": peer(node), "trouble": "protocol-error", "message": what }))
            }
            Event::FencingFailed(node, code) => {
                ("connection", json!({ "peer": peer(node), "trouble": "fencing-failed", "exit-code": code }))
            }
            Event::VerifyDone(node, blocks) => {
                ("peer-device", json!({ "peer": peer(node), "verified": true, "differing-blocks": blocks }))
            }
        };
        let mut line = json!({
            "version": PROTOCOL_VERSION, "event": "change", "name": self.settings.name, "object": object,
        });
        if let (Some(line), Value::Object(detail)) = (line.as_object_mut(), detail) {
            line.extend(detail);
        }
        line
    }

    /// The same for people.
    pub(super) fn event_words(&self, event: &Event) -> String {
        let peer = |peer: &NodeId| self.peer_name(*peer);
        match event {
            Event::Role(role) => format!("role: {role}"),
            Event::Disk(state) => format!("disk: {state}"),
            Event::Quorum(quorum) => format!("quorum: {}", if *quorum { "yes" } else { "no" }),
            Event::Generation(current) => format!("new generation {current}"),
            Event::Resized(bytes) => format!("the volume has {bytes} bytes"),
            Event::Connection(node, state) => format!("connection to {}: {state}", peer(node)),
            Event::Replication(
                node,
                state @ (ReplicationState::SyncSource | ReplicationState::SyncTarget),
            ) => {
                let dirty = self.replica.peer_status(*node).map_or(0, |status| status.dirty_blocks);
                let kib = dirty * BLOCK_BYTES / KIB;
                format!("replication with {}: Began resync as {state} (will sync {kib} KB)", peer(node))
            }
            Event::Replication(node, state) => format!("replication with {}: {state}", peer(node)),
            Event::SplitBrain(node) => format!(
                "split brain with {}: both went on apart; nothing was thrown away. Decide whose data goes, and there: \
                 connect --discard-my-data",
                peer(node)
            ),
            Event::UnrelatedData(node) => {
                format!("the data here and that of {} have nothing to do with each other", peer(node))
            }
            Event::CannotJoin(node) => {
                format!("the disks here and on {} cannot be joined without losing data in use", peer(node))
            }
            Event::ProtocolError(node, what) => format!("{} said what it must not: {what}", peer(node)),
            Event::FencingFailed(node, code) => {
                format!("{} could not be fenced: the handler ended with {code}", peer(node))
            }
            Event::VerifyDone(node, blocks) => {
                format!("verified against {}: {blocks} blocks differ", peer(node))
            }
        }
    }
}
