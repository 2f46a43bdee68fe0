//! The simulated world: nodes, disks, connections and the queue of what happens next.
//!
//! It moves inputs and outputs between the replicas and the simulated hardware, on one virtual clock, and has the
//! checkers look after every step. It decides nothing by itself: faults and orders are `driver`'s.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use replica::io::{ClientRequest, DiskOp};
use replica::metadata::Superblock;
use replica::state::{ConnectionState, DiskState};
use replica::wire::{Channel, Frames, Message, encode};
use replica::{
    Admin, AdminError, ClientError, DiskError, Event, Handler, Input, NodeId, OpId, Output, Replica,
    RequestId, Time,
};

use crate::disk::{Fault, SimDisk};
use crate::history::History;
use crate::network::Link;
use crate::rng::Rng;
use crate::scenario::{Kind, Scenario, node};

/// What happens next.
#[derive(Debug)]
pub(crate) enum Next {
    DiskDone { at: usize, life: u64, op: OpId },
    Deliver { link: usize, from: usize, epoch: u64, message: Box<Message> },
    LinkUp { link: usize },
    LinkDown { link: usize, end: usize, epoch: u64 },
    Timer { at: usize, life: u64 },
    HandlerDone { at: usize, life: u64, handler: Handler, exit_code: i32 },
    Restart { at: usize },
    Reattach { at: usize },
    Heal { link: usize },
    ClientTick,
    FaultTick,
    AdminTick,
}

/// One node.
pub(crate) struct SimNode {
    pub(crate) replica: Option<Replica>,
    /// Counts starts: what an earlier life asked for never comes.
    pub(crate) life: u64,
    pub(crate) disk: SimDisk,
    pub(crate) in_flight: BTreeMap<OpId, (DiskOp, u64)>,
    pub(crate) wants: BTreeSet<usize>,
    pub(crate) timer: Option<Time>,
    pub(crate) promoting: Option<RequestId>,
    pub(crate) demoting: Option<RequestId>,
    pub(crate) slow_until: Time,
}

/// A run in progress.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    pending: BTreeMap<u64, Next>,
    next_number: u64,
    pub(crate) next_request: u64,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) links: Vec<Link>,
    pub(crate) history: History,
    /// Faults are over.
    pub(crate) calm: bool,
    pub(crate) steps: u64,
    /// How often a Primary went on without a peer that did not keep up.
    pub(crate) ahead: u64,
    /// How often a node became Primary beside another.
    pub(crate) joined: u64,
    /// How often one of two Primaries went on without the other.
    pub(crate) parted: u64,
    /// Nodes that were left behind by writes that were answered, and were not brought back since.
    pub(crate) behind: [bool; 2],
    pub(crate) violation: Option<String>,
    pub(crate) trace: bool,
}

