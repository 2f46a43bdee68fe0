//! The checkers: what must hold after every step, whatever happened.

use replica::activity_log::AL_EXTENT_BLOCKS;
use replica::config::Protocol;
use replica::generation::Generations;
use replica::io::Event;
use replica::split_brain::Policies;
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::{ClientError, Replica, RequestId};

use crate::disk::Block;
use crate::history::Answered;
use crate::model::{Model, Promise};
use crate::scenario::{Kind, node};
use crate::world::World;

/// The nodes with disks.
pub(crate) const DISKFUL: [usize; 2] = [0, 1];

impl World {
    /// Looks at everything.
    pub(crate) fn check(&mut self) {
        self.check_roles();
        self.check_marks();
        self.check_quiet();
        self.note_in_sync();
    }

    fn replica(&self, at: usize) -> Option<&Replica> {
        self.nodes[at].replica.as_ref()
    }

    /// Whether both think that they are connected, and are.
    fn are_connected(&self, a: usize, b: usize) -> bool {
        let thinks = |at: usize, of: usize| {
            self.replica(at).and_then(|replica| replica.peer_status(node(of))).is_some_and(|status| {
                status.connection == ConnectionState::Connected && status.replication != ReplicationState::Off
            })
        };
        thinks(a, b) && thinks(b, a) && !self.links[Self::link_of(a, b)].dead
    }

    /// Never two Primaries that are connected, unless that is allowed.
    fn check_roles(&mut self) {
        if self.scenario.two_primaries {
            return;
        }
        let primary = |at: usize| self.replica(at).is_some_and(|replica| replica.role() == Role::Primary);
        let both = primary(0) && primary(1);
        if both && self.are_connected(0, 1) {
            self.fail("nodes 0 and 1 are connected, and both Primary".to_owned());
        }
        if self.scenario.kind == Kind::Fencing && both {
            self.fail("nodes 0 and 1 are both Primary in spite of fencing".to_owned());
        }
    }

    /// Every block that differs is spoken for, by one side or the other.
    fn check_marks(&mut self) {
        let [a, b] = DISKFUL;
        for index in 0..self.scenario.hot.len() {
            if self.nodes[a].disk.visible[index] == self.nodes[b].disk.visible[index] {
                continue;
            }
            let block = self.scenario.hot[index];
            if self.speaks_for(a, b, block) || self.speaks_for(b, a, block) || self.is_full_copy() {
                continue;
            }
            let (left, right) = (self.nodes[a].disk.visible[index], self.nodes[b].disk.visible[index]);
            self.fail(format!("block {block} differs and nobody has marked it: {left:?} and {right:?}"));
            return;
        }
    }

    /// Two disks in sync that nothing is on its way to hold the same, marked or not.
    fn check_quiet(&mut self) {
        let idle =
            |at: usize| self.nodes[at].in_flight.is_empty() && self.replica(at).is_some_and(Replica::is_idle);
        let delivered = (0..2).all(|end| self.links[0].drained(end) < self.now);
        if !self.scenario.two_primaries || !delivered || !DISKFUL.into_iter().all(idle) || !self.are_in_sync()
        {
            return;
        }
        let [a, b] = DISKFUL;
        let differs =
            |index: &usize| self.nodes[a].disk.visible[*index] != self.nodes[b].disk.visible[*index];
        if let Some(index) = (0..self.scenario.hot.len()).find(differs) {
            let (left, right) = (self.nodes[a].disk.visible[index], self.nodes[b].disk.visible[index]);
            let block = self.scenario.hot[index];
            self.fail(format!("all is quiet, and block {block} differs: {left:?} and {right:?}"));
        }
    }

    fn speaks_for(&self, at: usize, of: usize, block: u64) -> bool {
        let live = self.replica(at);
        let in_memory = live.is_some_and(|replica| {
            replica.bitmap(node(of)).is_some_and(|bitmap| bitmap.is_dirty(block))
                || replica.is_unstable(block)
        });
        let attached = live.is_some_and(|replica| replica.bitmap(node(of)).is_some());
        in_memory || (!attached && self.speaks_on_disk(at, of, block))
    }

