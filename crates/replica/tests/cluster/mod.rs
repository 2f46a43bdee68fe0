//! A cluster of replicas in one process, with perfect disks and wires that do what the test says and nothing else: for
//! tests of one thing at a time. (Chance is the simulator's.)

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod both;
mod wires;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use replica::bitmap::{Bitmap, PAGE_BITS};
use replica::ids::{BLOCK_BYTES, BlockRange};
use replica::io::{ClientRequest, DiskOp};
use replica::metadata::{Attached, Superblock};
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::wire::{Channel, Frames, Message, WriteBody, encode};
use replica::{
    Admin, AdminError, ClientError, Config, DiskError, Event, Handler, Input, NodeId, Output, PeerStatus,
    Replica, RequestId, Time,
};

pub const SIZE: u64 = 64 * 1024 * 1024;

pub fn id(node: usize) -> NodeId {
    NodeId::new(node as u8).unwrap()
}

/// What a disk holds, and what it does.
pub struct Disk {
    pub blocks: BTreeMap<u64, [u8; BLOCK_BYTES as usize]>,
    /// Written and not flushed; lost when the power is.
    cache: BTreeMap<u64, Option<[u8; BLOCK_BYTES as usize]>>,
    pub superblock: Superblock,
    bitmaps: BTreeMap<NodeId, Bitmap>,
    active: BTreeSet<u32>,
    slots: BTreeMap<u16, u32>,
    log_number: u32,
    /// Bytes of data that its device has room for.
    pub room: u64,
    /// Data cannot be read or written.
    pub bad_data: bool,
    /// These blocks cannot be read.
    pub bad_blocks: BTreeSet<u64>,
    /// Nothing can.
    pub dead: bool,
}

pub struct Node {
    pub replica: Option<Replica>,
    pub config: Config,
    pub disk: Disk,
    pub replies: BTreeMap<u64, Result<Option<Bytes>, ClientError>>,
    pub orders: BTreeMap<u64, Result<(), AdminError>>,
    pub events: Vec<Event>,
    pub handlers: Vec<Handler>,
    wants: BTreeSet<usize>,
    lives: u64,
    /// What the disk does not tell.
    stalled: Option<wires::Stalled>,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    now: Time,
    wire: VecDeque<(usize, usize, u64, Bytes)>,
    /// What a slow or mute wire keeps back.
    kept: VecDeque<(usize, usize, u64, Bytes)>,
    slow: BTreeSet<(usize, usize, Channel)>,
    mute: BTreeSet<(usize, usize)>,
    up: BTreeMap<(usize, usize), u64>,
    cut: BTreeSet<(usize, usize)>,
    /// Before that two do not try to connect again.
    retry_at: BTreeMap<(usize, usize), Time>,
    inputs: VecDeque<(usize, u64, Input)>,
    next: u64,
    sessions: u64,
    /// What handlers answer; 0 otherwise. Without an entry a fence-peer handler does not end.
    pub exit_codes: BTreeMap<Handler, i32>,
    /// Handlers that go on until [`Cluster::handler_ends`].
    pub going_on: BTreeSet<Handler>,
    /// Bytes of messages by their names.
    pub sent: BTreeMap<&'static str, u64>,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Cluster {
    /// Nodes 0 and 1 with disks that hold the same, node 2 (if wanted) as tiebreaker; not started.
    pub fn new(tiebreaker: bool, change: impl Fn(&mut Config)) -> Self {
        let count = if tiebreaker { 3 } else { 2 };
        let nodes = (0..count).map(|node| {
            let mut config = Config::new(id(node), SIZE);
            config.diskless = node == 2;
            for peer in (0..count).filter(|peer| *peer != node) {
                config = config.with_peer(id(peer), peer == 2);
            }
            change(&mut config);
            let mut superblock = Superblock::just_created(&config);
            superblock.generations.current = replica::generation::Generation::from_entropy(77);
            superblock.consistent = true;
            superblock.was_up_to_date = true;
            Node {
                replica: None,
                disk: Disk {
                    blocks: BTreeMap::new(),
                    cache: BTreeMap::new(),
                    superblock,
                    bitmaps: BTreeMap::new(),
                    active: BTreeSet::new(),
                    slots: BTreeMap::new(),
                    log_number: 0,
                    room: SIZE,
                    bad_data: false,
                    bad_blocks: BTreeSet::new(),
                    dead: false,
                },
                config,
                replies: BTreeMap::new(),
                orders: BTreeMap::new(),
                events: Vec::new(),
                handlers: Vec::new(),
                wants: BTreeSet::new(),
                lives: 0,
                stalled: None,
            }
        });
        Self {
            nodes: nodes.collect(),
            now: Time(1_000_000_000),
            wire: VecDeque::new(),
            kept: VecDeque::new(),
            slow: BTreeSet::new(),
            mute: BTreeSet::new(),
            up: BTreeMap::new(),
            cut: BTreeSet::new(),
            retry_at: BTreeMap::new(),
            inputs: VecDeque::new(),
            next: 0,
            sessions: 0,
            exit_codes: BTreeMap::new(),
            going_on: BTreeSet::new(),
            sent: BTreeMap::new(),
        }
    }