impl World {
    /// A fresh world.
    #[must_use]
    pub(crate) fn new(scenario: Scenario, seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(31).wrapping_add(7));
        let current = replica::generation::Generation::from_entropy(rng.bits());
        let nodes = scenario
            .configs
            .iter()
            .map(|config| {
                let mut superblock = Superblock::just_created(config);
                if !scenario.blank {
                    superblock.generations.current = current;
                    superblock.consistent = true;
                    superblock.was_up_to_date = true;
                }
                SimNode {
                    replica: None,
                    life: 0,
                    disk: SimDisk::new(config, &scenario.hot, superblock),
                    in_flight: BTreeMap::new(),
                    wants: BTreeSet::new(),
                    timer: None,
                    promoting: None,
                    demoting: None,
                    slow_until: Time::default(),
                }
            })
            .collect();
        let links = vec![Link::default(); if scenario.configs.len() == 3 { 3 } else { 1 }];
        Self {
            history: History::new(scenario.configs.len()),
            scenario,
            rng,
            now: Time::default(),
            queue: BinaryHeap::new(),
            pending: BTreeMap::new(),
            next_number: 0,
            next_request: 0,
            nodes,
            links,
            calm: false,
            steps: 0,
            ahead: 0,
            joined: 0,
            parted: 0,
            behind: [false; 2],
            violation: None,
            trace,
        }
    }

    /// The two ends of a connection.
    pub(crate) fn ends(link: usize) -> [usize; 2] {
        [[0, 1], [0, 2], [1, 2]][link]
    }

    pub(crate) fn link_of(a: usize, b: usize) -> usize {
        match (a.min(b), a.max(b)) {
            (0, 1) => 0,
            (0, 2) => 1,
            _ => 2,
        }
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12.6} {}", self.now.0 as f64 / 1e9, what());
        }
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.say(|| format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    pub(crate) fn after(&mut self, wait: Duration, next: Next) {
        self.at(self.now.after(wait), next);
    }

    pub(crate) fn at(&mut self, when: Time, next: Next) {
        self.next_number += 1;
        self.queue.push(Reverse((when, self.next_number)));
        self.pending.insert(self.next_number, next);
    }

    /// One step. False: nothing is left to happen, or a checker found something.
    pub(crate) fn step(&mut self) -> bool {
        let Some(Reverse((when, number))) = self.queue.pop() else { return false };
        let Some(next) = self.pending.remove(&number) else { return true };
        self.now = self.now.max(when);
        self.steps += 1;
        self.happen(next);
        self.check();
        self.violation.is_none()
    }

    fn happen(&mut self, next: Next) {
        match next {
            Next::DiskDone { at, life, op } => self.disk_done(at, life, op),
            Next::Deliver { link, from, epoch, message } => self.deliver(link, from, epoch, *message),
            Next::LinkUp { link } => self.link_up(link),
            Next::LinkDown { link, end, epoch } => {
                if self.links[link].epoch == epoch && self.links[link].up[end] {
                    self.links[link].up[end] = false;
                    let [a, b] = Self::ends(link);
                    let (here, there) = if end == 0 { (a, b) } else { (b, a) };
                    self.input(here, Input::PeerDown(node(there)));
                    self.try_connect(link);
                }
            }
            Next::Timer { at, life } => {
                if self.nodes[at].life == life {
                    self.nodes[at].timer = None;
                    self.input(at, Input::Timeout);
                }
            }
            Next::HandlerDone { at, life, handler, exit_code } => {
                if self.nodes[at].life == life {
                    self.input(at, Input::HandlerDone { handler, exit_code });
                }
            }
            Next::Restart { at } => self.start(at),
            Next::Reattach { at } => self.reattach(at),
            Next::Heal { link } => {
                self.links[link].partitioned = false;
                self.try_connect(link);
            }
            Next::ClientTick => self.client_tick(),
            Next::FaultTick => self.fault_tick(),
            Next::AdminTick => self.admin_tick(),
        }
    }

    /// Starts a node that is down.
    pub(crate) fn start(&mut self, at: usize) {
        if self.nodes[at].replica.is_some() {
            return;
        }
        let mut config = self.scenario.configs[at].clone();
        if at != 2 {
            // As the shell does: what the disk says the volume has become.
            config.size = config.size.max(self.nodes[at].disk.superblock.size);
        }
        let entropy = self.rng.bits();
        let replica = match Replica::new(config, entropy) {
            Ok(replica) => replica,
            Err(error) => return self.fail(format!("the configuration was refused: {error}")),
        };
        self.say(|| format!("node {at} starts"));
        self.nodes[at].replica = Some(replica);
        self.nodes[at].life += 1;
        if at != 2 && self.nodes[at].disk.fault == Fault::None {
            let attached = Box::new(self.nodes[at].disk.metadata());
            self.admin(at, Admin::Attach(attached));
        }
        for peer in (0..self.nodes.len()).filter(|peer| *peer != at) {
            self.admin(at, Admin::Connect { peer: node(peer), discard_my_data: false });
        }
    }

    pub(crate) fn reattach(&mut self, at: usize) {
        let idle = self.nodes[at].in_flight.is_empty();
        let gone = self.nodes[at]
            .replica
            .as_ref()
            .is_some_and(|replica| replica.disk_state() == DiskState::Diskless);
        self.nodes[at].disk.fault = Fault::None;
        if !gone {
            return;
        }
        if idle {
            self.say(|| format!("node {at} attaches its disk again"));
            let attached = Box::new(self.nodes[at].disk.metadata());
            self.admin(at, Admin::Attach(attached));
        } else if !self.calm {
            self.after(Duration::from_millis(5), Next::Reattach { at });
        }
    }

    /// The power of a node fails.
    pub(crate) fn crash(&mut self, at: usize) {
        if self.nodes[at].replica.take().is_none() {
            return;
        }
        self.say(|| format!("node {at} crashes"));
        let ops: Vec<DiskOp> =
            std::mem::take(&mut self.nodes[at].in_flight).into_values().map(|(op, _)| op).collect();
        let replaced = self.is_replaced(at);
        let state = &mut self.nodes[at];
        state.life += 1;
        state.disk.crash(&ops, &mut self.rng);
        if replaced {
            let config = &self.scenario.configs[at];
            let device = state.disk.device;
            state.disk = SimDisk::new(config, &self.scenario.hot, Superblock::just_created(config));
            state.disk.fault = Fault::All;
            state.disk.is_made_for(device);
        }
        state.wants.clear();
        state.timer = None;
        state.promoting = None;
        state.demoting = None;
        let works_over_it = |other: &usize| {
            let replica = self.nodes[*other].replica.as_ref();
            self.history.owner[*other]
                && replica.is_some_and(|replica| replica.disk_state() != DiskState::UpToDate)
        };
        let orphan = (0..2).filter(|other| *other != at).find(works_over_it);
        self.history.crashed(at);
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            self.notice_departure(other, at);
            self.notice_departure(at, other);
        }
        if let Some(owner) = orphan {
            self.history.good_disk_crashed(owner);
        }
        for peer in (0..self.nodes.len()).filter(|peer| *peer != at) {
            let link = Self::link_of(at, peer);
            let end = usize::from(Self::ends(link)[1] == at);
            self.links[link].up[end] = false;
            self.cut(link);
        }
    }

    /// Whether the admin puts a blank disk in the place of one that failed so completely that nothing can be written on
    /// it, while others went on without it: when the node that knows this goes down, nobody else can keep the old disk
    /// from being taken for good.
    fn is_replaced(&self, at: usize) -> bool {
        let failed = self.nodes[at].disk.fault == Fault::All;
        failed && self.scenario.kind != Kind::Reckless && self.history.stale[at]
    }

    /// A connection breaks; each end notices in its own time.
    pub(crate) fn cut(&mut self, link: usize) {
        if self.links[link].up == [false, false] {
            return;
        }
        self.links[link].dead = true;
        self.links[link].epoch += 1;
        let epoch = self.links[link].epoch;
        for end in 0..2 {
            let wait = self.rng.micros(100, 150_000);
            self.after(wait, Next::LinkDown { link, end, epoch });
        }
    }

    pub(crate) fn try_connect(&mut self, link: usize) {
        let [a, b] = Self::ends(link);
        let wanted = self.nodes[a].wants.contains(&b) && self.nodes[b].wants.contains(&a);
        if wanted && self.links[link].is_free() {
            self.links[link].connecting = true;
            let wait = self.rng.micros(500, 20_000);
            self.after(wait, Next::LinkUp { link });
        }
    }

    fn link_up(&mut self, link: usize) {
        self.links[link].connecting = false;
        let [a, b] = Self::ends(link);
        let wanted = self.nodes[a].wants.contains(&b) && self.nodes[b].wants.contains(&a);
        if !wanted || !self.links[link].is_free() {
            return;
        }
        let epoch = self.links[link].epoch + 1;
        self.links[link] = Link { epoch, up: [true, true], ..Link::default() };
        self.say(|| format!("nodes {a} and {b} connect"));
        self.input(a, Input::PeerUp(node(b)));
        self.input(b, Input::PeerUp(node(a)));
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let link = Self::link_of(from, to);
        let end = usize::from(Self::ends(link)[1] == from);
        if self.links[link].dead || !self.links[link].up[end] {
            return;
        }
        let message = through_the_wire(message);
        let slow = self.scenario.slow_network && self.rng.chance(2);
        let wait = if slow { self.rng.micros(1_000, 60_000) } else { self.rng.micros(30, 800) };
        let channel = usize::from(message.channel() == Channel::Control);
        let narrow = self.scenario.congested && !self.calm && link == 0 && message.channel() == Channel::Data;
        let takes = if narrow { self.rng.micros(0, 5_000) } else { Duration::ZERO };
        let state = &mut self.links[link];
        let when = self.now.after(wait).max(state.next_free[end][channel]).after(takes);
        state.next_free[end][channel] = when;
        let epoch = state.epoch;
        self.at(when, Next::Deliver { link, from, epoch, message: Box::new(message) });
    }

    fn deliver(&mut self, link: usize, from: usize, epoch: u64, message: Message) {
        let [a, b] = Self::ends(link);
        let (to, end) = if from == a { (b, 1) } else { (a, 0) };
        if self.links[link].epoch == epoch && self.links[link].up[end] {
            self.say(|| format!("{from} -> {to} {}", crate::report::brief(&message)));
            self.input(to, Input::Message { from: node(from), message });
        }
    }

    fn disconnect(&mut self, at: usize, peer: NodeId, reason: ConnectionState) {
        let peer = usize::from(peer.get());
        let link = Self::link_of(at, peer);
        let ends = Self::ends(link);
        let end = usize::from(ends[1] == at);
        if reason == ConnectionState::StandAlone {
            self.nodes[at].wants.remove(&peer);
        }
        if self.links[link].up[end] {
            self.links[link].up[end] = false;
            let epoch = self.links[link].epoch;
            let last = self.links[link].drained(end).max(self.now);
            let wait = self.rng.micros(10, 5_000);
            self.at(last.after(wait), Next::LinkDown { link, end: 1 - end, epoch });
        }
        self.try_connect(link);
    }

    fn disk_done(&mut self, at: usize, life: u64, op: OpId) {
        if self.nodes[at].life != life {
            return;
        }
        let state = &mut self.nodes[at];
        let Some((request, flush_point)) = state.in_flight.remove(&op) else { return };
        let result = if state.disk.fails(&request) {
            Err(DiskError)
        } else {
            Ok(state.disk.complete(&request, flush_point))
        };
        self.input(at, Input::DiskDone { op, result });
    }

    pub(crate) fn admin(&mut self, at: usize, command: Admin) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.input(at, Input::Admin { id, command });
        id
    }

    pub(crate) fn client(&mut self, at: usize, request: ClientRequest) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.history.asked(at, id, &request, &self.scenario.hot);
        self.input(at, Input::Client { id, request });
        id
    }

    /// Hands an input to a node, and does what it says.
    pub(crate) fn input(&mut self, at: usize, input: Input) {
        let now = self.now;
        let Some(replica) = self.nodes[at].replica.as_mut() else { return };
        replica.handle(now, input);
        while let Some(output) = self.nodes[at].replica.as_mut().and_then(Replica::poll_output) {
            self.output(at, output);
        }
        let Some(deadline) = self.nodes[at].replica.as_ref().and_then(Replica::poll_timeout) else { return };
        if self.nodes[at].timer.is_none_or(|timer| deadline < timer) {
            self.nodes[at].timer = Some(deadline);
            let life = self.nodes[at].life;
            self.at(deadline.max(now), Next::Timer { at, life });
        }
    }

    fn output(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { to, message } => self.send(at, usize::from(to.get()), message),
            Output::Disk { op, request } => {
                let state = &mut self.nodes[at];
                let flush_point = state.disk.flush_point();
                let life = state.life;
                state.in_flight.insert(op, (request, flush_point));
                let slow = self.now < state.slow_until;
                let wait = match self.rng.below(200) {
                    _ if slow => self.rng.micros(5_000, 60_000),
                    0 => self.rng.micros(1_500, 80_000),
                    _ => self.rng.micros(20, 1_500),
                };
                self.after(wait, Next::DiskDone { at, life, op });
            }
            Output::Reply { id, result } => self.reply(at, id, result),
            Output::AdminReply { id, result } => self.admin_reply(at, id, result),
            Output::Connect(peer) => {
                self.nodes[at].wants.insert(usize::from(peer.get()));
                self.try_connect(Self::link_of(at, usize::from(peer.get())));
            }
            Output::Disconnect { peer, reason } => self.disconnect(at, peer, reason),
            Output::Handler(handler) => self.run_handler(at, handler),
            Output::Event(event) => self.event(at, &event),
        }
    }

    fn reply(&mut self, at: usize, id: RequestId, result: Result<Option<bytes::Bytes>, ClientError>) {
        self.say(|| format!("node {at} answers {} {:?}", id.0, result.as_ref().map(|_| ())));
        if let Some(problem) = self.note_answer(at, id, result) {
            self.fail(problem);
        }
    }

    fn admin_reply(&mut self, at: usize, id: RequestId, result: Result<(), AdminError>) {
        if let Err(error) = &result {
            self.say(|| format!("node {at} refuses an order: {error}"));
            if self.calm && matches!(error, AdminError::OtherData(_)) {
                // What the refusal advises: then the two data meet as a split brain, and the admin decides.
                self.demote(at);
            }
            if matches!(error, AdminError::State(why) if why.contains("Primary too")) {
                // The same; and once more with the disk when that is done.
                self.demote(at);
                self.after(Duration::from_millis(50), Next::Reattach { at });
            }
        }
        if self.nodes[at].promoting == Some(id) {
            self.nodes[at].promoting = None;
            if result.is_ok() {
                self.promoted(at);
            }
        } else if self.nodes[at].demoting == Some(id) {
            self.nodes[at].demoting = None;
            if result.is_ok() {
                self.history.demoted(at);
            }
        }
    }

    fn event(&mut self, at: usize, event: &Event) {
        self.say(|| format!("node {at} {event:?}"));
        self.note_event(at, event);
    }
}

fn through_the_wire(message: Message) -> Message {
    let mut frames = Frames::new();
    encode(&message, frames.buffer());
    match frames.next_message() {
        Ok(Some(decoded)) if decoded == message => decoded,
        other => unreachable!("the codec made {other:?} of {message:?}"),
    }
}
