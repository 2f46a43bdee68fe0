//! The replica itself: its fields, the dispatch of inputs, the queue of outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::admission::Admit;
use super::disk::{After, Leaving, LocalDisk, OpKind};
use super::epoch::Epochs;
use super::fencing::Handlers;
use super::generation_change::Change;
use super::peer::Peer;
use super::resize::{Growth, Resize};
use super::role::{Demotion, Promotion};
use super::two_primaries::Inherited;
use super::write::{Read, Write};
use crate::config::{Config, ConfigError, QuorumPolicy};
use crate::generation::{Generation, Generations};
use crate::ids::{NodeId, OpId};
use crate::io::{Admin, AdminError, ClientError, ClientRequest, DiskOp, Event, Input, Output};
use crate::locks::RangeLocks;
use crate::state::Role;
use crate::time::Time;
use crate::wire::Message;

/// Who holds or wants a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LockOwner {
    /// A client's write.
    Write(u64),
    /// A write received from a peer.
    PeerWrite(NodeId, u64),
    /// A resynchronisation read for a peer: session and request.
    Serve(NodeId, u64, u64),
    /// A resynchronisation request of ours: session and request.
    Pull(NodeId, u64, u64),
    /// A verification of ours: session and request.
    Verify(NodeId, u64, u64),
    /// A verification of a peer's: session and request.
    VerifyServe(NodeId, u64, u64),
}

/// One volume on one node.
#[derive(Debug)]
pub struct Replica {
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) outputs: VecDeque<Output>,
    entropy: u64,
    next_op: u64,
    pub(super) role: Role,
    pub(super) disk: LocalDisk,
    /// A disk that is being given up.
    pub(super) leaving: Option<Leaving>,
    /// The generations of the good data that the own disk had when it was lost.
    pub(super) lost: Generations,
    /// The generation of the data that a Primary without good data of its own works with.
    pub(super) exposed: Generation,
    /// The generation that such a Primary told the peer to begin last; whether it did is known once it says so.
    pub(super) proposed: Generation,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    pub(super) ops: BTreeMap<OpId, OpKind>,
    pub(super) locks: RangeLocks<LockOwner>,
    pub(super) next_write: u64,
    pub(super) writes: BTreeMap<u64, Write>,
    pub(super) reads: BTreeMap<u64, Read>,
    /// Requests that wait to be let in, first come first.
    pub(super) admission: VecDeque<Admit>,
    /// Writes that are done but may not be answered yet.
    pub(super) held: BTreeSet<u64>,
    pub(super) epochs: Epochs,
    /// The attachment of a peer's disk on whose word writes were answered that may not have been stable there when it
    /// was lost. The next flush has to say so, unless that same attachment comes back and confirms them.
    pub(super) lost_writes: Option<(NodeId, u64)>,
    pub(super) change: Change,
    /// A generation is to begin as soon as anything may be answered, without waiting for a write.
    pub(super) change_is_due: bool,
    pub(super) quorum: bool,
    /// Counts the arrivals and losses of diskless nodes.
    pub(super) moment: u64,
    pub(super) suspended: bool,
    /// Peers whose fencing I/O waits for.
    pub(super) fencing: BTreeSet<NodeId>,
    /// The handlers that run to fence peers and to take that back.
    pub(super) fence_handlers: BTreeMap<NodeId, Handlers>,
    pub(super) inherited: Inherited,
    pub(super) promotion: Option<Promotion>,
    pub(super) demotion: Option<Demotion>,
    pub(super) resize: Option<Resize>,
    pub(super) growth: Option<Growth>,
    /// The peer to which a promotion was granted, and its number.
    pub(super) promised: Option<(NodeId, u64)>,
    pub(super) holders: Vec<String>,
    pub(super) last_client_io: Time,
}