    /// The same, started and connected.
    pub fn started(tiebreaker: bool, change: impl Fn(&mut Config)) -> Self {
        let mut cluster = Self::new(tiebreaker, change);
        for node in 0..cluster.nodes.len() {
            cluster.start(node);
        }
        cluster
    }

    pub fn start(&mut self, node: usize) {
        let mut config = self.nodes[node].config.clone();
        config.size = config.size.max(self.nodes[node].disk.superblock.size);
        let lives = self.nodes[node].lives;
        self.nodes[node].replica = Some(Replica::new(config, 1000 * lives + node as u64 + 5).unwrap());
        if node != 2 && !self.nodes[node].disk.dead {
            self.attach(node).unwrap();
        }
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.order(node, Admin::Connect { peer: id(peer), discard_my_data: false }).unwrap();
        }
    }

    pub fn attach(&mut self, node: usize) -> Result<(), AdminError> {
        let disk = &self.nodes[node].disk;
        let attached = Attached {
            superblock: disk.superblock.clone(),
            bitmaps: disk.bitmaps.iter().map(|(peer, bitmap)| (*peer, disk.within_volume(bitmap))).collect(),
            active_extents: disk.active.clone(),
            al_number: disk.log_number,
        };
        self.order(node, Admin::Attach(Box::new(attached)))
    }

    /// The volume is made larger while it is down.
    pub fn grow(&mut self, node: usize, size: u64) {
        let state = &mut self.nodes[node];
        let disk = &mut state.disk;
        let mut attached = Attached {
            superblock: disk.superblock.clone(),
            bitmaps: std::mem::take(&mut disk.bitmaps),
            active_extents: BTreeSet::new(),
            al_number: disk.log_number,
        };
        attached.grow(size).unwrap();
        assert!(attached.grow(size - 4096).is_err());
        disk.superblock = attached.superblock;
        disk.bitmaps = attached.bitmaps;
        state.config.size = size;
    }

    /// The power fails; what was not flushed is gone.
    pub fn crash(&mut self, node: usize) {
        self.lose_power(&[node]);
    }

    /// Nodes lose their power at the same instant: none sees the others go.
    pub fn lose_power(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.switch_off(*node);
        }
        self.pump();
    }

    fn switch_off(&mut self, node: usize) {
        self.nodes[node].replica = None;
        self.nodes[node].lives += 1;
        self.nodes[node].wants.clear();
        self.nodes[node].stalled = None;
        let disk = &mut self.nodes[node].disk;
        for (block, old) in std::mem::take(&mut disk.cache) {
            match old {
                Some(old) => disk.blocks.insert(block, old),
                None => disk.blocks.remove(&block),
            };
        }
        for peer in 0..self.nodes.len() {
            if self.up.remove(&pair(node, peer)).is_some() {
                self.push(peer, Input::PeerDown(id(node)));
            }
        }
    }

    fn push(&mut self, node: usize, input: Input) {
        let lives = self.nodes[node].lives;
        self.inputs.push_back((node, lives, input));
    }

    /// Everything happens that follows from what was said, without time passing.
    pub fn pump(&mut self) {
        self.pump_some(u64::MAX);
    }

    /// The same until so many messages have arrived.
    fn pump_some(&mut self, mut messages: u64) {
        while messages > 0 {
            if let Some((node, lives, input)) = self.inputs.pop_front() {
                if self.nodes[node].lives == lives {
                    self.handle(node, input);
                }
            } else if let Some((from, to, session, bytes)) = self.wire.pop_front() {
                messages -= 1;
                if self.up.get(&pair(from, to)) == Some(&session) {
                    let mut frames = Frames::new();
                    frames.buffer().extend_from_slice(&bytes);
                    let message = frames.next_message().unwrap().unwrap();
                    self.handle(to, Input::Message { from: id(from), message });
                }
            } else if !self.connect_wanted() {
                return;
            }
        }
    }

    fn connect_wanted(&mut self) -> bool {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                let wanted = self.nodes[a].wants.contains(&b) && self.nodes[b].wants.contains(&a);
                let waits = self.retry_at.get(&(a, b)).is_some_and(|at| *at > self.now);
                if wanted && !waits && !self.cut.contains(&(a, b)) && !self.up.contains_key(&(a, b)) {
                    self.sessions += 1;
                    self.up.insert((a, b), self.sessions);
                    self.push(a, Input::PeerUp(id(b)));
                    self.push(b, Input::PeerUp(id(a)));
                    return true;
                }
            }
        }
        false
    }

    /// Time passes, in steps of what the replicas wait for.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        loop {
            self.pump();
            let next = self.nodes.iter().filter_map(|node| node.replica.as_ref()?.poll_timeout()).min();
            match next.filter(|next| *next <= end) {
                Some(next) => {
                    self.now = self.now.max(next).after(Duration::from_nanos(1));
                    for node in 0..self.nodes.len() {
                        self.push(node, Input::Timeout);
                    }
                }
                None => break,
            }
        }
        self.now = end;
    }

    fn handle(&mut self, node: usize, input: Input) {
        let now = self.now;
        let Some(replica) = self.nodes[node].replica.as_mut() else { return };
        replica.handle(now, input);
        while let Some(output) = self.nodes[node].replica.as_mut().and_then(Replica::poll_output) {
            self.output(node, output);
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { to, message } => self.send(node, usize::from(to.get()), &message),
            Output::Disk { op, request } => {
                let result = self.nodes[node].disk.carry_out(&request);
                let done = Input::DiskDone { op, result };
                match &mut self.nodes[node].stalled {
                    Some((holds, stalled)) if holds(&request) => stalled.push(done),
                    _ => self.push(node, done),
                }
            }
            Output::Reply { id, result } => {
                assert!(self.nodes[node].replies.insert(id.0, result).is_none(), "answered twice");
            }
            Output::AdminReply { id, result } => {
                assert!(self.nodes[node].orders.insert(id.0, result).is_none(), "answered twice");
            }
            Output::Connect(peer) => {
                self.nodes[node].wants.insert(usize::from(peer.get()));
            }
            Output::Disconnect { peer, reason } => {
                let peer = usize::from(peer.get());
                match reason {
                    ConnectionState::StandAlone => {
                        self.nodes[node].wants.remove(&peer);
                    }
                    ConnectionState::Unconnected => {
                        self.retry_at.insert(pair(node, peer), self.now.after(Duration::from_secs(10)));
                    }
                    _ => {}
                }
                // What was sent before still arrives.
                let session = self.up.get(&pair(node, peer)).copied();
                while let Some(index) = self
                    .wire
                    .iter()
                    .position(|(from, to, s, _)| (*from, *to, Some(*s)) == (node, peer, session))
                {
                    let (from, to, _, bytes) = self.wire.remove(index).unwrap();
                    let mut frames = Frames::new();
                    frames.buffer().extend_from_slice(&bytes);
                    let message = frames.next_message().unwrap().unwrap();
                    self.push(to, Input::Message { from: id(from), message });
                }
                if self.up.remove(&pair(node, peer)).is_some() {
                    self.push(peer, Input::PeerDown(id(node)));
                }
            }
            Output::Handler(handler) => {
                self.nodes[node].handlers.push(handler);
                let exit_code = match (handler, self.exit_codes.get(&handler)) {
                    _ if self.going_on.contains(&handler) => return,
                    (_, Some(code)) => *code,
                    (Handler::FencePeer(_), None) => return,
                    _ => 0,
                };
                self.push(node, Input::HandlerDone { handler, exit_code });
            }
            Output::Event(event) => self.nodes[node].events.push(event),
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let mut bytes = BytesMut::new();
        encode(message, &mut bytes);
        *self.sent.entry(message.name()).or_default() += bytes.len() as u64;
        if let Some(session) = self.up.get(&pair(from, to)) {
            let slow = self.slow.contains(&(from, to, message.channel()));
            let keep = slow || self.mute.contains(&(from, to));
            let wire = if keep { &mut self.kept } else { &mut self.wire };
            wire.push_back((from, to, *session, bytes.freeze()));
        }
    }

    /// Gives an order; what came of it.
    pub fn order(&mut self, node: usize, command: Admin) -> Result<(), AdminError> {
        let id = self.order_begins(node, command);
        self.nodes[node].orders.remove(&id).expect("the order was answered")
    }

    /// Gives an order that need not be over at once.
    pub fn order_begins(&mut self, node: usize, command: Admin) -> u64 {
        self.next += 1;
        let id = self.next;
        self.push(node, Input::Admin { id: RequestId(id), command });
        self.pump();
        id
    }

    /// Gives an order, and the wire is cut after so many messages.
    pub fn order_begins_and_cut(&mut self, node: usize, command: Admin, messages: u64) {
        self.next += 1;
        self.push(node, Input::Admin { id: RequestId(self.next), command });
        self.pump_some(messages + 1);
        self.cut(0, 1);
    }

    pub fn promote(&mut self, node: usize) -> Result<(), AdminError> {
        self.next += 1;
        let wall_clock = self.next;
        self.order(node, Admin::Promote { force: false, wall_clock })
    }

    pub fn demote(&mut self, node: usize) -> Result<(), AdminError> {
        self.order(node, Admin::Demote { force: false })
    }

    pub fn connect(&mut self, a: usize, b: usize) {
        for (node, peer) in [(a, b), (b, a)] {
            self.order(node, Admin::Connect { peer: id(peer), discard_my_data: false }).unwrap();
        }
    }

    /// Asks for something; its number.
    pub fn ask(&mut self, node: usize, request: ClientRequest) -> u64 {
        self.next += 1;
        let id = self.next;
        self.push(node, Input::Client { id: RequestId(id), request });
        self.pump();
        id
    }

    fn asked(&mut self, node: usize, request: ClientRequest) -> Result<Option<Bytes>, ClientError> {
        let id = self.ask(node, request);
        self.nodes[node].replies.remove(&id).expect("the request was answered")
    }

    pub fn write_begins(&mut self, node: usize, block: u64, value: u8) -> u64 {
        let data = Bytes::from(vec![value; BLOCK_BYTES as usize]);
        let offset = block * BLOCK_BYTES;
        self.ask(node, ClientRequest::Write { offset, body: WriteBody::Data(data), fua: false })
    }

    /// A handler that went on ends, well unless it has an exit code.
    pub fn handler_ends(&mut self, node: usize, handler: Handler) {
        self.going_on.remove(&handler);
        let exit_code = self.exit_codes.get(&handler).copied().unwrap_or(0);
        self.push(node, Input::HandlerDone { handler, exit_code });
        self.pump();
    }

    pub fn has_answered(&self, node: usize, request: u64) -> bool {
        self.nodes[node].replies.contains_key(&request)
    }

    pub fn write(&mut self, node: usize, block: u64, value: u8) -> Result<(), ClientError> {
        let id = self.write_begins(node, block, value);
        self.nodes[node].replies.remove(&id).expect("the write was answered").map(|_| ())
    }

    pub fn read(&mut self, node: usize, block: u64) -> Result<u8, ClientError> {
        let request = ClientRequest::Read { offset: block * BLOCK_BYTES, len: BLOCK_BYTES };
        self.asked(node, request).map(|data| data.unwrap()[0])
    }

    pub fn flush(&mut self, node: usize) -> Result<(), ClientError> {
        self.asked(node, ClientRequest::Flush).map(|_| ())
    }

    pub fn replica(&self, node: usize) -> &Replica {
        self.nodes[node].replica.as_ref().unwrap()
    }

    pub fn role(&self, node: usize) -> Role {
        self.replica(node).role()
    }

    pub fn disk(&self, node: usize) -> DiskState {
        self.replica(node).disk_state()
    }

    pub fn peer(&self, node: usize, peer: usize) -> PeerStatus {
        self.replica(node).peer_status(id(peer)).unwrap()
    }

    pub fn connection(&self, node: usize, peer: usize) -> ConnectionState {
        self.peer(node, peer).connection
    }

    pub fn stored(&self, node: usize, block: u64) -> u8 {
        self.nodes[node].disk.blocks.get(&block).map_or(0, |data| data[0])
    }

    /// Both disks are connected, UpToDate, and hold the same.
    pub fn is_in_sync(&self) -> bool {
        let settled = |node: usize, peer: usize| {
            self.disk(node) == DiskState::UpToDate
                && self.peer(node, peer).replication == ReplicationState::Established
                && self.peer(node, peer).disk == DiskState::UpToDate
                && self.peer(node, peer).dirty_blocks == 0
        };
        let zero = [0u8; BLOCK_BYTES as usize];
        let blocks: BTreeSet<u64> =
            self.nodes[..2].iter().flat_map(|node| node.disk.blocks.keys().copied()).collect();
        let content = |node: usize, block: &u64| *self.nodes[node].disk.blocks.get(block).unwrap_or(&zero);
        settled(0, 1) && settled(1, 0) && blocks.iter().all(|block| content(0, block) == content(1, block))
    }

    pub fn said(&self, node: usize, event: &Event) -> bool {
        self.nodes[node].events.contains(event)
    }

    pub fn ran(&self, node: usize, handler: Handler) -> bool {
        self.nodes[node].handlers.contains(&handler)
    }

    /// Both are written to without the other: what a split brain is made of. Node 0 writes `zero` blocks, node 1 `one`.
    pub fn parted(change: impl Fn(&mut Config), zero: u64, one: u64) -> Self {
        let mut cluster = Self::started(false, change);
        cluster.cut(0, 1);
        for (node, blocks) in [(0, zero), (1, one)] {
            cluster.promote(node).unwrap();
            for block in 0..blocks {
                cluster.write(node, 100 * (1 + node as u64) + block, 10 + node as u8).unwrap();
            }
            cluster.demote(node).unwrap();
        }
        cluster
    }
}

