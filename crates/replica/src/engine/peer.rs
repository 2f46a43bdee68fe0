//! One peer as this node sees it.

use std::collections::{BTreeMap, VecDeque};

use super::congestion::Ahead;
use super::presence::Presence;
use super::secondary::Incoming;
use super::sync::SyncTarget;
use super::sync_source::Serve;
use super::verify::Verify;
use crate::generation::{Generation, Generations};
use crate::ids::{BlockRange, NodeId};
use crate::state::{ConnectionState, DiskState, ReplicationState, Role};
use crate::time::Time;
use crate::wire::PeerReport;

/// How far the negotiation with a connected peer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Negotiation {
    /// Its first word has not come.
    Greeting,
    /// It is to be told what we have, as soon as that does not change under way.
    Wanted,
    /// It was told; its own report is awaited.
    Sent(Box<PeerReport>),
    /// Both decided.
    Over,
    /// Both decided, and are to begin anew once all that was sent to it is stable there: until then it follows.
    Again,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) diskless: bool,
    pub(super) connection: ConnectionState,
    /// Counts connections: what was begun in an older one is dropped.
    pub(super) session: u64,
    pub(super) negotiation: Negotiation,
    /// Its report, when it came before ours was sent.
    pub(super) early_report: Option<Box<PeerReport>>,
    pub(super) replication: ReplicationState,
    pub(super) role: Role,
    pub(super) disk: DiskState,
    /// Which attachment of its disk that is.
    pub(super) disk_instance: u64,
    /// What it said last, kept after it is gone: a tiebreaker judges by it.
    pub(super) known: Option<Box<PeerReport>>,
    /// What a diskless node said of it last.
    pub(super) witnessed: Option<Generations>,
    /// Its power was cut for us. Not recorded: once we were down ourselves, it may have come back without us.
    pub(super) fenced: bool,
    pub(super) discard_my_data: bool,
    pub(super) incoming: Incoming,
    pub(super) target: Option<SyncTarget>,
    /// Resynchronisation requests of the peer.
    pub(super) serves: BTreeMap<u64, Serve>,
    pub(super) verify: Option<Verify>,
    /// Verification requests of the peer.
    pub(super) verify_serves: BTreeMap<u64, BlockRange>,
    /// The target has everything; the generation it takes over is not recorded yet.
    pub(super) commit_wanted: bool,
    pub(super) last_heard: Time,
    pub(super) ping_sent: Option<Time>,
    pub(super) presence: Presence,
    pub(super) since: Time,
    /// Sent and not yet acknowledged: write or epoch, and when.
    pub(super) unacknowledged: VecDeque<(Time, Unacknowledged)>,
    /// Bytes of the writes among these.
    pub(super) unacknowledged_bytes: u64,
    /// It has said something since the last negotiation that shows that it has concluded that too.
    pub(super) answers: bool,
    /// How far it is, while it is left behind.
    pub(super) ahead: Option<Ahead>,
    /// The base that a full copy was promised.
    pub(super) base: Option<Generation>,
    /// Before it became the target its disk was good enough for a promotion, which it is until it has recorded the contrary.
    pub(super) was_good: bool,
}

/// What a peer owes an answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unacknowledged {
    /// A write.
    Write(u64),
    /// A barrier.
    Epoch(u64),
}

impl Peer {
    pub(super) fn new(id: NodeId, diskless: bool) -> Self {
        Self {
            id,
            diskless,
            connection: ConnectionState::StandAlone,
            session: 0,
            negotiation: Negotiation::Greeting,
            early_report: None,
            replication: ReplicationState::Off,
            role: Role::Unknown,
            disk: DiskState::DUnknown,
            disk_instance: 0,
            known: None,
            witnessed: None,
            fenced: false,
            discard_my_data: false,
            incoming: Incoming::default(),
            target: None,
            serves: BTreeMap::new(),
            verify: None,
            verify_serves: BTreeMap::new(),
            commit_wanted: false,
            last_heard: Time::default(),
            ping_sent: None,
            presence: Presence::default(),
            since: Time::default(),
            unacknowledged: VecDeque::new(),
            unacknowledged_bytes: 0,
            answers: false,
            ahead: None,
            base: None,
            was_good: false,
        }
    }

    /// Takes note of what it says. A node that goes on without its disk says nothing of the generations on it: that
    /// others lack what it answered is not forgotten because of that.
    pub(super) fn learn(&mut self, report: &PeerReport) {
        if report.disk_instance != 0 {
            self.disk_instance = report.disk_instance;
        }
        let before = self.known.take().filter(|_| !report.disk.has_data());
        let mut known = report.clone();
        if let Some(before) = before.filter(|before| before.generations.current.is_some()) {
            known.generations = before.generations;
        }
        self.known = Some(Box::new(known));
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection == ConnectionState::Connected
    }

    /// Connected, and both know what to make of one another.
    pub(super) fn is_settled(&self) -> bool {
        self.is_connected() && matches!(self.negotiation, Negotiation::Over | Negotiation::Again)
    }

    /// Whether every write goes to it.
    pub(super) fn follows(&self) -> bool {
        self.is_settled()
            && self.disk.has_data()
            && matches!(
                self.replication,
                ReplicationState::Established
                    | ReplicationState::SyncSource
                    | ReplicationState::SyncTarget
                    | ReplicationState::VerifyS
                    | ReplicationState::VerifyT
            )
    }

    /// Whether it can be read from and written to in place of the own disk.
    pub(super) fn has_good_data(&self) -> bool {
        self.follows() && self.disk == DiskState::UpToDate
    }
}