impl Replica {
    /// A replica that is Secondary, without a disk and unconnected.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(config: Config, entropy: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let peers = config.peers.iter().map(|(id, peer)| (*id, Peer::new(*id, peer.diskless))).collect();
        let quorum = config.quorum == QuorumPolicy::Off;
        Ok(Self {
            disk: LocalDisk::none(&config),
            leaving: None,
            config,
            now: Time::default(),
            outputs: VecDeque::new(),
            entropy,
            next_op: 0,
            role: Role::Secondary,
            lost: Generations::default(),
            exposed: Generation::NONE,
            proposed: Generation::NONE,
            peers,
            ops: BTreeMap::new(),
            locks: RangeLocks::new(),
            next_write: 0,
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            admission: VecDeque::new(),
            held: BTreeSet::new(),
            epochs: Epochs::new(),
            lost_writes: None,
            change: Change::Idle,
            change_is_due: false,
            quorum,
            moment: 0,
            suspended: false,
            fencing: BTreeSet::new(),
            fence_handlers: BTreeMap::new(),
            inherited: Inherited::Nothing,
            promotion: None,
            demotion: None,
            resize: None,
            growth: None,
            promised: None,
            holders: Vec::new(),
            last_client_io: Time::default(),
        })
    }

    /// Takes in what happened. Everything that follows from it waits in [`Self::poll_output`].
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::PeerUp(peer) => self.peer_up(peer),
            Input::PeerDown(peer) => self.peer_down(peer),
            Input::Message { from, message } => self.message(from, message),
            Input::DiskDone { op, result } => self.disk_done(op, result),
            Input::Client { id, request } => self.client(id, request),
            Input::Admin { id, command } => {
                if let Some(result) = self.admin(id, command) {
                    self.outputs.push_back(Output::AdminReply { id, result });
                }
            }
            Input::HandlerDone { handler, exit_code } => self.handler_done(handler, exit_code),
            Input::Timeout => {}
        }
        // One thing may make another possible: until nothing more comes of it.
        loop {
            let before = self.outputs.len();
            self.progress();
            if self.outputs.len() == before {
                return;
            }
        }
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Everything that may have become possible.
    fn progress(&mut self) {
        self.check_timers();
        self.continue_ahead();
        self.continue_change();
        self.continue_negotiations();
        self.admit();
        self.answer_held();
        self.continue_epochs();
        self.continue_role();
        self.continue_resize();
        self.pump_syncs();
        self.pump_verifies();
    }

    fn client(&mut self, id: crate::ids::RequestId, request: ClientRequest) {
        self.last_client_io = self.now;
        if self.role != Role::Primary || self.demotion.is_some() {
            self.outputs.push_back(Output::Reply { id, result: Err(ClientError::NotPrimary) });
            return;
        }
        match request {
            ClientRequest::Read { offset, len } => self.client_read(id, offset, len),
            ClientRequest::Write { offset, body, fua } => self.client_write(id, offset, body, fua),
            ClientRequest::Flush => self.admission.push_back(Admit::Flush(id)),
        }
    }

    /// Carries out an order. None: the answer comes later.
    fn admin(&mut self, id: crate::ids::RequestId, command: Admin) -> Option<Result<(), AdminError>> {
        match command {
            Admin::Attach(attached) => Some(self.attach(*attached)),
            Admin::Detach => self.detach_by_order(id),
            Admin::Connect { peer, discard_my_data } => Some(self.connect(peer, discard_my_data)),
            Admin::Disconnect { peer } => Some(self.disconnect_by_order(peer)),
            Admin::Promote { force, wall_clock } => self.promote(id, force, wall_clock),
            Admin::Demote { force } => self.demote(id, force),
            Admin::Opened { holder } => {
                self.holders.push(holder);
                Some(Ok(()))
            }
            Admin::Closed { holder } => {
                if let Some(index) = self.holders.iter().position(|open| *open == holder) {
                    self.holders.remove(index);
                }
                Some(Ok(()))
            }
            Admin::SuspendIo => {
                self.suspended = true;
                Some(Ok(()))
            }
            Admin::ResumeIo => {
                self.suspended = false;
                self.fencing.clear();
                Some(Ok(()))
            }
            Admin::Invalidate { peer } => self.invalidate(peer, id).err().map(Err),
            Admin::InvalidateRemote { peer } => self.invalidate_remote(peer, id).err().map(Err),
            Admin::Outdate => self.outdate(id),
            Admin::SkipInitialSync => Some(self.skip_initial_sync()),
            Admin::Verify { peer } => Some(self.start_verify(peer)),
            Admin::Resize { size, assume_clean } => self.resize(id, size, assume_clean).err().map(Err),
        }
    }

    /// 64 random bits out of the seed given at the start (SplitMix64). They name generations; they keep no secret.
    pub(super) fn random(&mut self) -> u64 {
        self.entropy = self.entropy.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.entropy;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub(super) fn submit(&mut self, kind: OpKind, request: DiskOp) {
        self.next_op += 1;
        let op = OpId(self.next_op);
        self.ops.insert(op, kind);
        self.outputs.push_back(Output::Disk { op, request });
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        if self.peers.get(&to).is_some_and(Peer::is_connected) {
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Goes on with what waited for the superblock.
    pub(super) fn after(&mut self, after: After) {
        match after {
            After::Nothing => {}
            After::GenerationRecorded(current) => {
                // Unless another one begins over it: then that is waited for.
                if self.disk.superblock.generations.current.same(current) {
                    self.generation_recorded();
                }
            }
            After::PeerGenerationRecorded { peer, session, current } => {
                if self.is_session(peer, session) {
                    self.send(peer, Message::NewGenerationDone { current });
                    self.report_state();
                }
            }
            After::Promoted => self.promotion_recorded(),
            After::Demoted => self.demotion_recorded(),
            After::SourceReady { peer, session, base } => {
                if self.is_session(peer, session) {
                    self.send(peer, Message::SyncBegin { base });
                }
            }
            After::TargetReady { peer, session } => self.target_recorded(peer, session),
            After::TargetCommitted { peer, session } => {
                if self.is_session(peer, session) {
                    self.send(peer, Message::SyncCommitted {});
                }
            }
            After::SourceCommitted { peer, session } => self.source_recorded(peer, session),
            After::SyncDone { peer, session } => self.sync_done_recorded(peer, session),
            After::Behind { peer, session, id } => self.behind_recorded(peer, session, id),
            After::OutdatedForGoodbye { peer, session } => {
                if self.is_session(peer, session) {
                    self.say_goodbye(peer, true);
                }
            }
            After::Grown => self.grown(),
            After::Ordered(id) => self.outputs.push_back(Output::AdminReply { id, result: Ok(()) }),
            After::LogInUse => {
                self.disk.log_commit_pending = false;
                self.disk.log.committed();
            }
        }
    }

    /// Whether this is the connection that was there when something was begun.
    pub(super) fn is_session(&self, peer: NodeId, session: u64) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.is_connected() && peer.session == session)
    }
}