impl Disk {
    /// A bitmap as far as the volume goes: what it says of the room after that counts for nothing.
    fn within_volume(&self, bitmap: &Bitmap) -> Bitmap {
        let mut within = Bitmap::new(self.superblock.size);
        (0..within.pages()).for_each(|page| within.merge_page(page, &bitmap.page(page)));
        within
    }

    fn carry_out(&mut self, op: &DiskOp) -> Result<Option<Bytes>, DiskError> {
        let data = matches!(op, DiskOp::Read { .. } | DiskOp::Write { .. } | DiskOp::Flush);
        if self.dead || (data && self.bad_data) {
            return Err(DiskError);
        }
        match op {
            DiskOp::Read { offset, len } => {
                let mut bytes = BytesMut::new();
                for block in
                    BlockRange::of_bytes(*offset, *len).start..BlockRange::of_bytes(*offset, *len).end
                {
                    if self.bad_blocks.contains(&block) {
                        return Err(DiskError);
                    }
                    bytes.extend_from_slice(self.blocks.get(&block).unwrap_or(&[0; BLOCK_BYTES as usize]));
                }
                let from = (offset % BLOCK_BYTES) as usize;
                return Ok(Some(bytes.freeze().slice(from..from + *len as usize)));
            }
            DiskOp::Write { offset, body } => self.write(*offset, body),
            DiskOp::Flush => self.cache.clear(),
            DiskOp::Superblock(superblock) => self.superblock = (**superblock).clone(),
            DiskOp::BitmapPage { peer, page, bits } => {
                let size = self.superblock.size.max(self.room);
                let bitmap = self.bitmaps.entry(*peer).or_insert_with(|| Bitmap::new(size));
                bitmap.grow(size);
                let start = u64::from(*page) * PAGE_BITS;
                bitmap.clear(BlockRange { start, end: start + PAGE_BITS });
                bitmap.merge_page(*page, bits);
            }
            DiskOp::ResetActivityLog { number } => {
                self.active.clear();
                self.slots.clear();
                self.log_number = *number;
            }
            DiskOp::ActivityLog(record) => {
                self.slots.extend(record.updates.iter().copied());
                self.active = self.slots.values().copied().collect();
                self.log_number = record.number;
            }
            DiskOp::MakeRoom => return Ok(Some(Bytes::copy_from_slice(&self.room.to_be_bytes()))),
        }
        Ok(None)
    }

    fn write(&mut self, offset: u64, body: &WriteBody) {
        let blocks = BlockRange::of_bytes(offset, body.bytes());
        for block in blocks.start..blocks.end {
            self.bad_blocks.remove(&block);
            let old = self.blocks.get(&block).copied();
            self.cache.entry(block).or_insert(old);
            let content = self.blocks.entry(block).or_insert([0; BLOCK_BYTES as usize]);
            for (at, byte) in content.iter_mut().enumerate() {
                let position = (block * BLOCK_BYTES + at as u64).checked_sub(offset);
                if let Some(position) = position.filter(|position| *position < body.bytes()) {
                    *byte = match body {
                        WriteBody::Data(data) => data[position as usize],
                        WriteBody::Zeroes { .. } => 0,
                    };
                }
            }
        }
    }
}
