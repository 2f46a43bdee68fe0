//! The volume's metrics. Their number depends on that of the peers only; `docs/replica.md` lists them.

use replica::NodeId;
use replica::ids::BLOCK_BYTES;
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};

use super::owner::Volume;
use crate::disk::Counters;
use crate::exposition::{Exposition, Kind};

type Labels = Vec<(&'static str, String)>;

/// One sample for each state that there is: 1 for the one that holds.
fn states(labels: &Labels, all: &[&'static str], holds: &str) -> Vec<(Labels, u64)> {
    all.iter()
        .map(|state| {
            let state_label = ("state", (*state).to_owned());
            (labels.iter().cloned().chain([state_label]).collect(), u64::from(*state == holds))
        })
        .collect()
}

impl Volume {
    /// All of them, in Prometheus's text format.
    pub(super) fn metrics(&self) -> String {
        let mut out = Exposition::default();
        self.volume_metrics(&mut out);
        self.disk_metrics(&mut out);
        self.peer_metrics(&mut out);
        out.into_text()
    }

    fn labels(&self) -> Labels {
        vec![("volume", self.settings.name.clone())]
    }

    fn volume_metrics(&self, out: &mut Exposition) {
        let replica = &self.replica;
        let roles: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        let disks: Vec<&str> = DiskState::ALL.iter().map(|state| state.name()).collect();
        out.family(
            ("hactl_replica_role", Kind::Gauge, "Role of this node; 1 for the one it has."),
            states(&self.labels(), &roles, replica.role().name()),
        );
        out.family(
            ("hactl_replica_disk_state", Kind::Gauge, "State of this node's disk; 1 for the one it is in."),
            states(&self.labels(), &disks, replica.disk_state().name()),
        );
        let gauges = [
            ("hactl_replica_quorum", "1 while this node has quorum.", u64::from(replica.has_quorum())),
            ("hactl_replica_io_suspended", "1 while I/O waits.", u64::from(replica.io_is_suspended())),
            ("hactl_replica_size_bytes", "Size of the volume.", self.size),
            (
                "hactl_replica_requests_in_flight",
                "Requests of clients under way.",
                self.requests.len() as u64,
            ),
            (
                "hactl_replica_requests_in_flight_bytes",
                "Data of requests of clients under way.",
                self.requests.bytes(),
            ),
        ];
        for (name, help, value) in gauges {
            out.family((name, Kind::Gauge, help), [(self.labels(), value)]);
        }
        let wire = [
            ("hactl_replica_sent_bytes_total", "Bytes sent to peers.", self.peers.bytes[0]),
            ("hactl_replica_received_bytes_total", "Bytes received from peers.", self.peers.bytes[1]),
        ];
        for (name, help, value) in wire {
            out.family((name, Kind::Counter, help), [(self.labels(), value)]);
        }
    }

    fn disk_metrics(&self, out: &mut Exposition) {
        let Counters { reads, read_bytes, writes, written_bytes, flushes, metadata_groups, errors } =
            self.disk.as_ref().map(crate::disk::VolumeDisk::counters).unwrap_or_default();
        let counters = [
            ("hactl_replica_disk_reads_total", "Reads of data.", reads),
            ("hactl_replica_disk_read_bytes_total", "Bytes of data read.", read_bytes),
            ("hactl_replica_disk_writes_total", "Writes of data.", writes),
            ("hactl_replica_disk_written_bytes_total", "Bytes of data written.", written_bytes),
            ("hactl_replica_disk_flushes_total", "Flushes of the device.", flushes),
            ("hactl_replica_disk_metadata_writes_total", "Groups of metadata written.", metadata_groups),
            ("hactl_replica_disk_errors_total", "Operations of the device that failed.", errors),
        ];
        for (name, help, value) in counters {
            out.family((name, Kind::Counter, help), [(self.labels(), value)]);
        }
    }

    fn peer_metrics(&self, out: &mut Exposition) {
        let peers: Vec<NodeId> = self.replica.config().peers.keys().copied().collect();
        let found: Vec<_> = peers
            .into_iter()
            .filter_map(|peer| {
                let labels: Labels =
                    self.labels().into_iter().chain([("peer", self.peer_name(peer))]).collect();
                Some((labels, self.replica.peer_status(peer)?))
            })
            .collect();
        let connections: Vec<&str> = ConnectionState::ALL.iter().map(|state| state.name()).collect();
        let replications: Vec<&str> = ReplicationState::ALL.iter().map(|state| state.name()).collect();
        let disks: Vec<&str> = DiskState::ALL.iter().map(|state| state.name()).collect();
        out.family(
            ("hactl_replica_peer_connection_state", Kind::Gauge, "Connection to the peer; 1 for its state."),
            found.iter().flat_map(|(labels, peer)| states(labels, &connections, peer.connection.name())),
        );
        out.family(
            (
                "hactl_replica_peer_replication_state",
                Kind::Gauge,
                "Replication to the peer; 1 for its state.",
            ),
            found.iter().flat_map(|(labels, peer)| states(labels, &replications, peer.replication.name())),
        );
        out.family(
            ("hactl_replica_peer_disk_state", Kind::Gauge, "The peer's disk as known here; 1 for its state."),
            found.iter().flat_map(|(labels, peer)| states(labels, &disks, peer.disk.name())),
        );
        out.family(
            (
                "hactl_replica_peer_out_of_sync_bytes",
                Kind::Gauge,
                "Data that the peer may lack, as marked here.",
            ),
            found.iter().map(|(labels, peer)| (labels.clone(), peer.dirty_blocks * BLOCK_BYTES)),
        );
    }
}