    fn speaks_on_disk(&self, at: usize, of: usize, block: u64) -> bool {
        let disk = &self.nodes[at].disk;
        let marked = disk.bitmaps.get(&node(of)).is_some_and(|bitmap| bitmap.is_dirty(block));
        let extent = u32::try_from(block / AL_EXTENT_BLOCKS).unwrap_or(u32::MAX);
        let logged = !disk.superblock.al_clean && disk.active_extents().contains(&extent);
        marked || logged
    }

    /// Whether the generations say that everything will be copied, or nothing be joined: then marks do not matter.
    fn is_full_copy(&self) -> bool {
        let generations = |at: usize| -> Generations {
            let live = self.replica(at).and_then(Replica::generations);
            live.unwrap_or(&self.nodes[at].disk.superblock.generations).clone()
        };
        let (mine, theirs) = (generations(0), generations(1));
        let by_marks = mine.current.same(theirs.current)
            || mine.current.same(theirs.slot(node(0)))
            || theirs.current.same(mine.slot(node(1)))
            || mine.slot(node(1)).same(theirs.slot(node(0)));
        !by_marks || mine.current.is_just_created() || theirs.current.is_just_created()
    }

    /// Whether a node's disk follows the Primary `at` just now.
    fn follows(&self, at: usize, other: usize) -> bool {
        let Some(replica) = self.replica(at) else { return false };
        if other == at {
            let target = (0..self.nodes.len()).filter_map(|peer| replica.peer_status(node(peer)));
            let syncs = target.into_iter().any(|peer| peer.replication == ReplicationState::SyncTarget);
            return replica.disk_state() == DiskState::UpToDate || syncs;
        }
        replica.peer_status(node(other)).is_some_and(|status| {
            status.connection == ConnectionState::Connected
                && status.disk.has_data()
                && matches!(
                    status.replication,
                    ReplicationState::Established
                        | ReplicationState::SyncSource
                        | ReplicationState::SyncTarget
                        | ReplicationState::VerifyS
                        | ReplicationState::VerifyT
                )
        })
    }

    /// A client was answered. What must not be.
    pub(crate) fn note_answer(
        &mut self,
        at: usize,
        id: RequestId,
        result: Result<Option<bytes::Bytes>, ClientError>,
    ) -> Option<String> {
        // Under protocol A a Primary that is cut off answers until it notices; only its flushes are promises.
        let lax = self.scenario.kind == Kind::Reckless || self.scenario.configs[0].protocol == Protocol::A;
        let before = self.history.shared_line(at);
        let answered = match self.history.answer(id, &result, lax) {
            Ok(answered) => answered,
            Err(problem) => return Some(problem),
        };
        let Answered::Write { places, line, durable } = answered else { return None };
        if places.is_empty() {
            return None;
        }
        self.note_left_behind(at);
        if let Some(problem) = self.note_beside(at, line, (&places, durable), before) {
            return Some(problem);
        }
        let mut holders = Vec::new();
        for other in DISKFUL {
            // It may have been written there just before the connection broke.
            let disk = &self.nodes[other].disk;
            let content = if durable { &disk.stable } else { &disk.visible };
            let has = self.follows(at, other) || !self.history.lacks(line, content, &places);
            if has {
                holders.push(other);
            } else {
                self.history.stale[other] = true;
            }
        }
        if let [only] = holders[..] {
            self.history.solo[only] += 1;
        }
        None
    }

    /// A Primary beside another was answered: the other has that too, or is left behind.
    fn note_beside(
        &mut self,
        at: usize,
        line: usize,
        (places, durable): (&[crate::model::Place], bool),
        before: Option<Model>,
    ) -> Option<String> {
        let other = 1 - at;
        let works_here =
            |node: usize| self.replica(node).is_some_and(|own| own.disk_state() == DiskState::UpToDate);
        let beside = self.scenario.two_primaries && self.history.owner[other];
        if !beside || !works_here(at) || !works_here(other) {
            return None;
        }
        let [here, there] = [at, other].map(|node| {
            let disk = &self.nodes[node].disk;
            let content = if durable { &disk.stable } else { &disk.visible };
            self.history.lacks(line, content, places)
        });
        let connected = self.follows(at, other);
        let together = self.history.holds[other] == line;
        if !connected && together && !self.history.parted.contains(&true) {
            self.say(|| format!("node {at} goes on without node {other}, which is Primary too"));
            self.parted += 1;
            self.history.part(other, self.scenario.kind == Kind::Reckless, before);
            self.notice_departure(other, at);
        }
        match (here, there) {
            (true, _) if self.history.holds[at] == line => {
                Some(format!("node {at} was answered what its own disk lacks"))
            }
            (_, true) if connected && together => {
                Some(format!("node {at} was answered what node {other}, which is Primary too, lacks"))
            }
            (_, true) if self.history.parted[at] => {
                Some(format!("two writers: node {at} was answered after node {other} had gone on without it"))
            }
            _ => None,
        }
    }

    /// A write was answered: a peer that is left behind may not be promoted from now on, whatever guards the cluster.
    fn note_left_behind(&mut self, at: usize) {
        let other = 1 - at;
        let left = self
            .replica(at)
            .and_then(|replica| replica.peer_status(node(other)))
            .is_some_and(|peer| peer.replication == ReplicationState::Ahead);
        let lacks = self.nodes[at].disk.visible != self.nodes[other].disk.visible;
        self.behind[other] |= left && lacks;
    }

    /// A node became Primary: its content is what the promises say.
    pub(crate) fn promoted(&mut self, at: usize) {
        let strict = self.scenario.kind != Kind::Reckless;
        let own = self.replica(at).is_some_and(|replica| replica.disk_state() == DiskState::UpToDate);
        let from = if own { at } else { 1 - at };
        if self.behind[from] {
            return self
                .fail(format!("node {at} was promoted with the data of node {from}, which was left behind"));
        }
        let other_owner = self.history.owner[1 - at];
        self.history.holds[at] = self.history.holds[from];
        // It need not know yet that the other one crashed, and takes what that had sent.
        let beside = self.replica(at).and_then(|own| own.peer_status(node(1 - at)));
        let beside = beside.is_some_and(|peer| peer.role == Role::Primary);
        if self.scenario.two_primaries && (other_owner || beside) && self.joins(at, strict) {
            let content: Vec<Block> = self.nodes[from].disk.visible.clone();
            return self.joined(at, &content);
        }
        if !strict && (other_owner || self.history.stale[from]) {
            self.say(|| format!("node {at} begins a line of history of its own"));
            // Without its peer, which it was to work over, it has nothing but what is on its own disk.
            let from = if own || self.follows(at, from) { from } else { at };
            let content: Vec<Block> = self.nodes[from].disk.visible.clone();
            self.history.fork(at, from, &content, beside.then_some(1 - at));
            return;
        }
        if self.history.stale[from] {
            return self.fail(format!("node {at} was promoted without writes that were answered"));
        }
        let content: Vec<Block> = self.nodes[from].disk.visible.clone();
        let promise = if self.scenario.configs[0].protocol == Protocol::C && !self.history.lossy[from] {
            Promise::Answered
        } else {
            Promise::Flushed
        };
        if let Err(problem) = self.history.take_over(at, &content, promise) {
            return self.fail(problem);
        }
        // What the users see from now on, the other may lack, although it was never answered.
        let other = 1 - from;
        if self.nodes[other].disk.visible != content && !self.follows(at, other) {
            self.history.stale[other] = true;
        }
    }

    /// Whether a node that was promoted goes on with the line of another Primary.
    fn joins(&self, at: usize, strict: bool) -> bool {
        let other = 1 - at;
        let one_line = self.history.holds[at] == self.history.holds[other];
        let connected = self.replica(at).and_then(|replica| replica.peer_status(node(other)));
        let connected = connected.is_some_and(|peer| peer.connection == ConnectionState::Connected);
        one_line && (strict || (connected && !self.history.stale[at]))
    }

    fn joined(&mut self, at: usize, content: &[Block]) {
        self.say(|| format!("node {at} is Primary beside node {}", 1 - at));
        self.joined += 1;
        self.history.join(at);
        if self.history.stale[at] {
            // The other has gone on just now; it must not be told anything any more.
            self.history.part_behind(at, content);
            self.notice_departure(at, 1 - at);
        } else if let Some(problem) = self.history.broken_promise(at, content, Promise::Answered) {
            self.fail(format!("node {at} was promoted beside another Primary, and {problem}"));
        }
    }

    /// Whether the two disks are UpToDate and follow one another by the account of both.
    pub(crate) fn are_in_sync(&self) -> bool {
        let established = |at: usize, of: usize| {
            self.replica(at).is_some_and(|replica| {
                replica.disk_state() == DiskState::UpToDate
                    && replica.peer_status(node(of)).is_some_and(|status| {
                        status.replication == ReplicationState::Established
                            && status.disk == DiskState::UpToDate
                    })
            })
        };
        established(0, 1) && established(1, 0) && !self.links[0].dead
    }

    /// An event that the books care for.
    pub(crate) fn note_event(&mut self, at: usize, event: &Event) {
        if let Event::VerifyDone(_, differing @ 1..) = event {
            self.fail(format!("verification at node {at} found {differing} blocks that differ"));
        }
        self.ahead += u64::from(matches!(event, Event::Replication(_, ReplicationState::Ahead)));
        if let Event::Connection(peer, _) = event {
            self.notice_departure(at, usize::from(peer.get()));
        }
        if *event == Event::Disk(DiskState::UpToDate)
            && let Some(from) = self.source_of(at)
        {
            self.behind[at] = false;
            self.history.replaced_by(at, from);
            self.history.in_sync(at, from, false);
        }
        if *event == Event::Disk(DiskState::Inconsistent) && self.history.discard[at] {
            // The order is carried out from here on, however often it is interrupted.
            self.history.solo[at] = 0;
        }
        let Event::Replication(peer, ReplicationState::SyncTarget) = event else { return };
        let from = usize::from(peer.get());
        let policies = self.scenario.configs[0].after_split_brain;
        let allowed = policies != Policies::default() || self.history.discard[at];
        if self.history.solo[at] > 0 && !allowed {
            let lost = self.history.solo[at];
            self.fail(format!("{lost} answered writes of node {at} are thrown away for node {from}'s data"));
        }
        if self.history.solo[at] > 0 && self.history.holds[at] == self.history.holds[from] {
            // The source has begun a generation of its own without ever being promoted.
            let disk = &self.nodes[from].disk;
            self.history.discarded_for(from, &disk.visible, &disk.stable);
        }
        let users = self.history.owner[at] && self.replica(at).is_some_and(|own| own.role() == Role::Primary);
        if users && self.history.holds[at] != self.history.holds[from] {
            self.fail(format!(
                "node {from}'s line of history replaces the data under the users of node {at}"
            ));
        }
        self.history.lossy[at] = self.history.lossy[from];
        self.history.replaced_by(at, from);
    }

    /// A node that has lost another one takes nothing more from it.
    pub(crate) fn notice_departure(&mut self, at: usize, of: usize) {
        let hears = self.replica(at).and_then(|own| own.peer_status(node(of)));
        if hears.is_none_or(|peer| peer.connection != ConnectionState::Connected) {
            self.history.noticed(at, of);
        }
    }

    /// From which node with a disk this one is being synchronised.
    fn source_of(&self, at: usize) -> Option<usize> {
        let replica = self.replica(at)?;
        DISKFUL.into_iter().filter(|peer| *peer != at).find(|peer| {
            replica
                .peer_status(node(*peer))
                .is_some_and(|status| status.replication == ReplicationState::SyncTarget)
        })
    }

    /// Whether the two disks are in sync by their own account: then the books start afresh.
    fn note_in_sync(&mut self) {
        let [a, b] = DISKFUL;
        if self.are_in_sync() {
            let same = self.nodes[a].disk.visible == self.nodes[b].disk.visible;
            self.history.in_sync(a, b, same);
            if same {
                self.behind = [false; 2];
            }
        }
    }
}
